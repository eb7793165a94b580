package eval_test

import (
	"errors"
	"math"
	"reflect"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// heldImages is an eval.ImageSet of pictures in memory; it counts how often each is read.
type heldImages struct {
	images model.Images
	reads  []int
}

func held(m *model.Encoder, seed uint64, n, side int) *heldImages {
	return &heldImages{images: modeltest.Pictures(newRand(seed), m, n, side, side), reads: make([]int, n)}
}

func (h *heldImages) Len() int      { return len(h.images.Pixels) }
func (h *heldImages) Class(int) int { return -1 }

func (h *heldImages) Range(lo, hi int) (model.Images, error) {
	for i := lo; i < hi; i++ {
		h.reads[i]++
	}
	in := h.images
	in.Pixels = in.Pixels[lo:hi]
	return in, nil
}

// broken cannot read its second half.
type broken struct{ *heldImages }

var errBroken = errors.New("broken picture")

func (b broken) Range(lo, hi int) (model.Images, error) {
	if hi > b.Len()/2 {
		return model.Images{}, errBroken
	}
	return b.heldImages.Range(lo, hi)
}

func encoderRouters(t *testing.T, m *model.Encoder, seeds ...uint64) (sets []*routing.Elastic) {
	t.Helper()
	for _, seed := range seeds {
		e := routingtest.Attach(t, m, routing.Options{Selectors: fourSelectors, Layers: routingtest.Layers(m.Config)})
		sets = append(sets, routingtest.Randomise(e, newRand(seed)))
	}
	return sets
}

// Of encoders with a class head and without: losses are those that Images measures, and
// the same routers choose the same.
func TestCompareImages(t *testing.T) {
	for _, family := range modeltest.EncoderFamilies() {
		_, m := modeltest.OpenEncoder(t, modeltest.EncoderShape{Family: family})
		sets := encoderRouters(t, m, 1, 1, 2)
		side := 4 * m.Vision.PatchSize
		domains := []eval.ImageDomain{{Name: "five", Pictures: held(m, 3, 5, side)}, {Name: "four", Pictures: held(m, 4, 4, side)}}
		report, err := eval.CompareImages(t.Context(), m, named(sets...), domains, topK)
		if err != nil {
			t.Fatalf("%s: %v", family, err)
		}
		for _, l := range report.Losses {
			whole, err := eval.Images(t.Context(), m, sets[l.Model], domains[l.Domain].Pictures, topK)
			if err != nil {
				t.Fatal(err)
			}
			want := whole.Results[0]
			if !reflect.DeepEqual(l.Cosine, &want.Cosine) || !reflect.DeepEqual(l.KL, want.KL) || !reflect.DeepEqual(l.Agreement, want.Agreement) || l.Compute != want.Compute {
				t.Errorf("%s: got %+v, want %+v", family, l, want)
			}
			if (l.KL != nil) != m.CanClassify() {
				t.Errorf("%s: KL %v", family, l.KL)
			}
		}
		each(t, &report.Pairs[0], 2, func(sel routing.Selector, l eval.LayerLikeness) {
			if *l.Correlation < 1-1e-12 || *l.Overlap != 1 {
				t.Errorf("%s: same routers, %s of layer %d: %v and %v", family, sel, l.Layer, *l.Correlation, *l.Overlap)
			}
		})
		each(t, &report.Pairs[1], 2, func(sel routing.Selector, l eval.LayerLikeness) {
			if *l.Correlation > 0.9 {
				t.Errorf("%s: other routers, %s of layer %d: correlation %v", family, sel, l.Layer, *l.Correlation)
			}
		})
	}
}

// What goes through the encoder in several batches is read once, but for the picture that is
// looked at beforehand.
func TestCompareImagesReadOnce(t *testing.T) {
	_, m := modeltest.OpenEncoder(t, modeltest.EncoderShape{})
	side := 4 * m.Vision.PatchSize
	many := held(m, 14, 2*2048/m.Tokens(side, side)+3, side)
	if _, err := eval.CompareImages(t.Context(), m, named(encoderRouters(t, m, 15, 16)...), []eval.ImageDomain{{Name: "many", Pictures: many}}, topK); err != nil {
		t.Fatal(err)
	}
	for i, n := range many.reads {
		if i > 0 && n != 1 {
			t.Errorf("picture %d was read %d times", i, n)
		}
	}
}

// Special tokens are kept whatever their scores and are no part of what is compared: chance
// is counted among the patches alone.
func TestCompareImagesSpecialTokens(t *testing.T) {
	_, m := modeltest.OpenEncoder(t, modeltest.EncoderShape{})
	if m.Special == 0 {
		t.Fatal("the encoder has no special tokens")
	}
	sets := encoderRouters(t, m, 5, 6)
	side := 4 * m.Vision.PatchSize
	report, err := eval.CompareImages(t.Context(), m, named(sets...), []eval.ImageDomain{{Name: "text", Pictures: held(m, 7, 3, side)}}, topK)
	if err != nil {
		t.Fatal(err)
	}
	setting, err := sets[0].Solve(topK.Budgets[0], m.Tokens(side, side), routing.TopK)
	if err != nil {
		t.Fatal(err)
	}
	const patches = 16
	each(t, &report.Pairs[0], 2, func(sel routing.Selector, l eval.LayerLikeness) {
		if sel != routing.AttnTokens && sel != routing.MLPTokens {
			return
		}
		kept := math.Ceil(setting.Layers[l.Layer][sel.Module()].Tokens*float64(patches+m.Special)-1e-9) - float64(m.Special)
		near(t, sel.String(), *l.Chance, kept/patches)
	})
}

func TestCompareImagesRefuses(t *testing.T) {
	_, m := modeltest.OpenEncoder(t, modeltest.EncoderShape{})
	sets := encoderRouters(t, m, 8, 9)
	side := 4 * m.Vision.PatchSize
	for _, c := range []struct {
		name     string
		pictures eval.ImageSet
		o        eval.Options
		want     error
	}{
		{"no pictures", held(m, 10, 0, side), topK, eval.ErrWindows},
		{"unreadable", broken{held(m, 10, 4, side)}, topK, errBroken},
		{"below reach", held(m, 10, 4, side), eval.Options{Budgets: []float64{0.001}}, routing.ErrBudget},
	} {
		if _, err := eval.CompareImages(t.Context(), m, named(sets...), []eval.ImageDomain{{Name: c.name, Pictures: c.pictures}}, c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

// Threads change nothing with pictures either.
func TestCompareImagesThreads(t *testing.T) {
	_, m := modeltest.OpenEncoder(t, modeltest.EncoderShape{})
	sets := encoderRouters(t, m, 11, 12)
	domains := []eval.ImageDomain{{Name: "pictures", Pictures: held(m, 13, 40, 4*m.Vision.PatchSize)}}
	defer kernel.SetThreads(kernel.Threads())
	var want *eval.Comparison
	for _, n := range []int{1, 2, 5} {
		kernel.SetThreads(n)
		got, err := eval.CompareImages(t.Context(), m, named(sets...), domains, topK)
		if err != nil {
			t.Fatal(err)
		}
		if got.Threads = 0; want == nil {
			want = got
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("on %d threads: got %+v, want %+v", n, got, want)
		}
	}
}
