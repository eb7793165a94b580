package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// threads is how many goroutines a parallel section may use, the caller included.
var threads atomic.Int32

func init() { threads.Store(int32(runtime.GOMAXPROCS(0))) }

// SetThreads sets how many goroutines a parallel section uses (at least one). It
// changes speed only: results are the same for any number.
func SetThreads(n int) { threads.Store(int32(max(1, n))) }

// Threads returns what SetThreads set; by default the processors available.
func Threads() int { return int(threads.Load()) }

// Parallel calls f(i) once for every i in [0, n), from up to Threads goroutines.
// Tasks are claimed in order from a shared counter and the caller takes part. The
// tasks must write to disjoint memory.
func Parallel(n int, f func(i int)) {
	workers := min(Threads(), n)
	if workers <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	work := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			f(i)
		}
	}
	var wg sync.WaitGroup
	wg.Add(workers - 1)
	for range workers - 1 {
		go func() {
			defer wg.Done()
			work()
		}()
	}
	work()
	wg.Wait()
}

// rowChunk is the number of rows one task of an element-wise kernel takes.
const rowChunk = 64

// ParallelRows calls f(lo, hi) for consecutive chunks of [0, rows). A chunk's
// bounds depend on rows alone.
func ParallelRows(rows int, f func(lo, hi int)) {
	ParallelChunks(rows, rowChunk, f)
}

// ParallelChunks is ParallelRows with chunks of the given size.
func ParallelChunks(rows, size int, f func(lo, hi int)) {
	chunks := (rows + size - 1) / size
	Parallel(chunks, func(i int) { f(i*size, min(rows, (i+1)*size)) })
}
