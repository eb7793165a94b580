package kernel_test

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

// Sections within sections end, on however few workers, and miss nothing.
func TestParallelNested(t *testing.T) {
	withThreads(t, func(threads int) {
		var calls atomic.Int32
		kernel.Parallel(9, func(int) {
			kernel.Parallel(7, func(int) {
				kernel.Parallel(5, func(int) { calls.Add(1) })
			})
		})
		if got, want := calls.Load(), int32(9*7*5); got != want {
			t.Errorf("%d threads: %d calls, want %d", threads, got, want)
		}
	})
}

// Sections of many goroutines share the workers, whose memory of past sections must not
// reach into the next.
func TestParallelFromManyGoroutines(t *testing.T) {
	withThreads(t, func(threads int) {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for n := range 200 {
					calls := make([]atomic.Int32, n)
					kernel.Parallel(n, func(i int) { calls[i].Add(1) })
					for i := range calls {
						if c := calls[i].Load(); c != 1 {
							t.Errorf("%d threads: task %d of %d was called %d times", threads, i, n, c)
						}
					}
				}
			})
		}
		all.Wait()
	})
}

// A panic reaches the caller wherever its task ran, no task runs on behind Parallel's
// back, and the next section is not touched by it.
func TestParallelPanic(t *testing.T) {
	cause := errors.New("task 3")
	withThreads(t, func(threads int) {
		for range 50 {
			var running atomic.Int32
			value := panicOf(func() {
				kernel.Parallel(100, func(i int) {
					running.Add(1)
					defer running.Add(-1)
					if i == 3 {
						panic(cause)
					}
				})
			})
			err, ok := value.(error)
			if !ok || !errors.Is(err, cause) {
				t.Fatalf("%d threads: panicked with %v, want %v", threads, value, cause)
			}
			if n := running.Load(); n != 0 {
				t.Fatalf("%d threads: %d tasks still run", threads, n)
			}
			if value := panicOf(func() { kernel.Parallel(100, func(int) {}) }); value != nil {
				t.Fatalf("%d threads: the next section panicked with %v", threads, value)
			}
		}
	})
}

// What a worker's task panicked with is shown with the place where it did.
func TestParallelPanicOnWorker(t *testing.T) {
	defer kernel.SetThreads(kernel.Threads())
	kernel.SetThreads(2)
	caller := goroutine()
	for _, end := range []struct {
		want []string
		do   func()
	}{
		{[]string{"no such head", "panicsOnWorker"}, panicsOnWorker},
		{[]string{"runtime.Goexit"}, runtime.Goexit},
	} {
		var value any
		for try := 0; value == nil && try < 1000; try++ { // until a worker comes in time
			value = panicOf(func() {
				kernel.Parallel(2, func(int) {
					if goroutine() != caller {
						end.do()
					}
					time.Sleep(time.Millisecond)
				})
			})
		}
		message := fmt.Sprint(value)
		for _, want := range end.want {
			if !strings.Contains(message, want) {
				t.Errorf("panicked with %q, want %q in it", message, want)
			}
		}
	}
}

func panicsOnWorker() { panic("no such head") }

// panicOf is what f panics with, or nil.
func panicOf(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

// goroutine names the goroutine it runs on.
func goroutine() string {
	name, _, _ := strings.Cut(string(debug.Stack()), " [")
	return name
}

// BenchmarkParallel is the cost of a section whose tasks do nothing, and what a section
// of eight tasks gains that take the time given. Sections follow one another as in a
// forward pass, as much serial work between them as one task has.
func BenchmarkParallel(b *testing.B) {
	defer kernel.SetThreads(kernel.Threads())
	for _, work := range []time.Duration{0, 5 * time.Microsecond, 50 * time.Microsecond} {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("task=%v/threads=%d", work, threads), func(b *testing.B) {
				kernel.SetThreads(threads)
				b.ReportAllocs()
				for b.Loop() {
					occupy(work)
					kernel.Parallel(8, func(int) { occupy(work) })
				}
			})
		}
	}
}

// occupy computes for about as long as asked.
func occupy(d time.Duration) {
	if d == 0 {
		return
	}
	for start := time.Now(); time.Since(start) < d; {
	}
}
