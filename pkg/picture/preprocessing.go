package picture

// Mode says how a picture comes to the size a model reads.
type Mode string

// The modes of the key image_resize.
const (
	// ModeExact resizes both sides to ResizeSize, whatever the shape, and cuts the middle out.
	ModeExact Mode = "exact"
	// ModeShortest resizes the shorter side to ResizeSize and cuts the middle out.
	ModeShortest Mode = "shortest"
	// ModePad resizes the longer side to the size and pads, as llama.cpp does for LLaVA,
	// with its own interpolation; Filter and ResizeSize do not matter.
	ModePad Mode = "pad"
)

// MaxSize is the greatest side a checkpoint may ask for.
const MaxSize = 4096

// Preprocessing says how a model wants its pictures.
type Preprocessing struct {
	Channels   int // 3, or 1 for grey
	Size       int // width and height of what the model reads
	Mode       Mode
	ResizeSize int       // of both sides, or the shorter one, before cropping
	Filter     Filter    // of resizing
	Mean, Std  []float32 // (Channels) of values in 0..1
}

// WithSize returns the same preprocessing for another resolution, n from 1 to MaxSize:
// ResizeSize grows with Size.
func (r *Preprocessing) WithSize(n int) *Preprocessing {
	if n < 1 || n > MaxSize {
		panic("picture: size out of range")
	}
	other := *r
	other.Size = n
	other.ResizeSize = max(1, (r.ResizeSize*n+r.Size/2)/r.Size)
	return &other
}

// Apply returns what the model reads: (Channels, Size, Size), each value v of the picture
// as (v/255 − mean) / std.
func (r *Preprocessing) Apply(p *Picture) []float32 {
	shown := r.Shown(p)
	plane := r.Size * r.Size
	pixels := make([]float32, r.Channels*plane) // (Channels, Size, Size)
	for c := range r.Channels {
		var normalised [256]float32
		for v := range normalised {
			normalised[v] = (float32(v)/255 - r.Mean[c]) / r.Std[c]
		}
		out := pixels[c*plane : (c+1)*plane]
		for i := range out {
			out[i] = normalised[shown.Pix[channels*i+c]]
		}
	}
	return pixels
}

// Shown returns the picture as the model sees it: Size a side, grey if it reads grey, and
// not normalised.
func (r *Preprocessing) Shown(p *Picture) *Picture {
	if r.Channels == 1 {
		p = p.Grey()
	}
	if r.Mode == ModePad {
		return p.pad(r.Size)
	}
	return r.cropped(p)
}

// cropped resizes and cuts the middle out. Of the resized picture only what is kept is
// computed: of a picture much longer than wide it may be large.
func (r *Preprocessing) cropped(p *Picture) *Picture {
	width, height := r.ResizeSize, r.ResizeSize
	switch {
	case r.Mode == ModeExact:
	case p.Width <= p.Height:
		height = r.ResizeSize * p.Height / p.Width
	default:
		width = r.ResizeSize * p.Width / p.Height
	}
	across, left := middle(width, r.Size)
	down, top := middle(height, r.Size)
	inner := p.resize(across, down, r.Filter)
	if inner.Width == r.Size && inner.Height == r.Size {
		return inner
	}
	out := newPicture(r.Size, r.Size)
	for y := range inner.Height {
		copy(out.row(top + y)[channels*left:], inner.row(y))
	}
	return out
}

// middle returns the part of an axis of side pixels that a centre crop of size keeps and
// how many black pixels stand before it. All divisions round down, as in the image
// processors of Hugging Face; where an odd number is cut off, torchvision's own
// CenterCrop may begin one pixel later.
func middle(side, size int) (kept span, before int) {
	if side >= size {
		return span{(side - size) / 2, size, side}, 0
	}
	return span{0, side, side}, (size - side) / 2
}

// Denormalise undoes the normalisation: it returns pixels (Channels, Size, Size) as a
// picture of 8 bits, for showing what a model draws. Values are rounded, and cut off
// outside of 0..255; what is not a number becomes black.
func (r *Preprocessing) Denormalise(pixels []float32) *Picture {
	p := newPicture(r.Size, r.Size)
	plane := r.Size * r.Size
	for i := range plane {
		for c := range channels {
			from := min(c, r.Channels-1)
			v := (float32(pixels[from*plane+i]*r.Std[from]) + r.Mean[from]) * 255
			if v > 0 {
				p.Pix[channels*i+c] = uint8(min(v, 255) + 0.5)
			}
		}
	}
	return p
}
