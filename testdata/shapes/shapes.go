// Package shapes draws the pictures of the tiny vision checkpoint, as the package
// grammar writes the text of the tiny language model: small scenes, each with one main
// shape whose name is the picture's class.
//
// Everything else is there to be seen through. Places, sizes, proportions and rotations
// are free, dark backgrounds fade from colour to colour, and lines, dots and smaller shapes
// of other classes lie around. What holds in every picture, so that the class can be told,
// is that the main shape is the largest, lies wholly inside and is lighter than its
// background, while the others are cut off by the border. Most patches of a picture say nothing about its class, which is what a
// model that chooses its tokens can find out.
//
// The arithmetic on samples is of integers, so that pictures are equal on every machine.
package shapes

import (
	"image"
	"math/rand/v2"
)

// Size is the height and the width of a picture in pixels.
const Size = 32

// Classes names the shapes in the order of their numbers, which is that of the alphabet.
var Classes = []string{"arrow", "circle", "crescent", "cross", "frame", "heart", "ring", "square", "star", "triangle"}

// Artist draws pictures, one after the other.
type Artist struct {
	random *rand.Rand
	deck   []int // classes of the pictures to come, dealt from the end
}

// New makes an artist. Equal seeds give equal pictures.
func New(seed uint64) *Artist {
	// The second word, "shapes", sets the stream apart from others of the same seed.
	return &Artist{random: rand.New(rand.NewPCG(seed, 0x736861706573))}
}

// Next draws a picture, opaque and Size by Size pixels, and gives the number of its
// class. Each run of len(Classes) pictures from the first has every class once.
func (a *Artist) Next() (*image.NRGBA, int) {
	if len(a.deck) == 0 {
		a.deck = a.random.Perm(len(Classes))
	}
	class := a.deck[len(a.deck)-1]
	a.deck = a.deck[:len(a.deck)-1]
	return a.draw(class), class
}

// between chooses a whole number from lo to hi.
func (a *Artist) between(lo, hi int) int { return lo + a.random.IntN(hi-lo+1) }
