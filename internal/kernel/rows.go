package kernel

import "gonum.org/v1/gonum/blas/blas32"

// Gather copies rows of x into dst, one after the other: dst (n, D), rows (n).
func Gather(dst, x Mat, rows []int32) {
	ParallelRows(len(rows), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			copy(dst.Row(i), x.Row(int(rows[i])))
		}
	})
}

// ScatterAdd adds row i of x to row rows[i] of dst; rows (n) holds no row twice.
func ScatterAdd(dst, x Mat, rows []int32) {
	ParallelRows(len(rows), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			Add(dst.Row(int(rows[i])), x.Row(i))
		}
	})
}

// Add computes dst += x over equal lengths.
func Add(dst, x []float32) {
	x = x[:len(dst)]
	for i, v := range x {
		dst[i] += v
	}
}

// longRow is the length from which gonum's vector code beats a plain loop.
const longRow = 64

// AddScaled computes dst += f·x over equal lengths.
func AddScaled(dst, x []float32, f float32) {
	x = x[:len(dst)]
	if len(x) >= longRow {
		blas32.Axpy(f, blas32.Vector{N: len(x), Inc: 1, Data: x}, blas32.Vector{N: len(x), Inc: 1, Data: dst})
		return
	}
	for i, v := range x {
		dst[i] += f * v
	}
}

// Scale computes x *= f.
func Scale(x []float32, f float32) {
	for i := range x {
		x[i] *= f
	}
}

// AddBias adds b (D) to every row of x (T, D).
func AddBias(x Mat, b []float32) {
	ParallelRows(x.Rows, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			Add(x.Row(t), b)
		}
	})
}

// SumRows adds the sum of x's rows to dst (D), in order.
func SumRows(dst []float32, x Mat) {
	for t := range x.Rows {
		Add(dst, x.Row(t))
	}
}
