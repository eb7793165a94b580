package model

import (
	"regexp"

	"github.com/elastiformer/elastiformer/internal/tape"
)

var matrices = regexp.MustCompile(`^(?:v\.)?blk\.\d+\.(attn_(?:q|k|v|qkv|output|out)|ffn_(?:gate|up|down)(?:_exps|_shexp)?)\.weight$`)

// WorkOf is what kind of work the matrix of that name does, a projection's or a feed-forward's; ok is false for any other
// tensor.
func WorkOf(tensor string) (work tape.Work, ok bool) {
	switch m := matrices.FindStringSubmatch(tensor); {
	case m == nil:
		return 0, false
	case m[1][0] == 'a':
		return tape.WorkProjection, true
	}
	return tape.WorkFeedForward, true
}

// BlockMACs is the number of multiply-accumulates of the pretrained blocks on one
// window of the given length: projections, scores and values of the keys that are seen,
// feed-forward.
func (c *Config) BlockMACs(tokens int) int64 {
	var sum int64
	for l := range c.Layers {
		sum += c.LayerMACs(l, tokens)
	}
	return sum
}

// LayerMACs is the part of one layer in BlockMACs.
func (c *Config) LayerMACs(layer, tokens int) int64 {
	d, q, kv := int64(c.Width), int64(c.Heads*c.HeadDim), int64(c.KVHeads*c.HeadDim)
	return int64(tokens)*(2*d*(q+kv)+c.FeedForwardMACs()) + c.PairsSeen(layer, tokens)*2*q
}

// WholeQueries says that one norm runs over the queries of all heads, so that a token needs
// them all whichever heads it chose.
func (c *Config) WholeQueries() bool { return c.family.headNorms == allHeads }

// PairsSeen is how many pairs of a query and a key it sees a window of the given length
// has in a layer: every token sees itself and those before it, as far as the layer's
// sliding window goes, or in an encoder all.
func (c *Config) PairsSeen(layer, tokens int) int64 {
	t := int64(tokens)
	if c.Bidirectional {
		return t * t
	}
	w := t
	if window := c.WindowOf(layer); window > 0 {
		w = min(w, int64(window))
	}
	return w*(w+1)/2 + (t-w)*w
}

// FeedForwardMACs is the work of a feed-forward module on one token: of the experts of
// the checkpoint's own those that a token uses, with what chooses and weighs them.
func (c *Config) FeedForwardMACs() int64 {
	d, m := int64(c.Width), &c.Mixture
	switch {
	case m.Experts == 0 && c.Ungated:
		return 2 * d * int64(c.FeedForward)
	case m.Experts == 0:
		return 3 * d * int64(c.FeedForward)
	}
	macs := d*int64(m.Experts) + 3*d*int64(m.Used)*int64(m.Width)
	if m.Shared > 0 {
		macs += d + 3*d*int64(m.Shared)
	}
	return macs
}

// HeadMACs is the output head's work for the given number of positions.
func (c *Config) HeadMACs(positions int) int64 {
	return int64(positions) * int64(c.Width) * int64(c.Vocabulary)
}
