// Package eval measures what an elastic model gives at each budget beside its
// teacher, the same weights with everything on: perplexity as llama-perplexity
// computes it, KL divergence and agreement of the predictions, the compute that was
// executed, and the seconds it took.
package eval
