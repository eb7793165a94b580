package simd

// Int8Len is how many consecutive inputs share a scale, in weights and in activations.
const Int8Len = 32

// Int8Block is 32 activations: element i is Scale·Q[i], Q in -127..127. The rest is what
// products need beside: sums of activations, for levels that lie above their weights and for
// offsets of weights.
type Int8Block struct {
	Q           [Int8Len]int8
	Scale       float32  // the largest magnitude / 127; NaN if one of the 32 is not finite
	Offset      int32    // -128·ΣQ
	HalfOffsets [2]int32 // -128·ΣQ over each half
	Sum         float32  // Scale·ΣQ
}

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
// The inner sum is an exact integer, over a whole block or over each half that has a scale of
// its own, the product of the scales is rounded, and one fused multiply-add joins both to the
// sum, block after block, starting from zero or, with Add, from what Dst holds. Another adds
// the offset of the weights, if they have one, times the sum of the activations. So a result
// has the same bits at every level, in whatever pieces it is computed. (Where levels are
// brought up, see [Blocks.Int8], a multiple of the weights and a fraction of the scales are taken,
// which changes nothing unless numbers become subnormal.)
type Int8Product struct {
	Format  Blocks
	Blocks  int         // how many
	X       []Int8Block // (len(Rows), XStride), the last row may end after Blocks
	XStride int         // blocks from one row of X to the next
	W       []byte      // panels WStride apart, the last may end after Blocks
	WStride int         // bytes from one panel of W to the next
	First   int         // blocks of the first super-block, with which W begins, that are left out
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
	ok := p.Blocks >= 0 && p.XStride >= 0 && p.WStride >= 0 && p.Outputs >= 0 &&
		p.First >= 0 && p.First < p.Format.int8SuperBlocks()
	if ok && rows > 0 && panels > 0 && p.Blocks > 0 {
		ok = (rows-1)*p.XStride+p.Blocks <= len(p.X) &&
			(panels-1)*p.WStride+p.Format.Int8Bytes(p.First+p.Blocks) <= len(p.W)
	}
	for _, at := range p.Rows {
		ok = ok && 0 <= at && at <= len(p.Dst)-p.Outputs
	}
	if !ok {
		panic("simd: operands of an int8 product do not fit")
	}
}
