// Package dataset turns files of text into what evaluation and training read.
//
// [Open] reads text files and JSON lines. For perplexity, a source is one text
// ([Source.Text]), tokenised once and cut by [EvalWindows] the way llama-perplexity
// cuts it, so that figures can be compared. For training, a source is a list of
// documents ([Source.Documents]), tokenised one by one and joined by [NewCorpus],
// whose batches are a function of the seed and the step alone: a training run that
// was interrupted reads the same batches as one that was not.
//
// Tokenising lies between the two halves and belongs to the caller: this package
// knows text and ids, not vocabularies.
package dataset
