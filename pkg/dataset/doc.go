// Package dataset turns files of text and pictures into what evaluation and training
// read.
//
// [Open] reads text, JSON lines, CSV, TSV and parquet, plain or compressed, from
// files, folders, patterns and standard input. Rows of a table become documents by the
// field that holds the text or by a [Template]. For perplexity, a source is one text
// ([Source.Text]), tokenised once and cut by [EvalWindows] the way llama-perplexity
// cuts it, so that figures can be compared. For training, a source is a list of
// documents ([Source.Documents]), tokenised one by one and joined by [NewCorpus],
// whose batches are a function of the seed and the step alone: a training run that
// was interrupted reads the same batches as one that was not.
//
// Files are not trusted. What is read is streamed, a row and the text as a whole have
// a greatest size, and a compressed file that expands beyond all reason is refused.
// Of parquet the lengths in the metadata are checked before github.com/parquet-go/parquet-go
// sees them; it allocates what page headers claim, up to 2 GiB at a time, and whatever a
// page expands to.
// The text itself is kept in memory: once, and a second time while [Source.Text]
// joins rows.
//
// Pictures are sets of files, found by [ImageOptions.Open] in folders with one class per
// sub-folder or with labels in metadata.jsonl. Each is decoded once when the set is made,
// which finds the bad ones, and again when it is needed: a [Loader] does that ahead of the
// arithmetic, in the order that [Shuffled] or an evaluation gives.
//
// Tokenising lies between the two halves and belongs to the caller: this package
// knows text and ids, not vocabularies.
package dataset
