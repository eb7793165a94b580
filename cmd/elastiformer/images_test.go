package main

import (
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/dataset"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/picture"
)

// TestRanges reads one set in ranges that overlap, shrink and go back, as a training run does that measures on held-out
// pictures and then makes its table of the same.
func TestRanges(t *testing.T) {
	f, err := gguf.Open("../../testdata/tiny-vit.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	how, err := picture.NewPreprocessing(f)
	if err != nil {
		t.Fatal(err)
	}
	images, err := dataset.ImageOptions{}.Open(t.Context(), "../../testdata/tiny-pictures/valid")
	if err != nil {
		t.Fatal(err)
	}
	p := &pictures{Images: images, how: how}
	set := p.first(t.Context(), 23)
	defer set.Close()
	for _, r := range [][2]int{{0, 10}, {10, 20}, {20, 23}, {0, 1}, {0, 8}, {8, 16}, {16, 23}, {0, 1}, {1, 2}, {5, 8}, {8, 11}, {2, 5}, {20, 23}, {0, 23}, {22, 23}} {
		got, err := set.Range(r[0], r[1])
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Pixels) != r[1]-r[0] {
			t.Fatalf("pictures %d to %d: got %d of them", r[0], r[1], len(got.Pixels))
		}
		for i, pixels := range got.Pixels {
			want, err := images.Pixels(set.indices[r[0]+i], how)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(pixels, want) {
				t.Errorf("pictures %d to %d: number %d is another picture", r[0], r[1], r[0]+i)
			}
		}
	}
}
