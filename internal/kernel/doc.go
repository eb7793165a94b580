// Package kernel is the arithmetic of elastiformer: matrix products over
// weights in any block type, attention, norms, activations, exact top-k and the
// optimiser's update. Nothing above it loops over floats that matter for speed.
//
// Letters are those of the whole code base: T rows (tokens), D model width, H
// query heads, K key/value heads, Dh head width, F feed-forward width, M experts,
// V vocabulary.
//
// # Determinism
//
// Every result depends on the shapes alone, never on the number of threads: work
// is split over rows and columns of the output, never over a sum, and each output
// element is summed in one fixed order. A product's row does not even depend on
// which other rows are computed beside it, so that a selected row is bit for bit
// the row a full product would have given.
package kernel
