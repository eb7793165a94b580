// Package model runs pretrained transformers from GGUF files, forward and backward.
//
// A Model is bound to the file's bytes and frozen. Its forward pass asks a Router,
// where one is given, which tokens, heads and experts to compute; the model knows
// that a choice may exist, not how it is made. Without a Router it is the pretrained
// model.
//
// An architecture is a row of a table (norms, rotary pairing, windows, caps, experts), not
// code of its own: see families. Numbers come from the file's keys, and which projections are
// fused or have biases from its tensors.
package model
