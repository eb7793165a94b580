package picture

import (
	"image"
	"image/color"
)

// fromImage takes the colours of an image as they are stored: no alpha is multiplied in
// and of 16 bits the upper eight are kept.
func fromImage(m image.Image) *Picture {
	switch m := m.(type) {
	case *image.Gray:
		return fromPixels(m.Rect, m.Pix, m.Stride, 1, func(out, in []uint8) { out[0], out[1], out[2] = in[0], in[0], in[0] })
	case *image.Gray16:
		return fromPixels(m.Rect, m.Pix, m.Stride, 2, func(out, in []uint8) { out[0], out[1], out[2] = in[0], in[0], in[0] })
	case *image.RGBA: // of a file without alpha
		return fromPixels(m.Rect, m.Pix, m.Stride, 4, copyRGB)
	case *image.NRGBA:
		return fromPixels(m.Rect, m.Pix, m.Stride, 4, copyRGB)
	case *image.RGBA64: // of a file without alpha
		return fromPixels(m.Rect, m.Pix, m.Stride, 8, copyUpper)
	case *image.NRGBA64:
		return fromPixels(m.Rect, m.Pix, m.Stride, 8, copyUpper)
	case *image.CMYK:
		return fromPixels(m.Rect, m.Pix, m.Stride, 4, fromCMYK)
	case *image.Paletted:
		colours := paletteOf(m.Palette)
		return fromPixels(m.Rect, m.Pix, m.Stride, 1, func(out, in []uint8) { copy(out, colours[in[0]][:]) })
	}
	panic("picture: a decoder returned a kind of image it is not known to")
}

// fromPixels converts pixels of a number of bytes one by one.
func fromPixels(bounds image.Rectangle, pix []uint8, stride, bytes int, convert func(out, in []uint8)) *Picture {
	p := newPicture(bounds.Dx(), bounds.Dy())
	for y := range p.Height {
		in, out := pix[y*stride:], p.row(y)
		for len(out) > 0 {
			convert(out[:channels], in[:bytes])
			in, out = in[bytes:], out[channels:]
		}
	}
	return p
}

func copyRGB(out, in []uint8) { out[0], out[1], out[2] = in[0], in[1], in[2] }

// copyUpper takes the upper halves of big-endian values.
func copyUpper(out, in []uint8) { out[0], out[1], out[2] = in[0], in[2], in[4] }

// fromCMYK takes from the light that black leaves the share that each ink takes.
func fromCMYK(out, in []uint8) {
	light := 255 - int(in[3])
	for i, ink := range in[:channels] {
		taken := int(ink)*light + 128
		taken = (taken>>8 + taken) >> 8 // divided by 255, rounded
		out[i] = uint8(max(0, light-taken))
	}
}

// paletteOf takes the colours of a PNG's palette as they are stored.
func paletteOf(colours color.Palette) (p palette) {
	for i, c := range colours {
		switch c := c.(type) {
		case color.RGBA: // of a file without alpha
			p[i] = [channels]uint8{c.R, c.G, c.B}
		case color.NRGBA:
			p[i] = [channels]uint8{c.R, c.G, c.B}
		default:
			panic("picture: a palette has a kind of colour that image/png does not make")
		}
	}
	return p
}
