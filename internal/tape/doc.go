// Package tape computes a transformer forward and, where asked, backward. It holds
// a small set of fused operations (norm, linear, rope, attention, activation, rows
// gathered and added back, units scaled), each with its backward beside it.
//
// A Tape that records keeps, for every operation on a value that wants a gradient,
// one backward step; Backward runs them in reverse. A Tape that does not record
// computes the same forward values bit for bit and keeps nothing.
//
// Pretrained weights are frozen: gradients go through them to activations, routers,
// compensation biases and LoRA factors. A Weight with a Grad is trained too; only
// the program that pretrains the tiny test checkpoints asks for that.
//
// Selections are native. Rows (tokens) that are not chosen are never gathered, and a
// Tape that does not record computes only the chosen units (heads, experts) of each
// row. A recording Tape computes all units and weighs what was not chosen with zero,
// because the dense router gradient needs every unit's output.
//
// Backward steps accumulate (+=), so a value may be used any number of times.
package tape
