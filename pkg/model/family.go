package model

import (
	"math"
	"slices"

	"github.com/elastiformer/elastiformer/internal/tape"
)

// family is what the forward pass must know of an architecture beyond the numbers in a
// file's keys. Where checkpoints of one family differ, such as in biases, fused
// projections or an output head of their own, the tensors in the file decide. The facts
// are those of llama.cpp, whose files these are.
type family struct {
	halves      bool            // rotary pairs (i, i+n/2) of a head, NEOX, instead of (2i, 2i+1)
	bare        bool            // modules read the stream as it is, without a norm
	postNorms   bool            // norms of what the modules give
	sumNorms    bool            // norms of the stream behind each module, and none elsewhere: "post-norm"
	headNorms   headNorms       // norms of queries and keys
	activation  tape.Activation // of the gate
	embedding   func(width int) float32
	window      windowFacts
	unrotated   int     // every so many layers one does not rotate; 0: all rotate
	scoreCap    float64 // soft cap of attention scores unless a key gives one; 0: none, whatever the keys say
	logitCap    float64 // soft cap of logits unless a key gives one
	logitCapKey bool    // whether a key may give one
	scaleKeys   bool    // scales of embeddings, residuals, scores and logits are keys, and whether layers rotate at all
	wideScores  []int   // scores are divided by sqrt(D/H), not sqrt(Dh), in models of so many layers
	mixture     mixtureFacts
}

// mixtureFacts say how the experts of a checkpoint's own work.
type mixtureFacts struct {
	experts     expertUse
	sumToOne    bool // the weights of a token's experts
	sharedGated bool // a shared expert weighed by a sigmoid
	divided     bool // unless a key gives the width of an expert, those of a token share feed_forward_length
}

// expertUse says whether checkpoints of a family have experts.
type expertUse int

const (
	noExperts expertUse = iota
	someExperts
	alwaysExperts
)

// headNorms says what the norms of queries and keys run over.
type headNorms int

const (
	noHeadNorms headNorms = iota
	eachHead              // the values of one head
	allHeads              // the values of all heads together
)

// windowFacts say how layers with a sliding window are told from others: layer l slides
// unless (l+1) mod pattern is 0.
type windowFacts struct {
	pattern  int     // unless a key gives another; 0: the family ignores the key of a window
	size     int     // unless a key gives one; 0: without the key no layer slides
	base     float64 // rotary base of sliding layers unless a key gives one; 0: that of the others
	unscaled bool    // sliding layers rotate without scaling
}

func rootOf(width int) float32 { return float32(math.Sqrt(float64(width))) }

// families lists what can be run, by `general.architecture`.
var families = map[string]family{
	"llama":  {mixture: mixtureFacts{experts: someExperts, sumToOne: true}},
	"qwen2":  {halves: true},
	"qwen3":  {halves: true, headNorms: eachHead},
	"phi3":   {halves: true},
	"gemma":  {halves: true, activation: tape.GELU, embedding: rootOf},
	"gemma2": {halves: true, activation: tape.GELU, embedding: rootOf, postNorms: true, window: windowFacts{pattern: 2, size: 4096}, scoreCap: 50, logitCap: 30, logitCapKey: true, wideScores: []int{46}},
	"gemma3": {halves: true, activation: tape.GELU, embedding: rootOf, postNorms: true, headNorms: eachHead, window: windowFacts{pattern: 6, base: 10000, unscaled: true}, logitCapKey: true, wideScores: []int{62}},

	"smollm3":  {unrotated: 4},
	"granite":  {scaleKeys: true, mixture: mixtureFacts{experts: someExperts, sumToOne: true}},
	"olmo2":    {halves: true, bare: true, postNorms: true, headNorms: allHeads, window: windowFacts{pattern: 4, unscaled: true}},
	"olmoe":    {halves: true, headNorms: allHeads, mixture: mixtureFacts{experts: alwaysExperts}},
	"qwen2moe": {halves: true, mixture: mixtureFacts{experts: alwaysExperts, sharedGated: true, divided: true}},
	"qwen3moe": {halves: true, headNorms: eachHead, mixture: mixtureFacts{experts: alwaysExperts, sumToOne: true, divided: true}},
}

// Architectures returns the names of the families that can be run, sorted.
func Architectures() []string {
	names := make([]string, 0, len(families))
	for name := range families {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
