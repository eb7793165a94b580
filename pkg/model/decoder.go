package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
)

// Decoder is the second half of a masked autoencoder (He et al., arXiv 2111.06377): from the
// encoder's output for the few patches that it saw it draws all of them. It is small, serves
// pretraining and showing alone, and is never elastic: its work counts as that of a head.
type Decoder struct {
	Blocks

	Embed      tape.Projection // (D', D): of the encoder's tokens
	Mask       *tape.Var       // (1, D'): stands where a patch was not seen
	Positions  *tape.Var       // (1 + grid², D')
	OutputNorm *tape.Norm      // (1, D')
	Output     tape.Projection // (P·P·C, D'): a patch row by row, the channels of a pixel together

	MaskRatio  float64 // share of the patches that are hidden in pretraining
	NormPixels bool    // patches are drawn with mean zero and variance one
}

// decoder reads the keys of a masked autoencoder's decoder, where there is one.
func (k *keys) decoder(m *Encoder) {
	if !k.has("decoder.block_count") {
		return
	}
	d := &Decoder{MaskRatio: k.floatOr("mask_ratio", 0.75), NormPixels: k.boolOr("norm_pixels", false)}
	d.Config = Config{
		Layers: k.int("decoder.block_count"), Width: k.int("decoder.embedding_length"),
		Heads: k.int("decoder.attention.head_count"), FeedForward: k.int("decoder.feed_forward_length"),
	}
	if !(d.MaskRatio >= 0 && d.MaskRatio < 1) {
		k.fail(fmt.Errorf("key %q = %v %w", k.prefix+"mask_ratio", d.MaskRatio, ErrInvalid))
	}
	m.Decoder = d
}

// check verifies the decoder's numbers and completes them with the encoder's.
func (d *Decoder) check(m *Encoder, tensors int) error {
	own := d.Config
	d.Config = m.Config // norms, activation, number of tokens
	d.Config.Layers, d.Width, d.Heads, d.FeedForward = own.Layers, own.Width, own.Heads, own.FeedForward
	if m.Special != 1 {
		return fmt.Errorf("model: a decoder behind %d special tokens is %w (known: a class token alone)", m.Special, ErrUnsupported)
	}
	if err := d.completeEncoder(tensors); err != nil {
		return fmt.Errorf("decoder: %w", err)
	}
	return nil
}

// decoder binds the tensors of m.Decoder.
func (b *binder) decoder(m *Encoder) {
	d, v := m.Decoder, &m.Vision
	d.file, d.tensors = b.file, b.tensors
	d.Embed = b.projection("v.dec.embd", d.Width, m.Width)
	d.Mask = b.vector("v.dec.mask_embd", d.Width)
	d.Positions = b.table("v.dec.position_embd.weight", m.Special+v.Grid()*v.Grid(), d.Width)
	d.OutputNorm = b.layerNorm("v.dec.post_ln", &d.Config)
	d.Output = b.projection("v.dec.out", v.PatchSize*v.PatchSize*v.Channels, d.Width)
	for i := 0; i < d.Config.Layers && b.err == nil; i++ {
		d.Layers = append(d.Layers, b.encoderLayer(&d.Config, fmt.Sprintf("v.dec.blk.%d.", i)))
	}
}

// Seen is how many of so many patches are not hidden, rounded down.
func (d *Decoder) Seen(patches int) int {
	const slack = 1e-6 // files keep the ratio as a float32, and 4 of 10 are not to become 3.9999998
	return int(float64(patches) * min(1, 1-d.MaskRatio+slack))
}

// DrawVisible draws by lot which of so many patches of a picture are seen, all but
// MaskRatio of them, ascending.
func (d *Decoder) DrawVisible(r *rand.Rand, patches int) []int32 {
	order := r.Perm(patches)
	visible := make([]int32, d.Seen(patches))
	for i := range visible {
		visible[i] = int32(order[i])
	}
	slices.Sort(visible)
	return visible
}

// HiddenOf is Hidden of pictures of which only some patches are seen: visible (B) lists
// those of every picture, ascending, by their number row by row. The output and its layout
// hold the special tokens and these patches; what is not seen costs nothing.
func (m *Encoder) HiddenOf(t *tape.Tape, in Images, visible [][]int32, r Router) (*tape.Var, *tape.Layout) {
	each := m.Tokens(in.Height, in.Width)
	var rows []int32
	lengths := make([]int, len(visible))
	for i, patches := range visible {
		for s := range m.Special {
			rows = append(rows, int32(i*each+s))
		}
		for _, p := range patches {
			rows = append(rows, int32(i*each+m.Special)+p)
		}
		lengths[i] = m.Special + len(patches)
	}
	l := tape.NewLayout(lengths...)
	x := t.Norm(t.Gather(m.embed(t, in), rows), m.InputNorm)
	return t.Norm(m.run(t, x, l, r, nil), m.OutputNorm), l
}

