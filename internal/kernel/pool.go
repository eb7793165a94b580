package kernel

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
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
// Tasks are claimed in order from a shared counter and the caller takes part: it never
// waits for a worker that has claimed nothing, so a section may stand within a task of
// another. The tasks must write to disjoint memory.
//
// When a task panics, no further ones are begun, and Parallel panics in the caller once
// those under way have ended: with the task's own value if it ran there, otherwise with
// an error that holds the value and the stack of the goroutine it ran on.
func Parallel(n int, f func(i int)) {
	helpers := min(Threads(), n) - 1
	if helpers <= 0 {
		for i := range n {
			f(i)
		}
		return
	}
	s := newSection(n, f)
	callWorkers(s, helpers)
	begun, returned := 0, false
	// Deferred, so that a panic of one of the caller's tasks waits for the others too.
	defer func() {
		if !returned {
			begun += s.cancel()
		}
		s.join(begun)
	}()
	s.work(&begun)
	returned = true
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

// section is one call of Parallel under way. Its memory is used again: references
// counts the caller and the calls for help that no worker has answered yet, and who
// drops the last one hands it on. So a worker that comes late finds a section without
// tasks to claim, never another one in its place.
type section struct {
	f          func(i int)
	n          int
	next       atomic.Int64 // the first task that nobody has claimed
	left       atomic.Int64 // tasks that have not ended
	references atomic.Int32
	failure    atomic.Pointer[taskError]
	done       chan struct{} // takes one value if a worker ends the last task
}

// sections holds those that are over.
var sections = sync.Pool{New: func() any { return &section{done: make(chan struct{}, 1)} }}

func newSection(n int, f func(i int)) *section {
	s := sections.Get().(*section)
	s.f, s.n = f, n
	s.next.Store(0)
	s.left.Store(int64(n))
	s.references.Store(1)
	return s
}

func (s *section) release() {
	if s.references.Add(-1) == 0 {
		s.f = nil
		s.failure.Store(nil)
		sections.Put(s)
	}
}

// work runs tasks until all are claimed, counting them in *begun.
func (s *section) work(begun *int) {
	for {
		i := int(s.next.Add(1)) - 1
		if i >= s.n {
			return
		}
		*begun++
		s.f(i)
	}
}

// cancel claims all tasks that nobody has and returns how many they are.
func (s *section) cancel() int { return max(0, s.n-int(s.next.Swap(int64(s.n)))) }

// end notes that tasks have ended, or will never begin, and says whether they were the
// last of the section.
func (s *section) end(tasks int) bool { return tasks > 0 && s.left.Add(int64(-tasks)) == 0 }

// joinSpins is how often the caller looks whether the tasks under way have ended before
// it lets its thread go, some microseconds in all: tasks are alike and begin in order,
// so the last ones end at nearly the same time.
const joinSpins = 4096

// join is the caller's end of a section: it waits for the tasks under way.
func (s *section) join(begun int) {
	defer s.release()
	if !s.end(begun) {
		for i := 0; i < joinSpins && s.left.Load() > 0; i++ {
		}
		<-s.done
	}
	if failure := s.failure.Load(); failure != nil {
		panic(failure)
	}
}

// help is a worker's part of a section.
func (s *section) help() {
	begun, returned := 0, false
	defer func() {
		if !returned {
			s.failure.CompareAndSwap(nil, newTaskError(recover()))
			begun += s.cancel()
		}
		if s.end(begun) {
			s.done <- struct{}{}
		}
		s.release()
	}()
	s.work(&begun)
	returned = true
}

// taskError is what Parallel panics with for a task that panicked on a worker.
type taskError struct {
	value any
	stack []byte
}

// newTaskError takes what recover returned: nil when a task left its goroutine by
// runtime.Goexit instead.
func newTaskError(value any) *taskError {
	if value == nil {
		value = errGoexit
	}
	return &taskError{value, debug.Stack()}
}

var errGoexit = errors.New("the task called runtime.Goexit")

// Error implements error.
func (e *taskError) Error() string { return fmt.Sprintf("%v\n\n%s", e.value, e.stack) }

// Unwrap returns the value the task panicked with if that was an error.
func (e *taskError) Unwrap() error {
	err, _ := e.value.(error)
	return err
}

// Calls for help wait in a queue that all workers read. While the workers sleep, calls
// whose sections are over gather in it; where it is full, the oldest is taken back, and
// in the worst case a section has a helper less.
var calls = make(chan *section, 64)

// workers counts the goroutines that answer calls. They are started when they are first
// needed and then stay, asleep while there is nothing to do.
var workers atomic.Int32

// callWorkers asks for helpers.
func callWorkers(s *section, helpers int) {
	for n := workers.Load(); int(n) < helpers; n = workers.Load() {
		if workers.CompareAndSwap(n, n+1) {
			go answerCalls()
		}
	}
	s.references.Add(int32(helpers))
	for range helpers {
		call(s)
	}
}

// call puts a call in the queue.
func call(s *section) {
	for {
		select {
		case calls <- s:
			return
		default:
		}
		select {
		case oldest := <-calls:
			oldest.release()
		default: // a worker was faster
		}
	}
}

// answerCalls is a worker.
func answerCalls() {
	defer workers.Add(-1) // a task may end the goroutine
	for {
		nextCall().help()
	}
}

// idleYields is how often a worker without a call looks for one before it falls asleep.
// A look that finds nothing lets other goroutines run and takes some 80 ns; all of them
// take about as long as waking a thread does. So the sections of a forward pass, which
// follow one another closely, find their workers awake, and a program that does
// something else is rid of them at once.
const idleYields = 1000

// nextCall waits for a call.
func nextCall() *section {
	for range idleYields {
		select {
		case s := <-calls:
			return s
		default:
			runtime.Gosched()
		}
	}
	return <-calls
}
