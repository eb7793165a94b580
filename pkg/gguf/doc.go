// Package gguf reads and writes GGUF files, the container in which llama.cpp and its relatives keep a model. It knows
// bytes, not models: keys with typed values, tensors with a shape and a block format, and where their data lies. What a
// key or a tensor means is the business of the packages above.
//
// # Layout
//
// A file of version 3 is little-endian throughout and has two parts:
//
//	magic "GGUF" | version u32 | tensor count u64 | key count u64      header
//	key count    × { key string | type u32 | value }                   keys
//	tensor count × { name string | rank u32 | rank × dim u64 |         tensor infos
//	                 type u32 | offset u64 }
//	zero bytes up to a multiple of the alignment
//	tensor count × { data | zero bytes up to the alignment }           data section
//
// A string is a u64 length and that many bytes. An array is an element type u32, a count u64 and the elements; its
// elements may be arrays again. The first dimension is the one that varies fastest, so a matrix with dims [64 512] is
// 512 rows of 64. Offsets count from the start of the data section, and tensors follow one another there in the order of
// their infos with nothing but padding between. The alignment is 32 unless the key "general.alignment" says otherwise.
// Version 2 differs in nothing that matters to a little-endian reader; version 1 had 32-bit counts and is refused.
//
// The format is described in ggml's docs/gguf.md; where that text is silent this package does what ggml's gguf.cpp does.
//
// # Reading
//
// [Open] believes nothing. Every count, length, rank, dimension and offset is compared with what the file can hold before
// memory is spent on it, so the cost of a damaged file is bounded by its size, never by its claims. Each kind of damage
// is a [*FormatError] with a [Kind], the key or tensor, and the byte at fault.
//
// Keys are read into memory in one piece and decoded when asked for, which keeps a vocabulary of 100,000 pieces cheap to
// open. Tensor data is mapped into memory where the system can, and read on demand where it cannot.
//
// # Sets of files
//
// A file may be split into a set, PREFIX-00001-of-00003.gguf and so on, whose parts are files of their own with some of
// the tensors each; the keys "split.no", "split.count" and "split.tensors.count" in every part say so. [Open] of any part
// opens all of them as one [File]: the tensors of all in the order of the parts, the keys of the first. Parts that are
// missing or belong to another set are damage like any other. llama.cpp opens a set by its first part only, and asks the
// other parts for "split.no" alone; its tools write the three keys to all.
//
// # Elements
//
// Elements are stored in blocks: one number for F32, F16 and BF16; 32 numbers sharing a scale for Q8_0, Q4_0 and their
// like; 256 for the K and IQ formats, whose groups of 16 or 32 have small scales that are multiples of a common one. A
// [Codec] translates between blocks and float32; every type has one but integers, F64 and those that ggml uses within
// products alone (Q8_1, Q8_K). The codecs here are plain and exact: they decode to the bits that ggml decodes to, and are
// what faster code elsewhere is tested against. Some are only read; what is written has the bytes of ggml's quantisers
// without an importance matrix. A tensor of a type that has no codec can still be listed and copied.
//
// # Writing
//
// A [Writer] collects keys and tensors and streams them out in version 3. Keys and tensors taken from another file are
// copied byte for byte. [Writer.WriteFile] never leaves half a file under the target's name, [Writer.WriteSplit] never half
// a set.
package gguf
