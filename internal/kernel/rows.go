package kernel

import "github.com/elastiformer/elastiformer/internal/simd"

// columnChunk is the number of columns one task takes of a sum over rows.
const columnChunk = 256

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
func Add(dst, x []float32) { simd.Add(dst, x) }

// AddRows adds the listed rows, each as long as dst, to dst, one after the other.
func AddRows(dst []float32, rows []*float32) { simd.AddRows(dst, rows) }

// SubtractRows is AddRows with the sign turned.
func SubtractRows(dst []float32, rows []*float32) { simd.SubtractRows(dst, rows) }

// AddScaled computes dst += f·x over equal lengths.
func AddScaled(dst, x []float32, f float32) { simd.AddScaled(dst, x, f) }

// Dot is Σ a·b over equal lengths.
func Dot(a, b []float32) float32 { return simd.Dot(a, b) }

// Scale computes x *= f.
func Scale(x []float32, f float32) { simd.Scale(x, f) }

// ScaleRows multiplies each row of x (T, D), without gaps between them, by its factor,
// f (T).
func ScaleRows(x Mat, f []float32) {
	checkShape(x.Stride == x.Cols && len(f) == x.Rows)
	ParallelChunks(x.Rows, max(1, valueChunk/max(1, x.Cols)), func(lo, hi int) {
		simd.ScaleRows(x.RowRange(lo, hi).Data, x.Cols, f[lo:hi])
	})
}

// AddBias adds b (D) to every row of x (T, D).
func AddBias(x Mat, b []float32) {
	ParallelRows(x.Rows, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			Add(x.Row(t), b)
		}
	})
}

// MultiplyRows computes dst[t,i] = x[t,i]·w[i]: dst, x (T, D), w (D).
func MultiplyRows(dst, x Mat, w []float32) {
	ParallelRows(x.Rows, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			simd.MulScaled(dst.Row(t), x.Row(t), w, 1)
		}
	})
}

// MultiplyRowsBackward adds the gradient of MultiplyRows to dx (T, D) and dw (D),
// whichever has data:
//
//	dx = dy·w,  dw = Σ_t dy·x
func MultiplyRowsBackward(dx, dy, x Mat, w, dw []float32) {
	if dx.Data != nil {
		ParallelRows(x.Rows, func(lo, hi int) {
			for t := lo; t < hi; t++ {
				simd.AddMulScaled(dx.Row(t), dy.Row(t), w, 1)
			}
		})
	}
	ParallelChunks(len(dw), columnChunk, func(lo, hi int) {
		for t := range x.Rows {
			simd.AddMulScaled(dw[lo:hi], dy.Row(t)[lo:hi], x.Row(t)[lo:hi], 1)
		}
	})
}

// SumRows adds the sum of x's rows to dst (D), in order.
func SumRows(dst []float32, x Mat) {
	ParallelChunks(len(dst), columnChunk, func(lo, hi int) {
		for t := range x.Rows {
			Add(dst[lo:hi], x.Row(t)[lo:hi])
		}
	})
}
