package picture

import "image"

// Most lossy files store colour at half the resolution of brightness. The decoders that
// models see their pictures through widen it with a triangle filter: of two samples the
// nearer counts three times. The standard library repeats samples instead, which shifts
// the colours of small pictures visibly. Both decoders' filters are here, with their
// own rounding, and their own formulas from luma and chroma to RGB.

// plane is one of the two planes of chroma: (height, width).
type plane struct {
	pix                   []uint8
	stride, width, height int
}

// chroma returns the planes of an image at their stored resolution.
func chroma(m *image.YCbCr) (cb, cr plane) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	across, down := factors(m.SubsampleRatio)
	cb = plane{m.Cb, m.CStride, (w + across - 1) / across, (h + down - 1) / down}
	cr = cb
	cr.pix = m.Cr
	return cb, cr
}

// factors returns how many pixels share a sample of chroma in a row and in a column.
func factors(ratio image.YCbCrSubsampleRatio) (across, down int) {
	switch ratio {
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	return 1, 1
}

// row returns a row of samples; above the first and below the last there are more like
// them.
func (p *plane) row(y int) []uint8 {
	y = min(max(y, 0), p.height-1)
	return p.pix[y*p.stride : y*p.stride+p.width]
}

// rows returns the rows that a row of pixels lies between: the nearer one and the
// farther.
func (p *plane) rows(y int) (near, far []uint8) {
	if y%2 == 0 {
		return p.row(y / 2), p.row(y/2 - 1)
	}
	return p.row(y / 2), p.row(y/2 + 1)
}

// fromJPEG converts as libjpeg-turbo does.
func fromJPEG(m *image.YCbCr) *Picture {
	p := newPicture(m.Rect.Dx(), m.Rect.Dy())
	cb, cr := chroma(m)
	across, down := factors(m.SubsampleRatio)
	u, v := make([]uint8, p.Width+across), make([]uint8, p.Width+across)
	for y := range p.Height {
		cb.widenJPEG(u, y, across, down)
		cr.widenJPEG(v, y, across, down)
		luma, out := m.Y[y*m.YStride:], p.row(y)
		for x := range p.Width {
			jpegRGB(out[channels*x:], luma[x], u[x], v[x])
		}
	}
	return p
}

// widenJPEG fills out with the chroma of a row of pixels: the triangle filter where the
// factors are 1 and 2 and there are at least three samples in a row, else repetition.
func (p *plane) widenJPEG(out []uint8, y, across, down int) {
	switch {
	case across == 1 && down == 1:
		copy(out, p.row(y))
	case across == 1 && down == 2:
		near, far := p.rows(y)
		for x := range near {
			out[x] = uint8((3*int(near[x]) + int(far[x]) + 1 + y%2) >> 2)
		}
	case across == 2 && p.width > 2 && down == 1:
		in := p.row(y)
		last := len(in) - 1
		for x, c := range in {
			out[2*x] = uint8((3*int(c) + int(in[max(x-1, 0)]) + 1) >> 2)
			out[2*x+1] = uint8((3*int(c) + int(in[min(x+1, last)]) + 2) >> 2)
		}
	case across == 2 && p.width > 2:
		near, far := p.rows(y)
		last := len(near) - 1
		column := func(x int) int { return 3*int(near[x]) + int(far[x]) }
		for x := range near {
			c := 3 * column(x)
			out[2*x] = uint8((c + column(max(x-1, 0)) + 8) >> 4)
			out[2*x+1] = uint8((c + column(min(x+1, last)) + 7) >> 4)
		}
	default:
		in := p.row(y / down)
		for x := range out {
			out[x] = in[min(x/across, len(in)-1)]
		}
	}
}

// jpegRGB is the conversion of JFIF (ITU-R BT.601, full range) in fixed point of 16
// bits, each product of chroma rounded as libjpeg does it.
func jpegRGB(out []uint8, y, cb, cr uint8) {
	const half = 1 << 15
	l, u, v := int(y), int(cb)-128, int(cr)-128
	out[0] = clip8(l + (91881*v+half)>>16)
	out[1] = clip8(l + (-22554*u-46802*v+half)>>16)
	out[2] = clip8(l + (116130*u+half)>>16)
}

// fromWebP converts as libwebp does.
func fromWebP(m *image.YCbCr) *Picture {
	p := newPicture(m.Rect.Dx(), m.Rect.Dy())
	cb, cr := chroma(m)
	u, v := make([]uint8, p.Width+1), make([]uint8, p.Width+1)
	for y := range p.Height {
		cb.widenWebP(u, y)
		cr.widenWebP(v, y)
		luma, out := m.Y[y*m.YStride:], p.row(y)
		for x := range p.Width {
			webpRGB(out[channels*x:], luma[x], u[x], v[x])
		}
	}
	return p
}

// widenWebP fills out with the chroma of a row of pixels: the triangle filter in both
// directions, rounded twice. VP8 always has a factor of 2 in both.
func (p *plane) widenWebP(out []uint8, y int) {
	near, far := p.rows(y)
	last := len(near) - 1
	for x := range near {
		out[2*x] = webpSample(near, far, x, max(x-1, 0))
		out[2*x+1] = webpSample(near, far, x, min(x+1, last))
	}
}

// webpSample is (9·near[x] + 3·near[side] + 3·far[x] + far[side] + 8) / 16 in the two
// steps of libwebp; at the ends of a row, where x = side, it is (3·near + far + 2) / 4.
func webpSample(near, far []uint8, x, side int) uint8 {
	a, b, c, d := int(near[x]), int(near[side]), int(far[x]), int(far[side])
	if x == side {
		return uint8((3*a + c + 2) >> 2)
	}
	diagonal := (a + b + c + d + 8 + 2*(b+c)) >> 3
	return uint8((diagonal + a) >> 1)
}

// webpRGB is the conversion of ITU-R BT.601 for luma from 16 to 235 and chroma from 16
// to 240, in libwebp's fixed point: products lose eight bits, sums six.
func webpRGB(out []uint8, y, cb, cr uint8) {
	l, u, v := 19077*int(y)>>8, int(cb), int(cr)
	out[0] = clip8((l + 26149*v>>8 - 14234) >> 6)
	out[1] = clip8((l - 6419*u>>8 - 13320*v>>8 + 8708) >> 6)
	out[2] = clip8((l + 33050*u>>8 - 17685) >> 6)
}

// clip8 is v within what 8 bits hold.
func clip8(v int) uint8 { return uint8(min(max(v, 0), 255)) }
