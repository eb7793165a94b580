package dataset

import (
	"math/rand/v2"
	"sync/atomic"
)

// order is an endless order of n things: epoch after epoch, each a permutation of its
// own. It is a function of the seed and the place, no state, and may be used by several
// goroutines.
type order struct {
	seed uint64
	n    int
	kept atomic.Pointer[epochOrder]
}

// epochOrder is the order of one epoch, kept so that it is not drawn again for every
// place.
type epochOrder struct {
	epoch  int
	things []int
}

// orderStream sets the random stream of the data order apart from others that
// derive from the same seed. The upper half spells "data".
const orderStream = 0x64617461 << 32

// at returns what stands at a place, from 0.
func (o *order) at(place int) int { return o.epoch(place / o.n)[place%o.n] }

// epoch returns the order of an epoch: a permutation of all things.
func (o *order) epoch(epoch int) []int {
	if kept := o.kept.Load(); kept != nil && kept.epoch == epoch {
		return kept.things
	}
	source := rand.NewPCG(o.seed, orderStream+uint64(epoch))
	drawn := &epochOrder{epoch: epoch, things: rand.New(source).Perm(o.n)}
	o.kept.Store(drawn)
	return drawn.things
}
