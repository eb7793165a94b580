package main

import (
	"maps"
	"slices"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// mixture is the block types of a file's matrices. Most are of the one kind; those by which
// a model loses most may be of a better one.
type mixture struct {
	kind, better gguf.Type
	fileType     uint32 // general.file_type: enum llama_ftype of llama.cpp's llama.h
}

// mixtures are those that can be written, by their names on the command line. Names of
// types alone mean all matrices; the names with an _m are llama.cpp's.
var mixtures = map[string]mixture{
	"f32":    {gguf.TypeF32, gguf.TypeF32, 0},
	"f16":    {gguf.TypeF16, gguf.TypeF16, 1},
	"bf16":   {gguf.TypeBF16, gguf.TypeBF16, 32},
	"q8_0":   {gguf.TypeQ8_0, gguf.TypeQ8_0, 7},
	"q4_0":   {gguf.TypeQ4_0, gguf.TypeQ4_0, 2},
	"q4_1":   {gguf.TypeQ4_1, gguf.TypeQ4_1, 3},
	"q5_0":   {gguf.TypeQ5_0, gguf.TypeQ5_0, 8},
	"q5_1":   {gguf.TypeQ5_1, gguf.TypeQ5_1, 9},
	"q2_k":   {gguf.TypeQ2_K, gguf.TypeQ2_K, 10},
	"q3_k":   {gguf.TypeQ3_K, gguf.TypeQ3_K, 11},
	"q4_k":   {gguf.TypeQ4_K, gguf.TypeQ4_K, 14},
	"q5_k":   {gguf.TypeQ5_K, gguf.TypeQ5_K, 16},
	"q6_k":   {gguf.TypeQ6_K, gguf.TypeQ6_K, 18},
	"iq4_nl": {gguf.TypeIQ4_NL, gguf.TypeIQ4_NL, 25},
	"iq4_xs": {gguf.TypeIQ4_XS, gguf.TypeIQ4_XS, 30},
	"mxfp4":  {gguf.TypeMXFP4, gguf.TypeMXFP4, 38},
	"q4_k_m": {gguf.TypeQ4_K, gguf.TypeQ6_K, 15},
	"q5_k_m": {gguf.TypeQ5_K, gguf.TypeQ6_K, 17},
}

// mixtureNames lists the names in order.
func mixtureNames() []string { return slices.Sorted(maps.Keys(mixtures)) }

// inLayer is the type of attn_v and ffn_down in a layer. llama.cpp's _m mixtures give the
// better one to the first and the last eighth of the layers and to every third between them
// (use_more_bits of llama-quant.cpp), and to the output head, be it the embedding or not.
func (m mixture) inLayer(layer, layers int) gguf.Type {
	eighth := layers / 8
	if layer < eighth || layer >= 7*layers/8 || (layer-eighth)%3 == 2 {
		return m.better
	}
	return m.kind
}
