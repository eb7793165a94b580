package kernel

import "math"

// Rope holds the rotary embedding's frequencies: pair i of a head turns by
// pos·Freq[i] radians, its cosine and sine scaled by Magnitude (Su et al.,
// arXiv 2104.09864; Magnitude is YaRN's, arXiv 2309.00071, and 1 elsewhere).
type Rope struct {
	HeadDim   int       // values in a head
	Freq      []float64 // (pairs), at most HeadDim/2: later values are left alone
	Magnitude float64
	// Halves pairs value i with i+pairs (NEOX); otherwise 2i with 2i+1 (NORM).
	Halves bool
}

// Apply rotates every head of every row in place: x (T, heads·HeadDim), pos (T).
// With inverse set it turns back, which is the backward pass.
func (r *Rope) Apply(x Mat, pos []int32, inverse bool) {
	sign := 1.0
	if inverse {
		sign = -1
	}
	n := len(r.Freq)
	ParallelRows(x.Rows, func(lo, hi int) {
		cos, sin := make([]float32, n), make([]float32, n)
		for t := lo; t < hi; t++ {
			for i, f := range r.Freq {
				s, c := math.Sincos(float64(pos[t]) * f)
				cos[i], sin[i] = float32(c*r.Magnitude), float32(sign*s*r.Magnitude)
			}
			row := x.Row(t)
			for h := 0; h < len(row); h += r.HeadDim {
				r.rotate(row[h:h+r.HeadDim], cos, sin)
			}
		}
	})
}

func (r *Rope) rotate(head, cos, sin []float32) {
	n := len(cos)
	for i := range n {
		a, b := 2*i, 2*i+1
		if r.Halves {
			a, b = i, i+n
		}
		x, y := head[a], head[b]
		head[a] = x*cos[i] - y*sin[i]
		head[b] = x*sin[i] + y*cos[i]
	}
}
