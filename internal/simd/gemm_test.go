package simd

import (
	"math"
	"math/rand/v2"
	"testing"
)

// onLevels runs f at every level this processor has.
func onLevels(t *testing.T, f func(t *testing.T, l Level)) {
	t.Helper()
	defer Use(Current())
	for l := Generic; l <= Best(); l++ {
		Use(l)
		t.Run(l.String(), func(t *testing.T) { f(t, l) })
	}
}

func normals(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// A tile is the chain of fused multiply-adds it is documented to be, to the last bit at
// the vector levels; plain Go may round a sum twice, which shows in the last bit. What
// lies beside the tile stays.
func TestTileLevels(t *testing.T) {
	onLevels(t, func(t *testing.T, l Level) {
		r := rand.New(rand.NewPCG(1, 1))
		for m := 1; m <= TileRows(); m++ {
			for panels := 0; panels <= 10; panels += PanelStep() {
				for _, k := range []int{1, 2, 3, 4, 5, 8, 31} {
					for _, accumulate := range []bool{false, true} {
						testTile(t, r, m, panels, k, accumulate, l == Generic)
					}
				}
			}
		}
	})
}

func testTile(t *testing.T, r *rand.Rand, m, panels, k int, accumulate, loose bool) {
	t.Helper()
	const col = 3
	stride := k*PanelWidth + 16
	a, b := normals(r, k*m), normals(r, (panels+1)*stride)
	width := col + panels*PanelWidth + 2
	got := normals(r, m*width)
	before := append([]float32(nil), got...)
	var rows Rows
	for i := range m {
		rows[i] = &got[i*width]
	}
	MulPanels(&rows, col, a, b, stride, k, m, panels, accumulate)
	for i, v := range got {
		row, j := i/width, i%width-col
		want := before[i]
		if j >= 0 && j < panels*PanelWidth {
			if !accumulate {
				want = 0
			}
			for l := range k {
				want = fma(a[l*m+row], b[j/PanelWidth*stride+l*PanelWidth+j%PanelWidth], want)
			}
		}
		if v != want && (!loose || math.Abs(float64(v-want)) > 1e-6*(1+math.Abs(float64(want)))) {
			t.Fatalf("%d rows, %d panels, %d steps: (%d,%d) = %v, want %v", m, panels, k, row, j, v, want)
		}
	}
}

// Listed rows give what packed tiles give, and nothing else is written to.
func TestMulList(t *testing.T) {
	onLevels(t, func(t *testing.T, l Level) {
		r := rand.New(rand.NewPCG(3, 1))
		for n := range 3*ListRows() + 2 {
			for panels := 0; panels <= 4; panels += ListPanels() {
				for _, k := range []int{4, 8, 28} {
					for _, accumulate := range []bool{false, true} {
						testList(t, r, n, panels, k, accumulate, l == Generic)
					}
				}
			}
		}
	})
}

func testList(t *testing.T, r *rand.Rand, n, panels, k int, accumulate, loose bool) {
	t.Helper()
	const offset = 2
	width := panels*(PanelWidth+3) + 1
	a, c := normals(r, n*(offset+k+1)+1), normals(r, n*width+1)
	before := append([]float32(nil), c...)
	var b [][]float32
	var cols []int
	for p := range panels {
		b = append(b, normals(r, k*PanelWidth))
		cols = append(cols, (panels-1-p)*(PanelWidth+3)+1)
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
	MulList(list, n, offset, b, cols, k, accumulate)
	want := append([]float32(nil), before...)
	for i, to := range order {
		for p := range panels {
			for j := range PanelWidth {
				v := &want[to*width+cols[p]+j]
				if !accumulate {
					*v = 0
				}
				for l := range k {
					*v = fma(a[i*(offset+k+1)+offset+l], b[p][l*PanelWidth+j], *v)
				}
			}
		}
	}
	for i, v := range c {
		if v != want[i] && (!loose || math.Abs(float64(v-want[i])) > 1e-6*(1+math.Abs(float64(want[i])))) {
			t.Fatalf("%d rows, %d panels, %d steps: value %d = %v, want %v", n, panels, k, i, v, want[i])
		}
	}
}

func TestAddRows(t *testing.T) {
	onLevels(t, func(t *testing.T, _ Level) {
		r := rand.New(rand.NewPCG(5, 1))
		for _, n := range []int{0, 1, 127, 128, 300, 1024} {
			for rows := range 5 {
				sum := normals(r, n+1)
				difference := append([]float32(nil), sum...)
				wantSum, wantDifference := append([]float32(nil), sum...), append([]float32(nil), sum...)
				var list []*float32
				for range rows {
					x := normals(r, n+1)
					list = append(list, &x[0])
					for i := range n {
						wantSum[i] += x[i]
						wantDifference[i] -= x[i]
					}
				}
				AddRows(sum[:n], list)
				SubtractRows(difference[:n], list)
				for i := range sum {
					if sum[i] != wantSum[i] || difference[i] != wantDifference[i] {
						t.Fatalf("%d rows of %d: value %d = %v and %v, want %v and %v", rows, n, i, sum[i], difference[i], wantSum[i], wantDifference[i])
					}
				}
			}
		}
	})
}

func TestScaleRows(t *testing.T) {
	onLevels(t, func(t *testing.T, _ Level) {
		r := rand.New(rand.NewPCG(6, 1))
		for _, width := range []int{0, 1, 7, 8, 16, 48, 1 << 15} {
			for n := range 4 {
				all, f := normals(r, n*width+1), normals(r, n)
				want := append([]float32(nil), all...)
				for i := range n * width {
					want[i] *= f[i/width]
				}
				ScaleRows(all[:n*width], width, f)
				for i, v := range all {
					if v != want[i] {
						t.Fatalf("%d rows of %d: value %d = %v, want %v", n, width, i, v, want[i])
					}
				}
			}
		}
	})
}

// fma is x·y + z rounded once: a product of floats is exact in float64, and rounding the
// sum to odd before it is rounded to float32 keeps what decides a tie.
func fma(x, y, z float32) float32 {
	p, q := float64(x)*float64(y), float64(z)
	sum := p + q
	b := sum - p
	lost := (p - (sum - b)) + (q - b) // exact (Knuth's two-sum)
	if lost != 0 && math.Float64bits(sum)&1 == 0 {
		if (lost > 0) == (sum > 0) {
			sum = math.Float64frombits(math.Float64bits(sum) + 1)
		} else {
			sum = math.Float64frombits(math.Float64bits(sum) - 1)
		}
	}
	return float32(sum)
}

// Packing copies what it should, reads nothing outside and writes no further than the
// slack.
func TestPack(t *testing.T) {
	onLevels(t, func(t *testing.T, _ Level) {
		r := rand.New(rand.NewPCG(2, 1))
		for width := 1; width <= PanelWidth; width++ {
			for k := range 50 {
				testPackColumns(t, r, width, k)
				testPackRows(t, r, width, k)
			}
		}
	})
}

// target is a destination with a guard behind it.
func target(n int) (dst, guard []float32) {
	all := make([]float32, n+PackSlack+16)
	for i := range all {
		all[i] = 7
	}
	return all[: n+PackSlack : n+PackSlack], all[n+PackSlack:]
}

func checkGuard(t *testing.T, guard []float32) {
	t.Helper()
	for _, v := range guard {
		if v != 7 {
			t.Fatal("written behind the slack")
		}
	}
}

func testPackColumns(t *testing.T, r *rand.Rand, width, k int) {
	t.Helper()
	const offset = 5
	src := normals(r, PanelWidth*(offset+k+1))
	var rows Rows
	for i := range rows {
		rows[i] = &src[i*(offset+k+1)]
	}
	dst, guard := target(k * width)
	PackColumns(dst, width, &rows, offset, k)
	for l := range k {
		for i := range width {
			if got, want := dst[l*width+i], src[i*(offset+k+1)+offset+l]; got != want {
				t.Fatalf("width %d, %d steps: (%d,%d) = %v, want %v", width, k, l, i, got, want)
			}
		}
	}
	checkGuard(t, guard)
}

func testPackRows(t *testing.T, r *rand.Rand, width, k int) {
	t.Helper()
	stride := width + 3
	src := normals(r, max(0, k*stride-3)) // ends with the last row
	dst, guard := target(k * width)
	PackRows(dst, width, src, stride, k)
	for l := range k {
		for i := range width {
			if got, want := dst[l*width+i], src[l*stride+i]; got != want {
				t.Fatalf("width %d, %d rows: (%d,%d) = %v, want %v", width, k, l, i, got, want)
			}
		}
	}
	checkGuard(t, guard)
}

func TestRequestedLevel(t *testing.T) {
	for name, want := range map[string]Level{"": Best(), "generic": Generic, "avx2": min(AVX2, Best()), "avx512": Best()} {
		if got, err := requested(name); got != want || err != nil {
			t.Errorf("requested(%q) = %v, %v; want %v", name, got, err, want)
		}
	}
	if got, err := requested("sse"); got != Best() || err == nil {
		t.Errorf("an unknown level gave %v, %v", got, err)
	}
}
