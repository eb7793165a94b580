package huggingface

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// family is what is known of the folders of one class of Transformers.
type family struct {
	architecture string // general.architecture of the GGUF file
	tensors      []rule
	keys         []keyRule
	neighbours   bool           // the file rotates values 2i and 2i+1 of a head, so rows of queries and keys are reordered
	defaults     map[string]any // what the class assumes where config.json is silent
	demands      []demand
	rope         func(*conversion, *config) // writes the keys and tensors of the rotary embedding
	layers       layerPattern
	wideScores   uint64   // models of so many layers divide scores by the root of D/H instead of Dh
	ignored      []string // prefixes of tensors that belong to other parts of the model, such as a vision tower
	noHeadDim    bool     // the class takes a head to be hidden_size/num_attention_heads whatever "head_dim" says
	vision       *vision  // of an encoder of pictures, which has neither a vocabulary nor a rotary embedding; else nil
}

// parts are the objects of config.json that describe the part of a model that is converted, the last one deciding.
func (f *family) parts() []string {
	if f.vision != nil {
		return []string{"vision_config", "vision_config_dict"} // the second is a copy that old folders of CLIP have
	}
	return []string{"text_config"}
}

// alone returns the name that a tensor would have if the part that is converted stood by itself.
func (f *family) alone(name string) string {
	if f.vision != nil {
		return strings.TrimPrefix(name, f.vision.base)
	}
	return textName(name)
}

// Architectures returns the classes of Transformers whose folders can be converted, sorted.
func Architectures() []string { return slices.Sorted(maps.Keys(families)) }

// rule says what a tensor of the folder becomes. In its names {l} stands for the layer, {d} for the layer of a decoder
// behind the encoder and {e} for the expert. The shape has one letter for each dimension, outermost first:
//
//	D hidden_size          V rows of the embedding          Q heads × head width     K key heads × head width
//	h width of a head      F intermediate_size              E moe_intermediate_size  S shared_expert_intermediate_size
//	M number of experts    P Q + 2K, the fused projection   G 2F, gate and up fused  1 one
//
// and of encoders of pictures
//
//	p side of a patch      c channels                       N positions              R register tokens
//	L labels               H what the head reads            W side of all patches    o p·p·c, values of a patch
//	d decoder's width      f decoder's MLP
//
// A 1 at the front is a dimension of the folder only.
type rule struct {
	from, to string
	shape    string
	how      how
}

// stack returns the mark in the rule's names that stands for the layer, "" for a tensor outside of the layers.
func (r rule) stack() string {
	for _, mark := range []string{"{l}", "{d}"} {
		if strings.Contains(r.from, mark) {
			return mark
		}
	}
	return ""
}

// how is a set of flags that say how a tensor is turned into the file's.
type how uint

const (
	optional  how = 1 << iota // need not be there: biases, the output of a model with tied embeddings
	queries                   // rows of query heads
	keyHeads                  // rows of key heads
	plusOne                   // the file holds 1 + w
	exact                     // stays F32 whatever type is asked for: the choice of experts, tables that are added
	outOfTied                 // absent where the embeddings are tied
	ofQKVBias                 // there if config.json has "qkv_bias"
	unblocked                 // F16 where a type of blocks is asked for: the rows of a convolution are those of a patch
)

// demand is a value of config.json that the GGUF architecture takes for granted: a folder that says otherwise is refused.
type demand struct {
	key    string
	allows []string // the texts JSON may have for it; absent and null are always allowed, the family's default besides
}

// keyRule copies a number of config.json into a key of the file.
type keyRule struct {
	from, to string // to follows "ARCHITECTURE."
	kind     keyKind
}

type keyKind uint

const (
	needSize  keyKind = iota // uint32, must be there
	haveSize                 // uint32, if it is there
	haveReal                 // float32, if it is there
	haveFlag                 // bool, if it is there
	dimension                // uint32, the dimension that the letter in from stands for
)

// familyOf finds the family of a folder by the first class in "architectures".
func familyOf(c *config) (*family, error) {
	var classes []string
	c.decode("architectures", &classes)
	if *c.err != nil {
		return nil, *c.err
	}
	if len(classes) == 0 {
		return nil, fmt.Errorf("config.json: %w: \"architectures\" names no class", ErrInvalid)
	}
	f, ok := families[classes[0]]
	if !ok {
		return nil, fmt.Errorf("config.json: architecture %q is %w (known: %s)", classes[0], ErrUnsupported, strings.Join(Architectures(), ", "))
	}
	return f, nil
}

// check refuses what the GGUF architecture cannot express.
func (f *family) check(c *config) {
	for _, d := range slices.Concat(commonDemands, f.demands) {
		var value any
		if !c.decode(d.key, &value) {
			continue
		}
		text, _ := json.Marshal(value) // compact
		if !slices.Contains(d.allows, string(text)) {
			c.fail("%q is %s, which is %w for the GGUF architecture %q (known: %s)",
				d.key, abbreviate(string(text)), ErrUnsupported, f.architecture, strings.Join(append(d.allows, "null"), ", "))
		}
	}
}

// abbreviate shortens text from a file for an error message.
func abbreviate(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
