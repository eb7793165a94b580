package simd

// Height and width of tiles in plain Go.
const (
	genericTileRows  = 4
	genericPanelStep = 1
	genericListRows  = 4
)

// mulPanelsGeneric adds in float64 and rounds after every step, which is a fused
// multiply-add but for the rare sum that lies halfway between two floats after its first
// rounding.
func mulPanelsGeneric(c *Rows, col int, a, b []float32, stride, k, m, panels int, accumulate bool) {
	for p := range panels {
		for i := range m {
			out := floats(address(c[i], col+p*PanelWidth), PanelWidth)
			if !accumulate {
				clear(out)
			}
			for l := range k {
				x := float64(a[l*m+i])
				w := b[p*stride+l*PanelWidth:][:PanelWidth]
				for j := range out {
					out[j] = float32(x*float64(w[j]) + float64(out[j]))
				}
			}
		}
	}
}

// packColumnsGeneric packs all there is and returns k.
func packColumnsGeneric(dst []float32, width int, rows *Rows, offset, k int) int {
	for i := range width {
		for l, v := range floats(address(rows[i], offset), k) {
			dst[l*width+i] = v
		}
	}
	return k
}

func packRowsGeneric(dst []float32, width int, src []float32, stride, k int) {
	for l := range k {
		copy(dst[l*width:(l+1)*width], src[l*stride:])
	}
}

func mulListGeneric(list []*float32, n, offset int, b [][]float32, cols []int, k int, accumulate bool) {
	for first := 0; first < n; first += genericListRows {
		m := min(genericListRows, n-first)
		for i := range m {
			a := floats(address(list[2*first+i], offset), k)
			for p, w := range b {
				out := floats(address(list[2*first+m+i], cols[p]), PanelWidth)
				if !accumulate {
					clear(out)
				}
				for l, v := range a {
					x := float64(v)
					for j, y := range w[l*PanelWidth:][:PanelWidth] {
						out[j] = float32(x*float64(y) + float64(out[j]))
					}
				}
			}
		}
	}
}
