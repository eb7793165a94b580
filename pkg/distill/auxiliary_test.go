package distill

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// unitDecision lets rows choose units with random probabilities; choose gives the
// units of a row, ascending.
func unitDecision(r *rand.Rand, rows, n int, choose func(row int) []int32) routing.Decision {
	d := routing.Decision{Selector: routing.Experts, Gain: tape.NewParam(rows, n), Start: []int{0}, Off: make([]bool, rows)}
	for i := range rows {
		for u, p := range softmax(widened(normal(r, n, 1))) {
			d.Gain.Mat().Row(i)[u] = float32(float64(n) * p)
		}
		d.Chosen = append(d.Chosen, choose(i)...)
		d.Start = append(d.Start, len(d.Chosen))
	}
	return d
}

// tokenDecision scores sequences of the given lengths and keeps the best k of each that
// is not off.
func tokenDecision(r *rand.Rand, k int, off []bool, lengths ...int) routing.Decision {
	l := tape.NewLayout(lengths...)
	d := routing.Decision{Selector: routing.MLPTokens, Scores: tape.NewParam(l.Rows(), 1), Layout: l, Off: make([]bool, l.Rows())}
	copy(d.Scores.Data, normal(r, l.Rows(), 2))
	for s := range lengths {
		lo, hi := l.Start[s], l.Start[s+1]
		order := make([]int32, hi-lo)
		for i := range order {
			order[i] = int32(lo + i)
			d.Off[lo+i] = off[s]
		}
		if !off[s] {
			slices.SortFunc(order, func(a, b int32) int {
				if d.Scores.Data[a] > d.Scores.Data[b] {
					return -1
				}
				return 1
			})
			order = order[:min(k, len(order))]
		}
		slices.Sort(order)
		d.Chosen = append(d.Chosen, order...)
	}
	return d
}

func rowsOf(v *tape.Var) [][]float64 {
	out := make([][]float64, v.Rows)
	for i := range out {
		out[i] = widened(v.Mat().Row(i))
	}
	return out
}

// Rows that take turns load the units evenly whatever they think of them.
func TestBalanceOfAnEvenLoadIsOne(t *testing.T) {
	const n = 12
	for k := 1; k <= n; k++ {
		d := unitDecision(newRand(uint64(k)), 3*n, n, func(row int) []int32 {
			var chosen []int32
			for j := range k {
				chosen = append(chosen, int32((row+j)%n))
			}
			slices.Sort(chosen)
			return chosen
		})
		if got := balanceLoss(&d, 0); !closeTo(got, 1, 1e-6) {
			t.Errorf("%d of %d chosen in turns: got %v, want 1", k, n, got)
		}
	}
}

// All rows sure of the same units: the loss is n/k, its largest value for that k.
func TestBalanceOfASkewedLoad(t *testing.T) {
	const n, rows = 8, 5
	for k := 1; k < n; k++ {
		d := unitDecision(newRand(1), rows, n, func(int) []int32 {
			chosen := make([]int32, k)
			for i := range chosen {
				chosen[i] = int32(i)
			}
			return chosen
		})
		for i := range rows {
			for u := range n {
				d.Gain.Mat().Row(i)[u] = 0
				if u < k {
					d.Gain.Mat().Row(i)[u] = float32(n) / float32(k)
				}
			}
		}
		if got, want := balanceLoss(&d, 0), float64(n)/float64(k); !closeTo(got, want, 1e-6) {
			t.Errorf("the first %d of %d chosen by all: got %v, want %v", k, n, got, want)
		}
	}
}

func TestBalanceGradient(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, n := rapid.IntRange(1, 9).Draw(t, "rows"), rapid.IntRange(2, 7).Draw(t, "units")
		r := newRand(rapid.Uint64().Draw(t, "seed"))
		d := unitDecision(r, rows, n, func(int) []int32 {
			chosen := make([]int32, 1+r.IntN(n))
			for i, u := range r.Perm(n)[:len(chosen)] {
				chosen[i] = int32(u)
			}
			slices.Sort(chosen)
			return chosen
		})
		for i := range d.Off {
			d.Off[i] = i > 0 && r.IntN(3) == 0
		}
		const weight = 0.7
		gains := rowsOf(d.Gain)
		if got, want := balanceLoss(&d, weight), naiveBalance(d, gains); !closeTo(got, want, 1e-12) {
			t.Fatalf("got %v, want %v", got, want)
		}
		for i := range gains {
			for u := range gains[i] {
				at := gains[i][u]
				// The shares f do not depend on the gains, so they are held constant.
				want := weight * slope(func(h float64) float64 {
					gains[i][u] = at + h
					return naiveBalance(d, gains)
				}, 1e-3)
				gains[i][u] = at
				if got := float64(d.Gain.GradMat().Row(i)[u]); !closeTo(got, want, 1e-6) {
					t.Fatalf("gradient of gain %d of row %d: got %v, want %v", u, i, got, want)
				}
			}
		}
	})
}

