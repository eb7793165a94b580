package kernel

import (
	"math"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/elastiformer/elastiformer/internal/simd"
)

// Rope holds the rotary embedding's frequencies: pair i of a head turns by
// pos·Freq[i] radians, its cosine and sine scaled by Magnitude (Su et al.,
// arXiv 2104.09864; Magnitude is YaRN's, arXiv 2309.00071, and 1 elsewhere).
//
// The first Apply fixes them: cosines and sines are kept from then on. A Rope may be
// used by several goroutines.
type Rope struct {
	HeadDim   int       // values in a head
	Freq      []float64 // (pairs), at most HeadDim/2: later values are left alone
	Magnitude float64
	// Halves pairs value i with i+pairs (NEOX); otherwise 2i with 2i+1 (NORM).
	Halves bool

	growing sync.Mutex
	table   atomic.Pointer[turns]
	single  sync.Pool // of *turns, one position each
}

// turns is the cosines and sines of positions from 0 on, in the order in which
// simd.RotateHalves or simd.RotatePairs wants those of a head.
type turns struct {
	positions int
	cos, sin  []float32 // (positions, width)
}

func newTurns(positions, width int) *turns {
	return &turns{positions: positions, cos: make([]float32, positions*width), sin: make([]float32, positions*width)}
}

const (
	// tableFloats is the most that a table holds (16 MB); later positions are computed
	// whenever they come.
	tableFloats = 1 << 22
	// tableStart is the least number of positions of a table.
	tableStart = 64
)

// Apply rotates every head of every row in place: x (T, heads·HeadDim), pos (T).
// With inverse set it turns back, which is the backward pass.
func (r *Rope) Apply(x Mat, pos []int32, inverse bool) {
	if len(r.Freq) == 0 || x.Rows == 0 {
		return
	}
	last := pos[0]
	for _, p := range pos[:x.Rows] {
		last = max(last, p)
	}
	table := r.upTo(int(last))
	if x.Rows <= rowChunk {
		r.apply(table, x, pos, inverse)
		return
	}
	ParallelRows(x.Rows, func(lo, hi int) { r.apply(table, x.RowRange(lo, hi), pos[lo:hi], inverse) })
}

// apply is Apply on the calling goroutine.
func (r *Rope) apply(table *turns, x Mat, pos []int32, inverse bool) {
	sign := float32(1)
	if inverse {
		sign = -1
	}
	for t := range x.Rows {
		if p := int(pos[t]); p >= 0 && p < table.positions {
			lo, hi := p*r.width(), (p+1)*r.width()
			r.rotate(x.Row(t), table.cos[lo:hi], table.sin[lo:hi], sign)
			continue
		}
		r.rotateBeyond(x.Row(t), pos[t], sign)
	}
}

// rotateBeyond turns a row of a position that the table does not hold.
func (r *Rope) rotateBeyond(row []float32, pos int32, sign float32) {
	t, ok := r.single.Get().(*turns)
	if !ok {
		t = newTurns(1, r.width())
	}
	defer r.single.Put(t)
	r.fill(t.cos, t.sin, pos)
	r.rotate(row, t.cos, t.sin, sign)
}

// rotate turns the heads of one row.
func (r *Rope) rotate(row, cos, sin []float32, sign float32) {
	n := len(r.Freq)
	for h := 0; h < len(row); h += r.HeadDim {
		if r.Halves {
			simd.RotateHalves(row[h:h+n], row[h+n:h+2*n], cos, sin, sign)
		} else {
			simd.RotatePairs(row[h:h+2*n], cos, sin, sign)
		}
	}
}

// width is how many cosines a position has: one for a pair, or one for each of the two.
func (r *Rope) width() int {
	if r.Halves {
		return len(r.Freq)
	}
	return 2 * len(r.Freq)
}

// fill computes cosines and sines of a position.
func (r *Rope) fill(cos, sin []float32, pos int32) {
	for i, f := range r.Freq {
		s, c := math.Sincos(float64(pos) * f)
		vc, vs := float32(c*r.Magnitude), float32(s*r.Magnitude)
		if r.Halves {
			cos[i], sin[i] = vc, vs
			continue
		}
		cos[2*i], cos[2*i+1] = vc, vc
		sin[2*i], sin[2*i+1] = -vs, vs
	}
}

// upTo is a table that holds a position, if tables do. It grows to twice its size, so
// that a text of n tokens, one after the other, costs the turns of 2n.
func (r *Rope) upTo(pos int) *turns {
	if t := r.table.Load(); t != nil && pos < t.positions {
		return t
	}
	r.growing.Lock()
	defer r.growing.Unlock()
	positions := max(tableStart, 1<<bits.Len(uint(max(0, pos))))
	positions = min(positions, max(1, tableFloats/(2*r.width())))
	before := r.table.Load()
	if before == nil {
		before = &turns{}
	}
	if positions <= before.positions {
		return before
	}
	t := newTurns(positions, r.width())
	copy(t.cos, before.cos)
	copy(t.sin, before.sin)
	for p := before.positions; p < positions; p++ {
		lo, hi := p*r.width(), (p+1)*r.width()
		r.fill(t.cos[lo:hi], t.sin[lo:hi], int32(p))
	}
	r.table.Store(t)
	return t
}
