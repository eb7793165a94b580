package kernel

import "unsafe"

// vector is how many floats gonum's dot product adds side by side. It takes floats one
// by one up to the first address that is a multiple of a whole vector, so the order of
// a sum, and with it the last bits, would depend on where its second operand lies:
// among other rows, behind other values, in a map or on the heap.
const vector = 4

// aligned returns m with every row at the start of a vector, copied to *buf (grown as
// needed) unless it lies so already, which it does for all usual widths.
func (m Mat) aligned(buf *[]float32) Mat {
	if m.Stride%vector == 0 && intoVector(m.Data) == 0 {
		return m
	}
	stride := (m.Cols + vector - 1) / vector * vector
	data := grow(buf, m.Rows*stride+vector)
	data = data[(vector-intoVector(data))%vector:]
	c := Mat{Rows: m.Rows, Cols: m.Cols, Stride: stride, Data: data[:m.Rows*stride]}
	for i := range m.Rows {
		copy(c.Row(i), m.Row(i))
	}
	return c
}

// intoVector is how many floats x starts behind the start of a vector.
func intoVector(x []float32) int {
	return int(uintptr(unsafe.Pointer(unsafe.SliceData(x))) / unsafe.Sizeof(x[0]) % vector)
}
