package maps

import (
	"errors"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/picture"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

var (
	fourSelectors = []routing.Selector{routing.AttnTokens, routing.Heads, routing.MLPTokens, routing.Experts}
	ofUnits       = []routing.Selector{routing.Heads, routing.Experts}
)

// open opens a random encoder with untrained routers.
func open(t *testing.T, shape modeltest.EncoderShape, selectors []routing.Selector) (*gguf.File, *model.Encoder, *routing.Elastic) {
	t.Helper()
	f, m := modeltest.OpenEncoder(t, shape)
	return f, m, routingtest.Attach(t, m, routing.Options{Selectors: selectors, Layers: routingtest.Layers(m.Config)})
}

// subject draws a picture of noise as the model of a file wants it.
func subject(t *testing.T, f *gguf.File, seed uint64) *Subject {
	t.Helper()
	how, err := picture.NewPreprocessing(f)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 7))
	p := &picture.Picture{Width: how.Size, Height: how.Size, Pix: make([]uint8, 3*how.Size*how.Size)}
	for i := range p.Pix {
		p.Pix[i] = uint8(r.Uint32())
	}
	return NewSubject("noise", how, p)
}

// Routers that are all zero keep the first tokens: the special one and the patches behind it,
// in every layer exactly as many as the budget's setting says. Compute is what it costs.
func TestChooseTokens(t *testing.T) {
	f, m, e := open(t, modeltest.EncoderShape{Layers: 3}, fourSelectors)
	s := subject(t, f, 1)
	const tokens, patches = 10, 9
	dropped := 0
	for _, budget := range []float64{0.4, 0.7, 0.9, 1} {
		c, err := Choose(m, e, s, budget)
		if err != nil {
			t.Fatal(err)
		}
		setting, err := e.Solve(budget, tokens, routing.TopK)
		if err != nil {
			t.Fatal(err)
		}
		if !c.Tokens || c.Rows != 3 || c.Columns != 3 || len(c.Selectors) != 2 || !slices.Equal(c.Layers, []int{0, 1, 2}) {
			t.Fatalf("budget %v: %+v", budget, c)
		}
		if want := e.Cost(&setting, tokens) / float64(m.BlockMACs(tokens)); math.Abs(c.Compute-want) > 1e-9 {
			t.Errorf("budget %v: compute %v, want %v", budget, c.Compute, want)
		}
		for _, sel := range c.Selectors {
			for layer, values := range sel.Values {
				kept := e.Kept(&setting, layer, sel.Selector, patches)
				dropped += patches - kept
				if want := slices.Concat(every(kept), make([]float32, patches-kept)); !slices.Equal(values, want) {
					t.Errorf("budget %v, %v of layer %d: %v, want %v", budget, sel.Selector, layer, values, want)
				}
			}
		}
	}
	if dropped == 0 {
		t.Error("no patch was dropped at any budget")
	}
}

// Without token selectors the values are the weight of the softmax on the units that were
// used above that of indifferent routers: none of routers that are, something of others.
func TestChooseUnits(t *testing.T) {
	f, m, e := open(t, modeltest.EncoderShape{}, ofUnits)
	s := subject(t, f, 2)
	for _, indifferent := range []bool{true, false} {
		if !indifferent {
			routingtest.Randomise(e, rand.New(rand.NewPCG(3, 0)))
		}
		c, err := Choose(m, e, s, 0.5)
		if err != nil {
			t.Fatal(err)
		}
		if c.Tokens || len(c.Selectors) != 2 {
			t.Fatalf("%+v", c)
		}
		for _, v := range c.Mean() {
			if v < 0 || v > 1 || (v < 1e-6) != indifferent {
				t.Errorf("indifferent %t: value %v", indifferent, v)
			}
		}
		full, err := Choose(m, e, s, 1)
		if err != nil {
			t.Fatal(err)
		}
		if full.Mean() != nil || full.Compute != 1 || full.Class != full.Teacher {
			t.Errorf("budget 1: %+v", full)
		}
	}
	for _, c := range []struct {
		gain   []float32
		chosen []int32
		want   float32
	}{
		{[]float32{1, 1, 1, 1}, []int32{0, 1}, 0}, {[]float32{2, 2, 0, 0}, []int32{0, 1}, 1}, {[]float32{1.5, 1, 1, 0.5}, []int32{0, 1}, 0.25},
	} {
		if got := sureness(c.gain, c.chosen); got != c.want {
			t.Errorf("%v of %v: %v, want %v", c.chosen, c.gain, got, c.want)
		}
	}
}

