package kernel_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
)

func TestParallelCallsEachOnce(t *testing.T) {
	withThreads(t, func(threads int) {
		for _, n := range []int{0, 1, 2, 7, 1000} {
			calls := make([]atomic.Int32, n)
			kernel.Parallel(n, func(i int) { calls[i].Add(1) })
			for i := range calls {
				if c := calls[i].Load(); c != 1 {
					t.Fatalf("%d threads: task %d of %d was called %d times", threads, i, n, c)
				}
			}
		}
	})
}

func TestParallelUsesNoMoreThreads(t *testing.T) {
	withThreads(t, func(threads int) {
		var running, most atomic.Int32
		kernel.Parallel(200, func(int) {
			now := running.Add(1)
			for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
			}
			kernel.Parallel(3, func(int) {}) // a section within a section
			running.Add(-1)
		})
		if got := int(most.Load()); got > threads {
			t.Errorf("%d tasks ran at once on %d threads", got, threads)
		}
	})
}

func TestSetThreads(t *testing.T) {
	defer kernel.SetThreads(kernel.Threads())
	for _, test := range []struct{ set, want int }{{4, 4}, {1, 1}, {0, 1}, {-3, 1}} {
		if kernel.SetThreads(test.set); kernel.Threads() != test.want {
			t.Errorf("SetThreads(%d) gives %d, want %d", test.set, kernel.Threads(), test.want)
		}
	}
}

func TestParallelChunks(t *testing.T) {
	withThreads(t, func(threads int) {
		for _, test := range []struct{ rows, size int }{{0, 4}, {1, 4}, {4, 4}, {9, 4}, {1000, 7}} {
			seen := make([]atomic.Int32, test.rows)
			kernel.ParallelChunks(test.rows, test.size, func(lo, hi int) {
				if lo%test.size != 0 || hi-lo > test.size || hi <= lo {
					t.Errorf("chunk [%d,%d) of size %d", lo, hi, test.size)
				}
				for i := lo; i < hi; i++ {
					seen[i].Add(1)
				}
			})
			for i := range seen {
				if c := seen[i].Load(); c != 1 {
					t.Fatalf("%s: row %d came %d times", fmt.Sprint(threads, test), i, c)
				}
			}
		}
	})
}
