// Package tokenizer turns text into the token ids a language model was trained
// on, and back.
//
// A GGUF file carries its vocabulary under tokenizer.ggml.*: the pieces of text
// that are tokens, a score and a type for each, the ids with a special meaning
// and a few switches. [New] reads them, trusting nothing. The ids are those of
// llama.cpp for the same vocabulary, because a model sees a different text when a
// single id differs; so are the defaults for what a file leaves out.
//
// # SentencePiece BPE
//
// The model called "llama" is SentencePiece's byte-pair encoding. Spaces are
// written as ▁ (U+2581) and one is put in front, so that a word has the same
// pieces at the start of a text as inside it. The text begins as a list of
// characters; as long as two neighbours joined spell a token, the pair whose
// token has the highest score is joined, the leftmost such pair first. A
// character that is no token by itself becomes one byte token (<0x00> … <0xFF>)
// for each byte of its UTF-8.
//
// # Byte-level BPE
//
// The model called "gpt2" has a token for each of the 256 bytes, so that nothing is
// unknown, and a list of merges: pairs of tokens to be joined, the earlier in the list
// the earlier in a text, the leftmost first. Merges never reach across pieces, into
// which the text is cut before: words, numbers, punctuation, each with the space
// before it. How exactly is not in the file, which names a pre-tokenizer only, under
// tokenizer.ggml.pre. A name stands for one or more patterns; each cuts the pieces
// that the one before it has left, at the start and end of every match. The patterns
// are regular expressions with look-ahead, so regexp2 runs them, not Go's regexp; they
// are llama.cpp's, [PreTokenizers] lists their names. A name that is not among them is
// refused ([PreTokenizerError]): cut in another way, a text would be one that the
// model has never seen the like of. [ForcePre] is for those who know better.
//
// Go's tables are of Unicode 15.0 and llama.cpp's of 15.1, which has 627 characters
// more (ideographs from U+2EBF0, and five signs that describe ideographs): text with
// these may be cut at other places.
//
// # Special tokens
//
// Before all that, the text is cut at special tokens, longest first: user-defined
// ones always, control tokens such as <s> and the unknown token only on request
// ([EncodeOptions.ParseSpecial]), so that they stay text in what a user wrote.
// With SentencePiece, each stretch of text between two special tokens gets its own
// space in front.
//
// # Other models
//
// How the text between special tokens becomes ids and how an id becomes text is
// behind one small interface; a vocabulary of a model without one is refused with
// [ErrUnsupported] rather than read approximately.
package tokenizer