// Classes are those of the network run in the ordinary way.
func TestChooseClasses(t *testing.T) {
	f, m, e := open(t, modeltest.EncoderShape{Seed: 5}, fourSelectors)
	routingtest.Randomise(e, rand.New(rand.NewPCG(4, 0)))
	for seed := range uint64(5) {
		s := subject(t, f, seed)
		c, err := Choose(m, e, s, 0.4)
		if err != nil {
			t.Fatal(err)
		}
		tp, l := tape.New(false), m.Layout(s.images)
		teacher := kernel.Argmax(m.Classify(tp, m.Hidden(tp, s.images, l, nil), l).Data)
		setting, err := e.Solve(0.4, l.Rows(), routing.TopK)
		if err != nil {
			t.Fatal(err)
		}
		class := kernel.Argmax(m.Classify(tp, m.Hidden(tp, s.images, l, e.NewPass(routing.TopK, setting)), l).Data)
		if c.Teacher != teacher || c.Class != class {
			t.Errorf("picture %d: classes %d and %d, want %d and %d", seed, c.Teacher, c.Class, teacher, class)
		}
	}
}

func TestChooseErrors(t *testing.T) {
	f, m, e := open(t, modeltest.EncoderShape{}, fourSelectors)
	s := subject(t, f, 1)
	if _, err := Choose(m, e, s, 0.01); !errors.Is(err, routing.ErrBudget) {
		t.Errorf("budget 0.01: %v", err)
	}
	m.Positions.Data[0] = float32(math.NaN())
	if _, err := Choose(m, e, s, 0.7); !errors.Is(err, eval.ErrNotFinite) {
		t.Errorf("NaN: %v", err)
	}
}

// colourful is four pixels in four colours that no map has, as a model sees them.
func colourful() *Subject {
	p := &picture.Picture{Width: 2, Height: 2, Pix: []uint8{255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9}}
	return &Subject{Name: "a", shown: p}
}

// find is the first point of a colour below y, row by row.
func find(img image.Image, y int, want color.Color) image.Point {
	b := img.Bounds()
	for ; y < b.Max.Y; y++ {
		for x := range b.Max.X {
			if img.At(x, y) == want {
				return image.Pt(x, y)
			}
		}
	}
	return image.Pt(-1, -1)
}

