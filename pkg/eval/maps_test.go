package eval_test

import (
	"image/color"
	"math/rand/v2"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/picture"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// A map of tokens holds, for every layer, exactly the patches that its capacity keeps beside
// the class token; without token selectors it holds shares of the routers' weight.
func TestMap(t *testing.T) {
	_, m := modeltest.OpenEncoder(t, modeltest.EncoderShape{Layers: 3})
	in := modeltest.Pictures(rand.New(rand.NewPCG(1, 2)), m, 1, 24, 24)
	for _, selectors := range [][]routing.Selector{fourSelectors, {routing.Heads, routing.Experts}} {
		e := routingtest.Randomise(routingtest.Attach(t, m, routing.Options{Selectors: selectors, Layers: routingtest.Layers(m.Config)}), newRand(3))
		const budget = 0.7
		p, err := eval.Map(m, e, in, budget)
		if err != nil {
			t.Fatal(err)
		}
		tokens := m.Tokens(24, 24)
		s, err := e.Solve(budget, tokens, routing.TopK)
		if err != nil {
			t.Fatal(err)
		}
		if p.Tokens != (len(selectors) == 4) || p.Rows != 3 || p.Columns != 3 || len(p.Layers) == 0 {
			t.Fatalf("%v: tokens %t, %d×%d patches, %d maps", selectors, p.Tokens, p.Rows, p.Columns, len(p.Layers))
		}
		for _, l := range p.Layers {
			var sum float32
			for _, v := range l.Values {
				if v < 0 || v > 1.0001 || p.Tokens && v != 0 && v != 1 {
					t.Errorf("%v of layer %d: value %v", l.Selector, l.Layer, v)
				}
				sum += v
			}
			if want := e.Kept(&s, l.Layer, l.Selector, tokens-m.Special); p.Tokens && int(sum) != want {
				t.Errorf("%v of layer %d: %v patches kept, want %d", l.Selector, l.Layer, sum, want)
			}
		}
	}
}

// The drawing shows the picture's pixels beside the colours of the values.
func TestDrawMap(t *testing.T) {
	p := &eval.PatchMap{
		Budget: 0.5, Compute: 0.5, Rows: 2, Columns: 2, Tokens: true, Class: 0, Teacher: 1,
		Layers: []eval.LayerMap{{Layer: 0, Selector: routing.MLPTokens, Values: []float32{1, 0, 0, 1}}},
	}
	shown := &picture.Picture{Width: 2, Height: 2, Pix: []uint8{255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9}}
	img := p.Draw("a", shown, []string{"x"})
	const left, top, side, gap = 16, 48, 256, 8
	for _, c := range []struct {
		x, y int
		want color.NRGBA
	}{
		{left + 1, top + 1, color.NRGBA{255, 0, 0, 255}},
		{left + side - 1, top + side - 1, color.NRGBA{9, 9, 9, 255}},
		{left + side + gap + 1, top + 1, color.NRGBA{253, 231, 37, 255}},         // 1
		{left + side + gap + side - 1, top + 1, color.NRGBA{68, 1, 84, 255}},     // 0
		{left + 2*side + 2*gap + 1, top, color.NRGBA{253, 231, 37, 255}},         // the bar begins with 1
		{left + 2*side + 2*gap + 1, top + side - 1, color.NRGBA{68, 1, 84, 255}}, // and ends with 0
	} {
		if got := img.At(c.x, c.y); got != c.want {
			t.Errorf("pixel %d,%d is %v, want %v", c.x, c.y, got, c.want)
		}
	}
	again := p.Draw("a", shown, []string{"x"})
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			if img.At(x, y) != again.At(x, y) {
				t.Fatalf("pixel %d,%d differs between two drawings", x, y)
			}
		}
	}
}
