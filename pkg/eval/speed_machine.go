package eval

import (
	"sync/atomic"
	"time"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/simd"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// machine measures what the processor gives at best, on as many threads as the model
// uses.
type machine struct {
	buffer            []float32 // larger than any cache
	gflops, gigabytes []float64
}

// bufferFloats makes a buffer of 256 MB: several times the last cache of most
// processors.
const bufferFloats = 1 << 26

func newMachine() *machine {
	m := &machine{buffer: make([]float32, bufferFloats)}
	const page = 4096 / 4 // the system gives memory to pages once they are written
	for i := 0; i < len(m.buffer); i += page {
		m.buffer[i] = 1
	}
	return m
}

// measure takes one sample of both rates.
func (m *machine) measure() {
	m.gflops = append(m.gflops, multiplyAddRate())
	m.gigabytes = append(m.gigabytes, m.readRate())
}

// best is the least time f took in a few runs.
func best(runs int, f func()) (nanoseconds float64) {
	for i := range runs {
		began := time.Now()
		f()
		if d := float64(time.Since(began).Nanoseconds()); i == 0 || d < nanoseconds {
			nanoseconds = d
		}
	}
	return nanoseconds
}

// multiplyAddRate is the GFLOP/s of all threads together: the best of five runs of a
// millisecond or so.
func multiplyAddRate() float64 {
	const parts, rounds = 8, 1 << 15 // for each thread
	var flops atomic.Int64
	ns := best(5, func() {
		flops.Store(0)
		kernel.Parallel(parts*kernel.Threads(), func(int) {
			n, _ := simd.MultiplyAdds(rounds)
			flops.Add(n)
		})
	})
	return float64(flops.Load()) / ns
}

// readRate is the GB/s at which all threads together read the buffer: the better of two
// runs.
func (m *machine) readRate() float64 {
	const part = 1 << 20
	ns := best(2, func() {
		kernel.ParallelChunks(len(m.buffer), part, func(lo, hi int) { simd.ReadSum(m.buffer[lo:hi]) })
	})
	return 4 * float64(len(m.buffer)) / ns
}

// weights are a model's matrices by the work they are read for.
type weights struct{ projection, feedForward, head stored }

// stored is how much memory matrices of so many values take.
type stored struct{ bytes, values float64 }

func (s *stored) add(t *gguf.Tensor) {
	s.bytes += float64(t.Bytes)
	s.values += float64(t.Elements())
}

// read is how many bytes are read for so many multiply-accumulates with one token.
func (s *stored) read(macs int64) float64 {
	if s.values == 0 {
		return 0
	}
	return s.bytes / s.values * float64(macs)
}

func weightsOf(f *gguf.File) weights {
	var w weights
	head := "output.weight"
	if _, ok := f.Tensor(head); !ok {
		head = "token_embd.weight"
	}
	for _, t := range f.Tensors() {
		switch work, ok := model.WorkOf(t.Name); {
		case t.Name == head:
			w.head.add(t)
		case ok && work == tape.WorkProjection:
			w.projection.add(t)
		case ok:
			w.feedForward.add(t)
		}
	}
	return w
}

// read is how many bytes of weights are read for multiply-accumulates of tokens decoded
// one by one: of every matrix the share that was used, and four bytes for each of the
// routers', LoRA's and compensation's float32 values.
func (w *weights) read(tokens int, macs *tape.MACs) float64 {
	return w.projection.read(macs[tape.WorkProjection]) +
		w.feedForward.read(macs[tape.WorkFeedForward]) +
		w.head.bytes*float64(tokens) +
		4*float64(macs[tape.WorkRouter]+macs[tape.WorkLowRank]+macs[tape.WorkCompensation])
}

// mainType is the type that most bytes of matrices are stored in, the first of equals.
func mainType(f *gguf.File) gguf.Type {
	bytes := map[gguf.Type]uint64{}
	var main gguf.Type
	for _, t := range f.Tensors() {
		if _, ok := model.WorkOf(t.Name); ok {
			if bytes[t.Type] += t.Bytes; bytes[t.Type] > bytes[main] {
				main = t.Type
			}
		}
	}
	return main
}
