package picture

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"path/filepath"
	"testing"

	"github.com/elastiformer/elastiformer/internal/reference"
)

// preprocessing of 3 channels with the values of the defaults.
func defaults(mode Mode, resizeSize, size int) *Preprocessing {
	half := []float32{0.5, 0.5, 0.5}
	return &Preprocessing{Channels: 3, Size: size, Mode: mode, ResizeSize: resizeSize, Filter: Bilinear, Mean: half, Std: half}
}

func TestShortest(t *testing.T) {
	// The sizes and offsets are those of the image processors of Hugging Face for
	// shortest_edge and a centre crop: int(n·long/short) and int((side − crop)/2).
	tests := []struct {
		name                  string
		width, height         int
		resizeSize, size      int
		toWidth, toHeight     int
		left, top             int // of the crop in the resized picture
		innerWidth, innerHigh int // of it, the rest is black
		beforeX, beforeY      int // of black
	}{
		{"wide", 50, 37, 26, 22, 35, 26, 6, 2, 22, 22, 0, 0},
		{"tall", 37, 50, 26, 22, 26, 35, 2, 6, 22, 22, 0, 0},
		{"square", 40, 40, 25, 22, 25, 25, 1, 1, 22, 22, 0, 0},
		{"enlarged", 5, 7, 16, 16, 16, 22, 0, 3, 16, 16, 0, 0},
		{"crop wider than the picture", 30, 20, 10, 13, 15, 10, 1, 0, 13, 10, 0, 1},
		{"crop larger than the picture", 30, 20, 10, 20, 15, 10, 0, 0, 15, 10, 2, 5},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := pattern(test.width, test.height)
			got := defaults(ModeShortest, test.resizeSize, test.size).Shown(p)
			inner := p.Resize(test.toWidth, test.toHeight, Bilinear).cut(test.left, test.top, test.innerWidth, test.innerHigh)
			want := newPicture(test.size, test.size)
			for y := range inner.Height {
				copy(want.row(test.beforeY + y)[channels*test.beforeX:], inner.row(y))
			}
			compare(t, got, want, 0, 0)
		})
	}
}

// A picture whose longer side would become immense is cropped without being made whole.
func TestShortestOfLongPicture(t *testing.T) {
	r := defaults(ModeShortest, 1024, 1024)
	line := newPicture(1, MaxSide)
	for i := range line.Pix {
		line.Pix[i] = 77
	}
	grown := allocated(func() {
		if got := r.Shown(line); got.Width != 1024 || got.Pix[0] != 77 || got.Pix[len(got.Pix)-1] != 77 {
			t.Errorf("the middle of a line is %d×%d, begins with %d", got.Width, got.Height, got.Pix[0])
		}
	})
	if limit := uint64(16 << 20); grown > limit {
		t.Errorf("%d bytes allocated, at most %d expected", grown, limit)
	}
}

func TestApply(t *testing.T) {
	p := pattern(3, 3)
	r := defaults(ModeExact, 3, 3)
	r.Mean, r.Std = []float32{0.1, 0.2, 0.3}, []float32{0.5, 0.25, 2}
	got := r.Apply(p)
	if len(got) != 27 {
		t.Fatalf("%d values, want 27", len(got))
	}
	for i, v := range got {
		c, at := i/9, i%9
		want := (float64(p.Pix[3*at+c])/255 - float64(r.Mean[c])) / float64(r.Std[c])
		if math.Abs(float64(v)-want) > 1e-6 {
			t.Errorf("channel %d, pixel %d = %g, want %g", c, at, v, want)
		}
	}
	compare(t, r.Denormalise(got), p, 0, 0)
}

