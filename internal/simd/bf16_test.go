package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// words are random pairs, and the values of their halves.
func words(r *rand.Rand, n int) (w []float32, halves [][2]float32) {
	w, halves = make([]float32, n), make([][2]float32, n)
	for i := range w {
		w[i] = word(float32(r.NormFloat64()), float32(r.NormFloat64()))
		halves[i] = halvesOf(w[i])
	}
	return w, halves
}

func halvesOf(w float32) [2]float32 {
	bits := math.Float32bits(w)
	return [2]float32{math.Float32frombits(bits << 16), math.Float32frombits(bits &^ 0xffff)}
}

// bf16Error bounds the rounding of one addition, relative to the magnitudes of all terms.
const bf16Error = 1.0 / (1 << 23)

// exactPairs is start + Σ x·y over pairs, and the magnitude of its terms.
func exactPairs(start float32, n int, pair func(l int) (x, y [2]float32)) (sum, size float64) {
	sum, size = float64(start), math.Abs(float64(start))
	for l := range n {
		x, y := pair(l)
		for i := range x {
			p := float64(x[i]) * float64(y[i])
			sum, size = sum+p, size+math.Abs(p)
		}
	}
	return sum, size
}

// Tiles of words are sums of products, beside the tile nothing is written, and an element is
// the same to the last bit whatever the size of its tile.
func TestMulPairs(t *testing.T) {
	onLevels(t, func(t *testing.T, _ Level) {
		r := rand.New(rand.NewPCG(7, 1))
		for m := 1; m <= TileRows(); m++ {
			for panels := 0; panels <= 10; panels += PanelStep() {
				for _, k := range []int{1, 2, 4, 5, 31} {
					for _, accumulate := range []bool{false, true} {
						testPairs(t, r, m, panels, k, accumulate)
					}
				}
			}
		}
	})
}

func testPairs(t *testing.T, r *rand.Rand, m, panels, k int, accumulate bool) {
	t.Helper()
	const col = 3
	stride := k*PanelWidth + 16
	a, x := words(r, k*m)
	b, y := words(r, (panels+1)*stride)
	width := col + panels*PanelWidth + 2
	got := normals(r, m*width)
	before, alone := append([]float32(nil), got...), append([]float32(nil), got...)
	var rows Rows
	for i := range m {
		rows[i] = &got[i*width]
		row, one := make([]float32, k), Rows{&alone[i*width]}
		for l := range row {
			row[l] = a[l*m+i]
		}
		for p := 0; p < panels; p += PanelStep() {
			MulPairs(&one, col+p*PanelWidth, row, b[p*stride:], stride, k, 1, PanelStep(), accumulate)
		}
	}
	MulPairs(&rows, col, a, b, stride, k, m, panels, accumulate)
	for i, v := range got {
		row, j := i/width, i%width-col
		want, tolerance := float64(before[i]), 0.0
		if j >= 0 && j < panels*PanelWidth {
			var start float32
			if accumulate {
				start = before[i]
			}
			want, tolerance = exactPairs(start, k, func(l int) (p, q [2]float32) {
				return x[l*m+row], y[j/PanelWidth*stride+l*PanelWidth+j%PanelWidth]
			})
			tolerance *= float64(2*k) * bf16Error
		}
		if !(math.Abs(float64(v)-want) <= tolerance) {
			t.Fatalf("%d rows, %d panels, %d words: (%d,%d) = %v, want %v ± %v", m, panels, k, row, j, v, want, tolerance)
		}
		if v != alone[i] {
			t.Fatalf("%d rows, %d panels, %d words: (%d,%d) = %v, alone %v", m, panels, k, row, j, v, alone[i])
		}
	}
}

// Listed rows of words give what tiles give, to the last bit, and nothing else is written.
func TestMulPairList(t *testing.T) {
	onLevels(t, func(t *testing.T, _ Level) {
		r := rand.New(rand.NewPCG(8, 1))
		for n := range 3*ListRows() + 2 {
			for panels := 0; panels <= 4; panels += ListPanels() {
				for _, k := range []int{4, 8, 28} {
					for _, accumulate := range []bool{false, true} {
						testPairList(t, r, n, panels, k, accumulate)
					}
				}
			}
		}
	})
}

