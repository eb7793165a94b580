package simd

// Int8Len is how many consecutive inputs share a scale, in weights and in activations.
const Int8Len = 32

// Int8Block is 32 activations: element i is Scale·Q[i], Q in -127..127.
type Int8Block struct {
	Q      [Int8Len]int8
	Scale  float32 // the largest magnitude / 127; NaN if one of the 32 is not finite
	Offset int32   // -128·ΣQ: what makes products with weights that lie 128 too high right
}

// Int8Format is a format of block-quantised weights. Both formats cut a matrix into
// panels of 16 outputs (rows), and panels into blocks of 32 inputs, one behind the other.
// A block holds its weights and behind them the scales of its 16 outputs as half-precision
// numbers: as many bytes as the same blocks have in a GGUF file.
//
// Weights lie in groups of 64 bytes, [16 outputs][4 consecutive inputs], because the
// instructions multiply and add four bytes at a time. They are stored without sign.
//
//	Int8Q8: 8 groups, each byte 128 above its weight
//	Int8Q4: 4 groups; group j has the weights of group j in its lower halves of bytes,
//	        of group j+4 in its upper halves, each 8 above its weight
type Int8Format uint8

// The formats.
const (
	Int8Q8 Int8Format = iota // ggml's Q8_0, a panel at a time
	Int8Q4                   // ggml's Q4_0, a panel at a time
)

// BlockBytes is the size of a block: 16 outputs by 32 inputs.
func (f Int8Format) BlockBytes() int { return f.weightBytes() + int8ScaleBytes }

// weightBytes is the size of a block without its scales.
func (f Int8Format) weightBytes() int {
	if f == Int8Q4 {
		return PanelWidth * Int8Len / 2
	}
	return PanelWidth * Int8Len
}

const (
	int8ScaleBytes = 2 * PanelWidth
	int8GroupBytes = 4 * PanelWidth
	int8Groups     = Int8Len / 4
)

// QuantiseInt8 quantises x (32·len(dst)):
//
//	dst[b].Scale = max_i |x[32b+i]| / 127
//	dst[b].Q[i]  = x[32b+i] / Scale to the nearest integer, halves to even
//
// An error is at most Scale/2, give or take the rounding of the division. Blocks with a
// NaN or an infinity become 32 zeros with a scale that is NaN, so that whatever is
// computed from them is NaN too.
func QuantiseInt8(dst []Int8Block, x []float32) {
	if len(x) != Int8Len*len(dst) {
		panic("simd: blocks of activations do not fit")
	}
	if len(dst) > 0 {
		quantiseInt8(dst, x)
	}
}

// Int8Product is a product of activations x and weights w over some of their blocks, a
// piece of a matrix product that stays in the cache:
//
//	Dst[Rows[r]+o] (+)= Σ_b float(Σ_i X[r,b].Q[i] · w[o,b].q[i]) · (X[r,b].Scale · w[o,b].scale)
//
// The inner sum is an exact integer, the product of the scales is rounded, and one
// fused multiply-add joins both to the sum, block after block, starting from zero or, with
// Add, from what Dst holds. So a result has the same bits at every level, in whatever
// pieces it is computed. (Int8Q4 takes 16 times the weights and a sixteenth of the scales,
// which changes nothing unless numbers become subnormal.)
type Int8Product struct {
	Format  Int8Format
	Blocks  int         // how many
	X       []Int8Block // (len(Rows), XStride), the last row may end after Blocks
	XStride int         // blocks from one row of X to the next
	W       []byte      // panels WStride apart, the last may end after Blocks
	WStride int         // bytes from one panel of W to the next
	Dst     []float32
	Rows    []int // where each row of the result begins in Dst
	Outputs int   // columns of the result; the last panel of W may have more
	Add     bool
}

// MulInt8 computes the product.
func MulInt8(p *Int8Product) {
	p.check()
	switch {
	case len(p.Rows) == 0 || p.Outputs == 0:
	case p.Blocks > 0:
		mulInt8(p)
	case !p.Add:
		for _, at := range p.Rows {
			clear(p.Dst[at : at+p.Outputs])
		}
	}
}

// check panics unless everything the product reads and writes lies within its slices.
func (p *Int8Product) check() {
	rows, panels := len(p.Rows), (p.Outputs+PanelWidth-1)/PanelWidth
	ok := p.Blocks >= 0 && p.XStride >= 0 && p.WStride >= 0 && p.Outputs >= 0
	if rows > 0 && panels > 0 {
		ok = ok && (rows-1)*p.XStride+p.Blocks <= len(p.X) &&
			(panels-1)*p.WStride+p.Blocks*p.Format.BlockBytes() <= len(p.W)
	}
	for _, at := range p.Rows {
		ok = ok && 0 <= at && at <= len(p.Dst)-p.Outputs
	}
	if !ok {
		panic("simd: operands of an int8 product do not fit")
	}
}