// The drawing shows the picture's pixels, beside them the colours of the mean, a bar of all
// colours, and below every layer's own map with what is written about it.
func TestDrawChoices(t *testing.T) {
	c := &Choices{
		Budget: 0.5, Compute: 0.5, Rows: 2, Columns: 2, Tokens: true, Layers: []int{0, 3}, Class: 0, Teacher: 1,
		Selectors: []SelectorChoices{{routing.MLPTokens, [][]float32{{1, 0, 0, 1}, {1, 0, 1, 0}}}},
	}
	img := c.Draw(colourful(), []string{"x"})
	top, bottom := viridis[len(viridis)-1], viridis[0]
	at := find(img, 0, color.RGBA{255, 0, 0, 255})
	const side = 336
	right := at.Add(image.Pt(side+gap, 0))
	bar := right.Add(image.Pt(side+gap, 0))
	small := find(img, at.Y+side+gap, top)
	end := small.Add(image.Pt(smallSide, smallSide))
	middle := scale{0, 1}.colour(0.5)
	for _, p := range []struct {
		what string
		image.Point
		want color.RGBA
	}{
		{"picture, last pixel of the first row", at.Add(image.Pt(side-1, side/2-1)), color.RGBA{0, 255, 0, 255}},
		{"picture, last", at.Add(image.Pt(side-1, side-1)), color.RGBA{9, 9, 9, 255}},
		{"behind the picture", at.Add(image.Pt(side, 0)), ground},
		{"mean 1", right, top},
		{"mean 1, last pixel", right.Add(image.Pt(side/2-1, side/2-1)), top},
		{"mean 0", right.Add(image.Pt(side/2, 0)), bottom},
		{"mean ½", right.Add(image.Pt(0, side/2)), middle},
		{"mean ½", right.Add(image.Pt(side-1, side-1)), middle},
		{"bar's 1", bar, top},
		{"bar's 0", bar.Add(image.Pt(barWidth-1, side-1)), bottom},
		{"layer 0, first patch", small, top},
		{"layer 0, second", image.Pt(end.X-1, small.Y), bottom},
		{"layer 0, last", image.Pt(end.X-1, end.Y-1), top},
		{"layer 3, first", small.Add(image.Pt(smallSide+smallGap, 0)), top},
		{"layer 3, last", end.Add(image.Pt(smallSide+smallGap-1, -1)), bottom},
	} {
		if got := img.At(p.X, p.Y); got != p.want {
			t.Errorf("%s at %v: %v, want %v", p.what, p.Point, got, p.want)
		}
	}
	for what, r := range map[string]image.Rectangle{
		"name and budget": image.Rect(margin, margin, at.X+side, at.Y-smallGap),
		"numbers of bar":  image.Rect(bar.X+barWidth+barTick, at.Y, img.Bounds().Max.X-margin, at.Y+side),
		"number of layer": image.Rect(small.X, small.Y-gap, end.X, small.Y),
		"share of layer":  image.Rect(small.X, end.Y, end.X, end.Y+gap),
		"name of rows":    image.Rect(margin, small.Y, small.X, end.Y),
		"legend":          image.Rect(margin, end.Y+2*gap, img.Bounds().Max.X, img.Bounds().Max.Y-margin),
	} {
		if inked(img, r) == 0 {
			t.Errorf("%s: nothing in %v", what, r)
		}
	}
	if edge := image.Rect(0, 0, margin, img.Bounds().Max.Y); inked(img, edge) != 0 {
		t.Error("something in the margin")
	}
	if find(img, 0, alarm).X < 0 {
		t.Error("classes differ, but nothing is red")
	}
	c.Class = 1
	if same := c.Draw(colourful(), []string{"x"}); find(same, 0, alarm).X >= 0 {
		t.Error("classes are the same, but something is red")
	}
}

// inked counts the pixels of a rectangle that are not ground.
func inked(img image.Image, r image.Rectangle) (n int) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if img.At(x, y) != ground {
				n++
			}
		}
	}
	return n
}

// Drawings are equal every time, of whatever kind of choices, and stay of a readable size for
// many layers and fine grids.
func TestDrawSizes(t *testing.T) {
	const width = 1200 // of most screens
	for _, c := range []struct{ layers, grid, height int }{{1, 1, 900}, {12, 14, 900}, {32, 16, 1400}, {24, 37, 1200}, {2, 200, 1400}} {
		choices := &Choices{Rows: c.grid, Columns: c.grid, Class: -1}
		units := SelectorChoices{Selector: routing.Heads}
		for l := range c.layers {
			choices.Layers = append(choices.Layers, l)
			units.Values = append(units.Values, every(c.grid*c.grid))
		}
		units.Values[0] = nil
		choices.Selectors = []SelectorChoices{units, units}
		img, again := choices.Draw(colourful(), nil), choices.Draw(colourful(), nil)
		if b := img.Bounds(); b.Dx() > width || b.Dy() > c.height {
			t.Errorf("%d layers of %d×%d: drawn on %v, want at most %d×%d", c.layers, c.grid, c.grid, b, width, c.height)
		}
		if !slices.Equal(img.(*image.RGBA).Pix, again.(*image.RGBA).Pix) {
			t.Errorf("%d layers of %d×%d: two drawings differ", c.layers, c.grid, c.grid)
		}
		if find(img, 0, absent).X < 0 {
			t.Errorf("%d layers: the one that was off is not grey", c.layers)
		}
	}
}
