package gguf

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"testing"
)

// A file with a vocabulary of 128,000 pieces, the size of Llama 3's.
func vocabulary(b *testing.B) string {
	pieces := make([]string, 128_000)
	for i := range pieces {
		pieces[i] = fmt.Sprintf("▁piece%d", i)
	}
	w := NewWriter()
	if err := w.Set("tokenizer.ggml.tokens", pieces); err != nil {
		b.Fatal(err)
	}
	return tempFile(b, mustWrite(b, w))
}

func BenchmarkOpenVocabulary(b *testing.B) {
	path := vocabulary(b)
	b.ReportAllocs()
	for b.Loop() {
		f, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStrings(b *testing.B) {
	f, err := Open(vocabulary(b))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Strings("tokenizer.ggml.tokens"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	const elems = 1 << 16
	for _, typ := range slices.Sorted(maps.Keys(codecs)) {
		b.Run(typ.String(), func(b *testing.B) {
			codec := mustCodec(b, typ)
			src := make([]byte, elems/codec.BlockLen()*codec.BlockBytes())
			dst := make([]float32, elems) // [elems]
			b.SetBytes(4 * elems)
			for b.Loop() {
				codec.Decode(dst, src)
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	const elems = 1 << 13
	src := make([]float32, elems) // [elems]
	for i := range src {
		src[i] = float32(math.Sin(float64(i * i)))
	}
	for _, typ := range slices.Sorted(maps.Keys(codecs)) {
		codec := mustCodec(b, typ)
		if !codec.CanEncode() {
			continue
		}
		b.Run(typ.String(), func(b *testing.B) {
			dst := make([]byte, elems/codec.BlockLen()*codec.BlockBytes())
			b.SetBytes(4 * elems)
			for b.Loop() {
				codec.Encode(dst, src)
			}
		})
	}
}

func BenchmarkWriteTo(b *testing.B) {
	data := make([]byte, 8<<20)
	w := NewWriter()
	if err := w.AddTensor("t", TypeI8, []uint64{uint64(len(data))}, data); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := w.WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
