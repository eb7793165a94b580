package main

import "github.com/spf13/pflag"

// precision is the arithmetic that a model runs in.
type precision string

const (
	// precisionInt8 rounds the activations that meet weights in 8 or 4 bits to 8 bits, and
	// multiplies integers; all else is float32.
	precisionInt8 precision = "int8"
	// precisionF32 is float32 throughout.
	precisionF32 precision = "f32"
)

// addFlag declares --precision with its default.
func (p *precision) addFlag(fs *pflag.FlagSet, value precision) {
	enumVar(fs, (*string)(p), "precision", "", string(value), []string{string(precisionInt8), string(precisionF32)},
		"`arithmetic`; int8 rounds activations to 8 bits where weights have 8 or 4, f32 is exact")
}

// pack prepares the model for passes over few tokens, in the arithmetic p.
func (c *checkpoint) pack(p precision) {
	c.model.Pack(p == precisionInt8)
	c.precision = p
}
