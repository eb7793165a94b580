package main

import (
	"github.com/spf13/pflag"

	"github.com/elastiformer/elastiformer/internal/kernel"
)

// precision is the arithmetic that a model runs in.
type precision string

const (
	// precisionInt8 rounds the activations that meet quantised weights to 8 bits, and
	// multiplies integers; all else is float32.
	precisionInt8 precision = "int8"
	// precisionBF16 rounds the weights of projections and what meets them to bfloat16; sums
	// and all else are float32.
	precisionBF16 precision = "bf16"
	// precisionF32 is float32 throughout.
	precisionF32 precision = "f32"
)

// addFlag declares --precision with its default, for what decodes or evaluates.
func (p *precision) addFlag(fs *pflag.FlagSet, value precision) {
	enumVar(fs, (*string)(p), "precision", "", string(value), []string{string(precisionInt8), string(precisionBF16), string(precisionF32)},
		"`arithmetic`; int8 rounds activations to 8 bits where weights are quantised, bf16 both sides of products to bfloat16, f32 is exact")
}

// addTrainingFlag declares --precision for what trains.
func (p *precision) addTrainingFlag(fs *pflag.FlagSet) {
	enumVar(fs, (*string)(p), "precision", "", string(precisionF32), []string{string(precisionBF16), string(precisionF32)},
		"`arithmetic`; bf16 rounds both sides of products with pretrained weights to bfloat16, f32 is exact")
}

// check refuses what this processor has no instructions for.
func (p precision) check() error {
	if p == precisionBF16 && !kernel.HasBfloat16() {
		return usageErrorf("--precision bf16 needs a processor with AVX512_BF16; this one is used as %s", kernel.InstructionSet())
	}
	return nil
}

// use sets the arithmetic of long passes.
func (c *checkpoint) use(p precision) {
	if c.precision = p; p == precisionBF16 {
		c.network.Bfloat16()
	}
}

// pack prepares the model for passes over few tokens too, in the arithmetic p.
func (c *checkpoint) pack(p precision) {
	c.use(p)
	c.network.Pack(p == precisionInt8)
}
