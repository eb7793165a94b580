package dataset

import "fmt"

// None stands for a token that the vocabulary does not add.
const None int32 = -1

// CorpusOptions say how documents become batches.
type CorpusOptions struct {
	Context int    // tokens in a window, at least 2
	Batch   int    // windows in a batch, at least 1
	Seed    uint64 // of the order of windows

	// BOS and EOS stand before and behind each document; None if the vocabulary
	// does not add them.
	BOS, EOS int32
}

// Corpus is training text cut into windows. It may be used by several goroutines.
type Corpus struct {
	options CorpusOptions
	windows [][]int32 // (windows, Context)
	order   *order
}

// NewCorpus joins documents, given as ids without BOS and EOS, and cuts what it gets
// into windows of Context tokens. Each window begins with BOS: the one of its first
// document where the cut falls there, else an added one. So every token of every
// document is in exactly one window, but for the tail that fills none. Without
// BOS the windows are simply consecutive.
//
// No tokens at all wrap [ErrEmpty], fewer than one window are a [TooShortError].
func NewCorpus(documents [][]int32, options CorpusOptions) (*Corpus, error) {
	if err := checkContext(options.Context); err != nil {
		return nil, err
	}
	if options.Batch < 1 {
		return nil, fmt.Errorf("dataset: batch of %d windows: want at least one", options.Batch)
	}
	c := &Corpus{options: options}
	cut := cutter{options: options}
	tokens := 0
	for _, document := range documents {
		tokens += len(document)
		cut.add(document)
	}
	if tokens == 0 {
		return nil, fmt.Errorf("dataset: corpus: %w", ErrEmpty)
	}
	if len(cut.windows) == 0 {
		return nil, fmt.Errorf("dataset: %w", &TooShortError{Tokens: len(cut.window), Needed: options.Context})
	}
	c.windows = cut.windows
	c.order = &order{seed: options.Seed, n: len(cut.windows)}
	return c, nil
}

// cutter fills one window after the other.
type cutter struct {
	options CorpusOptions
	windows [][]int32 // full ones
	window  []int32   // the one being filled, at most Context long
}

// add appends a document; an empty one leaves no trace.
func (c *cutter) add(document []int32) {
	if len(document) == 0 {
		return
	}
	if c.options.BOS != None {
		c.put(c.options.BOS)
	}
	for _, id := range document {
		c.put(id)
	}
	if c.options.EOS != None {
		c.put(c.options.EOS)
	}
}

// put appends a token to the window, which it opens with BOS where the token is not
// BOS itself, and closes when it is full.
func (c *cutter) put(id int32) {
	if c.window == nil {
		c.window = make([]int32, 0, c.options.Context)
		if bos := c.options.BOS; bos != None && bos != id {
			c.window = append(c.window, bos)
		}
	}
	c.window = append(c.window, id)
	if len(c.window) == c.options.Context {
		c.windows = append(c.windows, c.window)
		c.window = nil
	}
}

// Windows returns the number of windows; an epoch is one pass over them.
func (c *Corpus) Windows() int { return len(c.windows) }

// Batch returns the windows of a training step, counted from 0: shape (Batch,
// Context). Steps take the windows of epoch after epoch, each epoch in an order of
// its own, and a batch may reach into the next epoch. The result depends on the
// corpus, its options and the step alone; it must not be modified.
func (c *Corpus) Batch(step int) [][]int32 {
	batch := make([][]int32, c.options.Batch)
	for i := range batch {
		batch[i] = c.windows[c.order.at(step*c.options.Batch+i)]
	}
	return batch
}