func testPairList(t *testing.T, r *rand.Rand, n, panels, k int, accumulate bool) {
	t.Helper()
	const offset = 2
	width := panels*(PanelWidth+3) + 1
	a, _ := words(r, n*(offset+k+1)+1)
	c := normals(r, n*width+1)
	want := append([]float32(nil), c...)
	b, cols := make([][]float32, panels), make([]int, panels)
	all, _ := words(r, panels*k*PanelWidth)
	for p := range panels {
		b[p], cols[p] = all[p*k*PanelWidth:], (panels-1-p)*(PanelWidth+3)+1
	}
	order := r.Perm(n) // row i of a goes to row order[i] of c
	var list []*float32
	for i := 0; i < n; i += ListRows() {
		m := min(ListRows(), n-i)
		for j := range m {
			list = append(list, &a[(i+j)*(offset+k+1)])
		}
		for j := range m {
			list = append(list, &c[order[i+j]*width])
		}
	}
	MulPairList(list, n, offset, b, cols, k, accumulate)
	for i, to := range order {
		for p := range panels {
			var out [4 * PanelWidth]float32
			at := want[to*width+cols[p]:][:PanelWidth]
			copy(out[:], at)
			tile := append(append([]float32(nil), b[p][:k*PanelWidth]...), make([]float32, 3*k*PanelWidth)...)
			MulPairs(&Rows{&out[0]}, 0, a[i*(offset+k+1)+offset:], tile, k*PanelWidth, k, 1, PanelStep(), accumulate)
			copy(at, out[:])
		}
	}
	for i, v := range c {
		if v != want[i] {
			t.Fatalf("%d rows, %d panels, %d words: value %d = %v, want %v", n, panels, k, i, v, want[i])
		}
	}
}

// Rounding to bfloat16 is to nearest, ties to even, and the same at every level.
func TestPairs(t *testing.T) {
	special := []float32{
		0, float32(math.Copysign(0, -1)), 1, -1, float32(math.Inf(1)), float32(math.Inf(-1)), math.MaxFloat32, -math.MaxFloat32,
		math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, float32(math.NaN()), math.Float32frombits(0xff80_0001),
		math.Float32frombits(0x3f80_8000), math.Float32frombits(0x3f81_8000), math.Float32frombits(0x3f80_8001),
		math.Float32frombits(0x007f_ffff), math.Float32frombits(0x0080_0000), math.Float32frombits(0x0080_7fff),
	}
	onLevels(t, func(t *testing.T, _ Level) {
		r := rand.New(rand.NewPCG(9, 1))
		for n := range 100 {
			src := normals(r, n)
			for i := range src {
				if r.IntN(3) == 0 {
					src[i] = special[r.IntN(len(special))]
				}
			}
			dst := append(make([]float32, (n+1)/2), 7)
			PairRow(dst[:(n+1)/2], src)
			for i, w := range dst[:(n+1)/2] {
				checkHalf(t, fmt.Sprintf("row of %d", n), halvesOf(w)[0], src[2*i])
				if 2*i+1 < n {
					checkHalf(t, fmt.Sprintf("row of %d", n), halvesOf(w)[1], src[2*i+1])
				} else {
					checkHalf(t, fmt.Sprintf("row of %d", n), halvesOf(w)[1], 0)
				}
			}
			if dst[(n+1)/2] != 7 {
				t.Fatalf("%d floats: written behind the end", n)
			}
		}
		for k := range 9 {
			const stride = PanelWidth + 3
			src := normals(r, max(0, 2*k*stride-3))
			dst := append(make([]float32, k*PanelWidth), 7)
			PairColumns(dst, src, stride, k)
			for l := range k {
				for j := range PanelWidth {
					h := halvesOf(dst[l*PanelWidth+j])
					checkHalf(t, "columns", h[0], src[2*l*stride+j])
					checkHalf(t, "columns", h[1], src[(2*l+1)*stride+j])
				}
			}
			if dst[k*PanelWidth] != 7 {
				t.Fatalf("%d pairs of rows: written behind the end", k)
			}
		}
	})
}

// checkHalf compares a bfloat16 with the two next to the float it stands for.
func checkHalf(t *testing.T, name string, got, x float32) {
	t.Helper()
	bits, half := math.Float32bits(x), math.Float32bits(got)
	down, up := bits&^0xffff, bits&^0xffff+0x1_0000
	want := down
	rest := bits & 0xffff
	switch {
	case x != x:
		if got == got || half>>31 != bits>>31 {
			t.Fatalf("%s: NaN became %v", name, got)
		}
		return
	case bits<<1>>24 == 0: // below the least normal number
		want = bits >> 31 << 31
	case rest > 0x8000 || rest == 0x8000 && down>>16&1 == 1:
		want = up
	}
	if half != want {
		t.Fatalf("%s: %x became %x, want %x", name, bits, half, want)
	}
}
