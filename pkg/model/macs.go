package model

// BlockMACs is the number of multiply-accumulates of the pretrained blocks on one
// window of the given length: projections, causal scores and values at the real
// lengths, feed-forward.
func (c *Config) BlockMACs(tokens int) int64 {
	t := int64(tokens)
	d, dh, h, k, f := int64(c.Width), int64(c.HeadDim), int64(c.Heads), int64(c.KVHeads), int64(c.FeedForward)
	projections := t * d * dh * (2*h + 2*k)
	scores := t * (t + 1) / 2 * 2 * h * dh
	return int64(c.Layers) * (projections + scores + t*3*d*f)
}

// HeadMACs is the output head's work for the given number of positions.
func (c *Config) HeadMACs(positions int) int64 {
	return int64(positions) * int64(c.Width) * int64(c.Vocabulary)
}
