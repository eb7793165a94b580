package kernel

import "github.com/elastiformer/elastiformer/internal/simd"

// KeyValues holds the keys and values of one head of one sequence in the layout that
// attention reads: panels of 16 keys for the scores, panels of 16 columns for the sum of
// values. It is packed once and serves every query and every head that shares it.
type KeyValues struct {
	Len, Cap int
	headDim  int
	keys     []float32 // (⌈Cap/16⌉ rounded up to tiles, Dh rounded up to 16, 16)
	values   []float32 // (⌈Dh/16⌉ rounded up to tiles, Cap, 16), then slack
}

// keyValueStride is how many floats a panel of keys takes: as many as packing may write.
func keyValueStride(headDim int) int { return roundUp(headDim, panel) * panel }

func panelsFor(n int) int { return roundUp(tasks(n, panel), simd.PanelStep()) }

// KeyValuesSize is how many floats NewKeyValues needs.
func KeyValuesSize(capacity, headDim int) int {
	return panelsFor(capacity)*keyValueStride(headDim) + panelsFor(headDim)*capacity*panel + 2*simd.PackSlack
}

// NewKeyValues makes room for so many keys and values in memory of KeyValuesSize floats.
func NewKeyValues(capacity, headDim int, memory []float32) KeyValues {
	n := panelsFor(capacity)*keyValueStride(headDim) + simd.PackSlack
	return KeyValues{Cap: capacity, headDim: headDim, keys: memory[:n], values: memory[n:]}
}

// Append adds rows of keys and values, (n, Dh) each, for which there must be room. It
// works on the calling goroutine.
func (c *KeyValues) Append(k, v Mat) {
	checkShape(k.Rows == v.Rows && k.Cols == c.headDim && v.Cols == c.headDim && c.Len+k.Rows <= c.Cap)
	stride := keyValueStride(c.headDim)
	for i := 0; i < k.Rows; {
		at := c.Len + i
		dst := c.keys[at/panel*stride:]
		if at%panel == 0 {
			n := min(panel, k.Rows-i)
			packOutputs(dst, k, i, n, c.headDim)
			i += n
			continue
		}
		for d, x := range k.Row(i) {
			dst[d*panel+at%panel] = x
		}
		i++
	}
	for d := 0; d < c.headDim; d += panel {
		dst := c.values[(d/panel*c.Cap+c.Len)*panel:]
		width := min(panel, c.headDim-d)
		if width == panel && v.Rows > 0 {
			simd.PackRows(dst, panel, v.Data[d:], v.Stride, v.Rows)
			continue
		}
		for i := range v.Rows {
			copy(dst[i*panel:], v.Row(i)[d:d+width])
		}
	}
	c.Len += k.Rows
}

// score fills the first n columns of scores, of rows with room for whole tiles, with the
// products of packed queries (Dh, m) and keys [k0, k0+n), k0 a multiple of 16.
func (c *KeyValues) score(scores Mat, q []float32, k0, n int) {
	stride := keyValueStride(c.headDim)
	var rows simd.Rows
	for i := range scores.Rows {
		rows[i] = &scores.Data[i*scores.Stride]
	}
	simd.MulPanels(&rows, 0, q, c.keys[k0/panel*stride:], stride, c.headDim, scores.Rows, panelsFor(n), false)
}

// sum fills rows of s.sums with the sums of values [k0, k0+n) by packed weights (n, m).
func (c *KeyValues) sum(s *attending, p []float32, m, k0, n int, accumulate bool) {
	width := panelsFor(c.headDim) * panel
	var sums simd.Rows
	for i := range m {
		sums[i] = &s.sums[i*width]
	}
	simd.MulPanels(&sums, 0, p, c.values[k0*panel:], c.Cap*panel, n, m, width/panel, accumulate)
}

// Grown returns a copy with room for at least n keys; the capacity doubles.
func (c *KeyValues) Grown(n int) KeyValues {
	capacity := max(n, 2*c.Cap, 2*panel)
	g := NewKeyValues(capacity, c.headDim, make([]float32, KeyValuesSize(capacity, c.headDim)))
	g.Len = c.Len
	if c.Len > 0 {
		copy(g.keys, c.keys[:tasks(c.Len, panel)*keyValueStride(c.headDim)])
		for p := range tasks(c.headDim, panel) {
			copy(g.values[p*g.Cap*panel:], c.values[p*c.Cap*panel:(p*c.Cap+c.Len)*panel])
		}
	}
	return g
}