// naiveBCE is the mean over rows that are not off of the cross-entropy of σ(z − τ), τ
// as given per sequence.
func naiveBCE(d routing.Decision, z, cuts []float64) float64 {
	var sum, rows float64
	for s := range d.Layout.Sequences() {
		for r := d.Layout.Start[s]; r < d.Layout.Start[s+1]; r++ {
			if d.Off[r] {
				continue
			}
			rows++
			p := 1 / (1 + math.Exp(cuts[s]-z[r]))
			if contains(d.Chosen, r) {
				sum -= math.Log(p)
			} else {
				sum -= math.Log(1 - p)
			}
		}
	}
	return sum / max(1, rows)
}

func TestTokenLoss(t *testing.T) {
	for _, tt := range []struct {
		lengths []int
		off     []bool
		k       int
	}{
		{[]int{1}, []bool{false}, 1},
		{[]int{9}, []bool{false}, 4},
		{[]int{9}, []bool{false}, 9},
		{[]int{6, 0, 11, 3}, []bool{false, false, true, false}, 2},
		{[]int{4, 4}, []bool{true, true}, 2},
	} {
		name := fmt.Sprintf("%d of %v, off %v", tt.k, tt.lengths, tt.off)
		d := tokenDecision(newRand(3), tt.k, tt.off, tt.lengths...)
		const weight = 0.7
		z, cuts := widened(d.Scores.Data), make([]float64, len(tt.lengths))
		for s := range cuts {
			cuts[s] = math.Inf(1)
			for _, r := range d.Chosen {
				if int(r) >= d.Layout.Start[s] && int(r) < d.Layout.Start[s+1] {
					cuts[s] = min(cuts[s], z[r])
				}
			}
		}
		if got, want := tokenLoss(&d, weight), naiveBCE(d, z, cuts); !closeTo(got, want, 1e-6) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
		for r := range z {
			at := z[r]
			want := weight * slope(func(h float64) float64 {
				z[r] = at + h
				return naiveBCE(d, z, cuts)
			}, 1e-3)
			z[r] = at
			if got := float64(d.Scores.Grad[r]); !closeTo(got, want, 1e-6) {
				t.Errorf("%s: gradient of score %d: got %v, want %v", name, r, got, want)
			}
			if d.Off[r] && d.Scores.Grad[r] != 0 {
				t.Errorf("%s: row %d is off and has a gradient", name, r)
			}
		}
	}
}

// Scores far beyond float32's exponential.
func TestTokenLossOfExtremeScores(t *testing.T) {
	d := tokenDecision(newRand(1), 1, []bool{false}, 3)
	copy(d.Scores.Data, []float32{1e4, -1e4, 1e4 + 1})
	d.Chosen = []int32{0}
	// The second lies 2e4 under the cut, which costs nothing; the third 1 over it.
	want := (math.Log(2) + math.Log1p(math.E)) / 3
	if got := tokenLoss(&d, 1); !closeTo(got, want, 1e-6) {
		t.Errorf("got %v, want %v", got, want)
	}
	for i, want := range []float64{-0.5 / 3, 0, 1 / (1 + math.Exp(-1)) / 3} {
		if got := float64(d.Scores.Grad[i]); !closeTo(got, want, 1e-6) {
			t.Errorf("gradient of score %d: got %v, want %v", i, got, want)
		}
	}
}

// Both losses are means over their decisions, and gradients are those of the weighted
// means.
func TestAuxiliaryIsAMean(t *testing.T) {
	r := newRand(6)
	one := func(int) []int32 { return []int32{1} }
	make2 := func() []routing.Decision {
		r = newRand(6)
		return []routing.Decision{
			unitDecision(r, 4, 3, one), tokenDecision(r, 2, []bool{false}, 5), unitDecision(r, 2, 6, one), tokenDecision(r, 1, []bool{false}, 4),
			tokenDecision(r, 1, []bool{false}, 7),
		}
	}
	o := Options{Balance: 0.3, BCE: 0.6}
	got, alone := make2(), make2()
	balance, bce := auxiliary(got, &o)
	var wantBalance, wantBCE float64
	for i := range alone {
		if d := &alone[i]; d.Start != nil {
			wantBalance += balanceLoss(d, o.Balance/2) / 2
			near(t, "balance gradient", got[i].Gain.Grad, d.Gain.Grad)
		} else {
			wantBCE += tokenLoss(d, o.BCE/3) / 3
			near(t, "BCE gradient", got[i].Scores.Grad, d.Scores.Grad)
		}
	}
	if !closeTo(balance, wantBalance, 1e-12) || !closeTo(bce, wantBCE, 1e-12) {
		t.Errorf("got %v and %v, want %v and %v", balance, bce, wantBalance, wantBCE)
	}
	if balance, bce := auxiliary(nil, &o); balance != 0 || bce != 0 {
		t.Errorf("of nothing: got %v and %v, want zeros", balance, bce)
	}
}