func TestApplyGrey(t *testing.T) {
	p := pattern(4, 4)
	r := &Preprocessing{Channels: 1, Size: 4, Mode: ModeExact, ResizeSize: 4, Filter: Bilinear, Mean: []float32{0}, Std: []float32{1}}
	got, want := r.Apply(p), p.Grey()
	for i, v := range got {
		if w := float32(want.Pix[3*i]) / 255; v != w {
			t.Errorf("pixel %d = %g, want %g", i, v, w)
		}
	}
	if len(got) != 16 {
		t.Errorf("%d values, want 16", len(got))
	}
	compare(t, r.Shown(p), want, 0, 0)
	compare(t, r.Denormalise(got), want, 0, 0)
}

func TestDenormaliseCutsOff(t *testing.T) {
	r := &Preprocessing{Channels: 1, Size: 2, Mean: []float32{0.5}, Std: []float32{1}}
	got := r.Denormalise([]float32{-3, 3, float32(math.NaN()), 0})
	want := []uint8{0, 0, 0, 255, 255, 255, 0, 0, 0, 128, 128, 128}
	if !bytes.Equal(got.Pix, want) {
		t.Errorf("pixels %v, want %v", got.Pix, want)
	}
}

func TestWithSize(t *testing.T) {
	r := defaults(ModeShortest, 256, 224)
	for _, test := range []struct{ size, resize int }{{224, 256}, {448, 512}, {112, 128}, {384, 439}, {1, 1}} {
		got := r.WithSize(test.size)
		if got.Size != test.size || got.ResizeSize != test.resize {
			t.Errorf("WithSize(%d) resizes to %d and crops %d, want %d", test.size, got.ResizeSize, got.Size, test.resize)
		}
	}
	if r.Size != 224 || r.ResizeSize != 256 {
		t.Error("WithSize changed its receiver")
	}
}

// TestPadEqualsLlama compares with the bytes that llama.cpp's vision code made.
func TestPadEqualsLlama(t *testing.T) {
	for _, path := range reference.Files(t, "arch/mmproj-*.reference.json") {
		var document struct {
			MMProj string `json:"mmproj"`
			Images []struct {
				File   string `json:"file"`
				SHA256 string `json:"resized_rgb_sha256"`
			} `json:"images"`
		}
		reference.ReadJSON(t, path, &document)
		f, ok := reference.Open(t, filepath.Join(filepath.Dir(path), document.MMProj))
		if !ok {
			continue
		}
		r, err := NewPreprocessing(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, image := range document.Images {
			p, err := Open(filepath.Join(filepath.Dir(path), image.File))
			if err != nil {
				t.Fatal(err)
			}
			if sum := sha256.Sum256(r.Shown(p).Pix); hex.EncodeToString(sum[:]) != image.SHA256 {
				t.Errorf("%s: %s: hash of the pixels is %x, want %s", document.MMProj, image.File, sum, image.SHA256)
			}
		}
	}
}

// Padding a picture of another shape leaves bars of the padding's colour.
func TestPad(t *testing.T) {
	p := newPicture(8, 3)
	for i := range p.Pix {
		p.Pix[i] = 9
	}
	got := p.pad(4)
	// scale 0.5: 4×ceil(1.5) in the middle of 4×4, one row of padding above and below
	for y, want := range []uint8{padding[0], 9, 9, padding[0]} {
		if v := got.row(y)[0]; v != want {
			t.Errorf("row %d begins with %d, want %d", y, v, want)
		}
	}
}

// DeiT's preprocessing resizes to a square and cuts the middle out of that.
func TestExactThenCropped(t *testing.T) {
	p := pattern(40, 30)
	r := &Preprocessing{Channels: 3, Size: 14, Mode: ModeExact, ResizeSize: 16, Filter: Bicubic, Mean: []float32{0, 0, 0}, Std: []float32{1, 1, 1}}
	whole, want := p.Resize(16, 16, Bicubic), newPicture(14, 14)
	for y := range 14 {
		copy(want.row(y), whole.row(y + 1)[3:])
	}
	compare(t, r.Shown(p), want, 0, 0)
}
