package kernel

import "github.com/elastiformer/elastiformer/internal/simd"

// InstructionSet names what the arithmetic runs on. Results are the same bytes on the
// same instruction set; another may round differently.
func InstructionSet() string { return simd.Name() }