// Draw lets the decoder draw all patches of pictures: h of HiddenOf → (B·n, P·P·C), each
// patch row by row, the channels of a pixel together, in the pixels' own units or, with
// NormPixels, those of the patch.
func (m *Encoder) Draw(t *tape.Tape, in Images, visible [][]int32, h *tape.Var) *tape.Var {
	d, before := m.Decoder, t.MACs
	table := m.Vision.positions(t, d.Positions, m.Special, in.Height/m.Vision.PatchSize, in.Width/m.Vision.PatchSize)
	seen := d.places(visible, table.Rows)
	x := t.NewVar(len(visible)*table.Rows, d.Width, false)
	next := 0
	for r := range x.Rows {
		row := x.Mat().Row(r)
		copy(row, table.Mat().Row(r%table.Rows))
		if next < len(seen) && int(seen[next]) == r {
			next++
		} else {
			kernel.Add(row, d.Mask.Data)
		}
	}
	ones := tape.NewConst(x.Rows, 1, slices.Repeat([]float32{1}, x.Rows))
	x = t.Residual(x, t.Linear(h, d.Embed, nil, tape.WorkHead), &tape.Rows{Kept: seen, Gain: ones})
	l := tape.NewLayout(slices.Repeat([]int{table.Rows}, len(visible))...)
	x = t.Norm(d.run(t, x, l, nil, nil), d.OutputNorm)
	x = t.Linear(t.Gather(x, patchRows(l, m.Special)), d.Output, nil, tape.WorkHead)
	spent := t.MACs.Total() - before.Total()
	t.MACs = before
	t.MACs[tape.WorkHead] += spent
	return x
}

// places lists the rows of the class token and of the visible patches among all tokens of all
// pictures, so many of each.
func (d *Decoder) places(visible [][]int32, tokens int) []int32 {
	var rows []int32
	for i, patches := range visible {
		first := int32(i * tokens)
		rows = append(rows, first)
		for _, p := range patches {
			rows = append(rows, first+1+p)
		}
	}
	return rows
}

// Reconstruction is what a masked autoencoder made of pictures that it saw in part.
type Reconstruction struct {
	// Pixels (B) are pictures (C, Height, Width) as the decoder draws them, also where it saw
	// them. A decoder that draws normalised patches knows nothing of their brightness: for
	// showing, each gets the mean and the variance of the patch that it stands for.
	Pixels [][]float32
	// Loss (B) is that of pretraining: the mean squared error of the patches not seen, in the
	// decoder's own units; 0 where all were seen.
	Loss []float64
}

// Reconstruct lets the encoder look at the visible patches of pictures, as in HiddenOf, and
// the decoder draw all of them.
func (m *Encoder) Reconstruct(t *tape.Tape, in Images, visible [][]int32, r Router) Reconstruction {
	h, _ := m.HiddenOf(t, in, visible, r)
	drawn := m.Draw(t, in, visible, h).Mat()
	out := Reconstruction{Pixels: make([][]float32, len(in.Pixels)), Loss: make([]float64, len(in.Pixels))}
	p, across := m.Vision.PatchSize, in.Width/m.Vision.PatchSize
	n := in.Height / p * across
	want := make([]float32, drawn.Cols) // (P, P, C): a patch of the picture
	for i, pixels := range in.Pixels {
		out.Pixels[i] = slices.Clone(pixels) // keeps what is left of whole patches
		for patch := range n {
			top, left := patch/across*p, patch%across*p
			m.eachPixel(in, top, left, func(value, pixel int) { want[value] = pixels[pixel] })
			mean, deviation := m.Decoder.units(want)
			row := drawn.Row(i*n + patch)
			if _, seen := slices.BinarySearch(visible[i], int32(patch)); !seen {
				out.Loss[i] += squaredError(row, want, mean, deviation) / float64(n-len(visible[i]))
			}
			m.eachPixel(in, top, left, func(value, pixel int) {
				out.Pixels[i][pixel] = float32(mean + deviation*float64(row[value]))
			})
		}
	}
	return out
}

// eachPixel goes through a patch of a picture as the decoder has it: value counts row by row,
// the channels of a pixel together, pixel is the place in (C, Height, Width).
func (m *Encoder) eachPixel(in Images, top, left int, f func(value, pixel int)) {
	p, channels := m.Vision.PatchSize, m.Vision.Channels
	for y := range p {
		for x := range p {
			for c := range channels {
				f((y*p+x)*channels+c, (c*in.Height+top+y)*in.Width+left+x)
			}
		}
	}
}

// pixelEpsilon keeps patches of one colour from being divided by zero, as in the authors' code.
const pixelEpsilon = 1e-6

// units are the mean and the deviation that a patch is drawn without: its own, all pixels and
// channels together, with the unbiased variance of PyTorch's var; or none.
func (d *Decoder) units(patch []float32) (mean, deviation float64) {
	if !d.NormPixels {
		return 0, 1
	}
	for _, v := range patch {
		mean += float64(v) / float64(len(patch))
	}
	var variance float64
	for _, v := range patch {
		variance += (float64(v) - mean) * (float64(v) - mean) / float64(max(1, len(patch)-1))
	}
	return mean, math.Sqrt(variance + pixelEpsilon)
}

// squaredError is the mean squared error of a patch that was drawn in the given units.
func squaredError(drawn, want []float32, mean, deviation float64) float64 {
	var sum float64
	for i, v := range want {
		miss := float64(drawn[i]) - (float64(v)-mean)/deviation
		sum += miss * miss
	}
	return sum / float64(len(want))
}
