package picture

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// allFilters lists them by name.
var allFilters = append(slices.Sorted(maps.Keys(windows)), Nearest)

func drawPicture(t *rapid.T) *Picture {
	p := newPicture(rapid.IntRange(1, 24).Draw(t, "width"), rapid.IntRange(1, 24).Draw(t, "height"))
	seed := rapid.Byte().Draw(t, "seed")
	for i := range p.Pix {
		p.Pix[i] = uint8(i*i)*seed ^ uint8(i)
	}
	return p
}

func TestResizeKeepsConstant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPicture(t)
		colour := []uint8{rapid.Byte().Draw(t, "r"), rapid.Byte().Draw(t, "g"), rapid.Byte().Draw(t, "b")}
		copy(p.Pix, bytes.Repeat(colour, p.Width*p.Height))
		width, height := rapid.IntRange(1, 40).Draw(t, "new width"), rapid.IntRange(1, 40).Draw(t, "new height")
		filter := rapid.SampledFrom(allFilters).Draw(t, "filter")
		if got := p.Resize(width, height, filter); !bytes.Equal(got.Pix, bytes.Repeat(colour, width*height)) {
			t.Errorf("colour %v became %v", colour, got.Pix)
		}
	})
}

func TestResizeToOwnSize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPicture(t)
		filter := rapid.SampledFrom(allFilters).Draw(t, "filter")
		if got := p.Resize(p.Width, p.Height, filter); !bytes.Equal(got.Pix, p.Pix) {
			t.Errorf("%s changes a picture that keeps its size", filter)
		}
	})
}

// cut returns a part of a picture.
func (p *Picture) cut(left, top, width, height int) *Picture {
	out := newPicture(width, height)
	for y := range height {
		copy(out.row(y), p.row(top + y)[channels*left:])
	}
	return out
}

// A part that is computed alone is the part of the whole.
func TestResizePart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPicture(t)
		width, height := rapid.IntRange(1, 40).Draw(t, "new width"), rapid.IntRange(1, 40).Draw(t, "new height")
		left, top := rapid.IntRange(0, width-1).Draw(t, "left"), rapid.IntRange(0, height-1).Draw(t, "top")
		w, h := rapid.IntRange(1, width-left).Draw(t, "part width"), rapid.IntRange(1, height-top).Draw(t, "part height")
		filter := rapid.SampledFrom(allFilters).Draw(t, "filter")
		got := p.resize(span{left, w, width}, span{top, h, height}, filter)
		if want := p.Resize(width, height, filter).cut(left, top, w, h); !bytes.Equal(got.Pix, want.Pix) {
			t.Errorf("%s: part is %v, the same of the whole %v", filter, got.Pix, want.Pix)
		}
	})
}

func BenchmarkResize(b *testing.B) {
	p := pattern(500, 375)
	for _, filter := range allFilters {
		b.Run(string(filter), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Resize(224, 224, filter)
			}
		})
	}
}
