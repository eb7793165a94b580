package kernel

import "runtime"

// InstructionSet names what the arithmetic runs on. Results are the same bytes on the
// same instruction set; another may round differently.
func InstructionSet() string { return runtime.GOARCH }
