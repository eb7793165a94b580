package dataset

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/pkg/picture"
)

// Loader decodes pictures ahead of the arithmetic: while the caller computes on the batch
// of a step, the pictures of the next are decoded in the background, of that one alone.
// What a batch holds is a function of the step. A Loader is for one goroutine.
type Loader struct {
	images        *Images
	preprocessing *picture.Preprocessing
	indices       func(step int) []int
	ctx           context.Context // what the goroutines of the loader end with
	ahead         *imageBatch     // being decoded, or nil
}

// imageBatch is a batch that goroutines decode.
type imageBatch struct {
	step   int
	cancel context.CancelFunc
	done   chan struct{} // closed when all goroutines have ended
	pixels [][]float32   // (pictures) of (C, H, W)
	errs   []error       // (pictures)
}

// NewLoader returns a loader of pictures. indices gives those of a step; it is called from
// the goroutine that calls Batch, for the step after it too, which may have none. When ctx
// ends, so does the decoding.
func NewLoader(ctx context.Context, images *Images, preprocessing *picture.Preprocessing, indices func(step int) []int) *Loader {
	return &Loader{images: images, preprocessing: preprocessing, indices: indices, ctx: ctx}
}

// Batch returns the pictures of a step: (pictures) of (C, H, W). Steps may be asked for in
// any order; it is the one after the last whose pictures are there sooner. The error is
// that of the first picture in the batch that cannot be read.
func (l *Loader) Batch(step int) ([][]float32, error) {
	if l.ahead != nil && l.ahead.step != step {
		l.Close()
	}
	batch := l.ahead
	if batch == nil {
		batch = l.decode(step)
	}
	<-batch.done
	l.ahead = nil
	batch.cancel()
	for _, err := range batch.errs {
		if err != nil {
			return nil, err
		}
	}
	l.ahead = l.decode(step + 1)
	return batch.pixels, nil
}

// Close stops what is being decoded and waits until it has stopped. The loader may be
// used again.
func (l *Loader) Close() {
	if l.ahead != nil {
		l.ahead.cancel()
		<-l.ahead.done
		l.ahead = nil
	}
}

// decode begins to decode the pictures of a step.
func (l *Loader) decode(step int) *imageBatch {
	indices := l.indices(step)
	ctx, cancel := context.WithCancel(l.ctx)
	b := &imageBatch{
		step: step, cancel: cancel, done: make(chan struct{}),
		pixels: make([][]float32, len(indices)), errs: make([]error, len(indices)),
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(kernel.Threads(), len(indices)) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(indices); i = int(next.Add(1)) - 1 {
				if b.errs[i] = context.Cause(ctx); b.errs[i] == nil {
					b.pixels[i], b.errs[i] = l.images.Pixels(indices[i], l.preprocessing)
				}
			}
		})
	}
	go func() {
		workers.Wait()
		close(b.done)
	}()
	return b
}

// Shuffled returns the pictures of each step of training, batch of n: epoch after epoch,
// each in an order of its own, and a batch may reach into the next epoch. The order
// depends on the seed and the step alone, so a run that is resumed reads what an unbroken
// one does. n and batch must be at least 1.
func Shuffled(seed uint64, n, batch int) func(step int) []int {
	order := &order{seed: seed, n: n}
	return func(step int) []int {
		indices := make([]int, batch)
		for i := range indices {
			indices[i] = order.at(step*batch + i)
		}
		return indices
	}
}
