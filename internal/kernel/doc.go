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
// is split over rows and columns of the output, never over a sum. An element of a
// float32 product is one chain of fused multiply-adds in the order of the inner
// dimension, whatever the blocks and tiles it is cut into and whether its weight was
// packed before. So a product's row does not even depend on which other rows are
// computed beside it: a selected row is bit for bit the row a full product would have
// given, and AVX2 gives what AVX-512 gives.
//
// # Layers
//
// The innermost loops are those of package simd. This package cuts the work into blocks
// that fit the caches (product.go), into the rows and units that were chosen (groups.go)
// and into tiles of queries by keys (attention.go), and shares it among threads (pool.go).
// Weights are read as they lie in the file, decoded a panel at a time; for decoding they
// may be packed once (packed.go) or multiplied as integers (quant.go).
package kernel
