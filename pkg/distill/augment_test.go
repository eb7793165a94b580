package distill

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/model"
)

func TestSources(t *testing.T) {
	for _, c := range []struct {
		side, shift int
		mirror      bool
		want        []int
	}{
		{4, 0, false, []int{0, 1, 2, 3}},
		{4, 0, true, []int{3, 2, 1, 0}},
		{4, 1, false, []int{1, 0, 1, 2}},
		{4, -1, false, []int{1, 2, 3, 2}},
		{4, 1, true, []int{2, 3, 2, 1}},
		{1, 0, true, []int{0}},
	} {
		if got := sources(c.side, c.shift, c.mirror); !slices.Equal(got, c.want) {
			t.Errorf("side %d, shift %d, mirrored %v: got %v, want %v", c.side, c.shift, c.mirror, got, c.want)
		}
	}
}

// A picture is altered alike in all its channels, by seed, step and place alone, and the
// one given stays as it was.
func TestAugment(t *testing.T) {
	const channels, height, width, pictures = 2, 16, 24, 40
	in := model.Images{Height: height, Width: width}
	for range pictures {
		pixels := make([]float32, channels*height*width)
		for i := range pixels {
			pixels[i] = float32(i)
		}
		in.Pixels = append(in.Pixels, pixels)
	}
	given := slices.Clone(in.Pixels[0])
	for _, names := range []string{"", Flip, Shift, Flip + "," + Shift} {
		a, err := parseAugmentation(&Options{Augment: names, Seed: 5})
		if err != nil {
			t.Fatal(err)
		}
		out := a.apply(in, 3)
		if !reflect.DeepEqual(out, a.apply(in, 3)) {
			t.Errorf("%q: a step has not the same pictures twice", names)
		}
		if names != "" && reflect.DeepEqual(out, a.apply(in, 4)) {
			t.Errorf("%q: two steps alter alike", names)
		}
		if !slices.Equal(in.Pixels[0], given) {
			t.Fatalf("%q: the picture given has changed", names)
		}
		altered := 0
		for i, pixels := range out.Pixels {
			for j := range height * width {
				if pixels[height*width+j] != pixels[j]+height*width {
					t.Fatalf("%q: picture %d: channels are not altered alike", names, i)
				}
			}
			mirrored := pixels[width/2] > pixels[width/2+1]
			if mirrored && names != Flip && names != Flip+","+Shift {
				t.Errorf("%q: picture %d is mirrored", names, i)
			}
			if !slices.Equal(pixels, given) {
				altered++
			}
		}
		if names == "" && altered > 0 || names != "" && (altered < pictures/4 || names == Flip && altered > 3*pictures/4) {
			t.Errorf("%q: %d of %d pictures are altered", names, altered, pictures)
		}
	}
	for _, names := range []string{"turn", "flip,", "flip,flip"} {
		if _, err := parseAugmentation(&Options{Augment: names}); !errors.Is(err, ErrOptions) {
			t.Errorf("%q: got error %v, want ErrOptions", names, err)
		}
	}
}

func TestRestoreRefusesOtherAugmentation(t *testing.T) {
	path, saved := elasticEncoder(t, "vit"), tempFile(t, "run")
	run := func(augment string) *Trainer {
		return openImageRun(t, path, 0, func(o *Options) { o.Steps, o.Batch, o.Augment = 2, 2, augment })
	}
	if err := run(Flip).Save(saved, dataHash); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{"", Shift} {
		refused(t, "augmentation "+other, run(other), saved, dataHash, ErrMismatch)
	}
	if err := run(Flip).Restore(saved, dataHash); err != nil {
		t.Error(err)
	}
}

func TestTextIsNotAugmented(t *testing.T) {
	o := runOptions()
	o.Augment = Flip
	if err := (&language{}).Check(&o); !errors.Is(err, ErrOptions) {
		t.Errorf("got error %v, want ErrOptions", err)
	}
}
