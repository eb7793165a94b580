package maps

import (
	"errors"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

var autoencoder = modeltest.EncoderShape{Family: "vit-mae", Seed: 2}

// What is seen is shown as it was, what is not as the decoder draws it; budgets cost what they
// should and the full model is what it is without routers.
func TestReconstruct(t *testing.T) {
	f, m, e := open(t, autoencoder, fourSelectors)
	routingtest.Randomise(e, rand.New(rand.NewPCG(6, 0)))
	s := subject(t, f, 3)
	draw := func(seed uint64, e *routing.Elastic, budgets ...float64) *Reconstructions {
		r, err := Reconstruct(m, e, s, budgets, rand.New(rand.NewPCG(seed, 0)))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := draw(1, e, 0.6, 0.9)
	if len(r.Visible) != 3 || r.Full.Compute != 1 || r.Full.Budget != 1 || len(r.Budgets) != 2 {
		t.Fatalf("%+v", r)
	}
	want := m.Reconstruct(tape.New(false), s.images, [][]int32{r.Visible}, nil)
	if r.Full.Loss != want.Loss[0] {
		t.Errorf("loss %v, want %v", r.Full.Loss, want.Loss[0])
	}
	shown := s.how.Denormalise(want.Pixels[0])
	for i := range shown.Pix {
		at := i / 3
		_, seen := slices.BinarySearch(r.Visible, int32(at/24/8*3+at%24/8))
		pixel := shown.Pix[i]
		if seen {
			pixel = s.shown.Pix[i]
		}
		if r.Full.Picture.Pix[i] != pixel {
			t.Fatalf("value %d, seen %t: %d, want %d", i, seen, r.Full.Picture.Pix[i], pixel)
		}
	}
	for i, budget := range []float64{0.6, 0.9} {
		setting, err := e.Solve(budget, 4, routing.TopK)
		if err != nil {
			t.Fatal(err)
		}
		d := r.Budgets[i]
		if cost := e.Cost(&setting, 4) / float64(m.BlockMACs(4)); d.Budget != budget || math.Abs(d.Compute-cost) > 1e-9 || d.Loss == r.Full.Loss {
			t.Errorf("budget %v: %+v, want compute %v", budget, d, cost)
		}
	}
	if again := draw(1, nil); !slices.Equal(again.Visible, r.Visible) || !slices.Equal(again.Full.Picture.Pix, r.Full.Picture.Pix) {
		t.Error("one seed, two drawings")
	}
	if other := draw(2, nil); slices.Equal(other.Visible, r.Visible) {
		t.Errorf("two seeds see the same patches %v", r.Visible)
	}
	if _, err := Reconstruct(m, e, s, []float64{0.01}, rand.New(rand.NewPCG(0, 0))); !errors.Is(err, routing.ErrBudget) {
		t.Errorf("budget 0.01: %v", err)
	}
	m.Decoder.Mask.Data[0] = float32(math.Inf(1))
	if _, err := Reconstruct(m, nil, s, nil, rand.New(rand.NewPCG(0, 0))); !errors.Is(err, eval.ErrNotFinite) {
		t.Errorf("infinity: %v", err)
	}
}

// The figure has the picture, then what is seen of it, then the drawings, in rows.
func TestDrawReconstructions(t *testing.T) {
	f, m, e := open(t, autoencoder, fourSelectors)
	s := subject(t, f, 4)
	r, err := Reconstruct(m, e, s, []float64{0.5, 0.7, 0.9}, rand.New(rand.NewPCG(1, 0)))
	if err != nil {
		t.Fatal(err)
	}
	img := r.Draw(s)
	const enlarged, side = 9, 9 * 24 // about drawnSide
	if want := 2*margin + drawnAcross*(side+gap) - gap; img.Bounds().Dx() != want {
		t.Fatalf("%d wide, want %d", img.Bounds().Dx(), want)
	}
	top := find(img, 0, color.RGBA{s.shown.Pix[0], s.shown.Pix[1], s.shown.Pix[2], 255}).Y
	if _, seen := slices.BinarySearch(r.Visible, 0); seen {
		t.Fatal("the first patch is seen: choose another seed")
	}
	for at := range 24 * 24 {
		x, y := at%24, at/24
		p := image.Pt(margin+enlarged*x+4, top+enlarged*y+4)
		colour := func(pix []uint8) color.RGBA { return color.RGBA{pix[3*at], pix[3*at+1], pix[3*at+2], 255} }
		masked := absent
		if slices.Contains(r.Visible, int32(y/8*3+x/8)) {
			masked = colour(s.shown.Pix)
		}
		for panel, want := range []color.RGBA{colour(s.shown.Pix), masked, colour(r.Full.Picture.Pix), colour(r.Budgets[0].Picture.Pix), colour(r.Budgets[1].Picture.Pix)} {
			if got := img.At(p.X+panel*(side+gap), p.Y); got != want {
				t.Fatalf("panel %d, pixel %d,%d: %v, want %v", panel, x, y, got, want)
			}
		}
	}
	if inked(img, image.Rect(margin, top+side+gap, margin+side, img.Bounds().Max.Y-margin)) < side*side {
		t.Error("the sixth drawing is not in a second row")
	}
	if !slices.Equal(img.(*image.RGBA).Pix, r.Draw(s).(*image.RGBA).Pix) {
		t.Error("two drawings differ")
	}
}
