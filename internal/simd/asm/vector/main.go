// Command vector generates the assembly of functions over slices of floats:
// exponentials and what is made of them, sums, norms, rotations, the optimiser.
//
// Every function is written once, for sixteen floats at a time, and emitted twice: for
// one register of AVX-512 and for two of AVX2. So both add in the same order and, as
// they round alike, agree to the last bit.
package main

import . "github.com/mmcloughlin/avo/build"

func main() {
	for _, l := range []*lanes{{wide: true}, {wide: false}} {
		l.exponentials()
		l.activations()
		l.gelus()
		l.softCaps()
		l.elementwise()
		l.sums()
		l.norms()
		l.rotations()
		l.adamW()
		l.divergences()
	}
	Generate()
}
