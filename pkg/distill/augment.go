package distill

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/elastiformer/elastiformer/pkg/model"
)

// The ways in which pictures are altered before teacher and student see them. The teacher
// looks at the same picture, so none needs to keep what it shows; they keep the routers from
// learning few pictures by heart.
const (
	Flip  = "flip"  // half of the pictures are mirrored, left to right
	Shift = "shift" // moved by up to an eighth of the side, across and down, the edges mirrored
)

// Augmentations lists them.
var Augmentations = []string{Flip, Shift}

// shiftShare is the furthest that Shift moves a picture, of its side: 4 pixels of 32, the
// padding customary on CIFAR (He et al., arXiv 1512.03385, section 4.2).
const shiftShare = 8

// augmentStream sets the random stream of augmentation apart from others that derive from
// the same seed. The upper half spells "augm".
const augmentStream = 0x6175676d << 32

// augmentation is the choices in force.
type augmentation struct {
	flip, shift bool
	seed        uint64
}

// parseAugmentation reads a list of augmentations; "" is none.
func parseAugmentation(o *Options) (augmentation, error) {
	a := augmentation{seed: o.Seed}
	if o.Augment == "" {
		return a, nil
	}
	for name := range strings.SplitSeq(o.Augment, ",") {
		var on *bool
		switch name {
		case Flip:
			on = &a.flip
		case Shift:
			on = &a.shift
		default:
			return a, fmt.Errorf("augmentation %q (known: %s): %w", name, strings.Join(Augmentations, ", "), ErrOptions)
		}
		if *on {
			return a, fmt.Errorf("augmentation %q names %s twice: %w", o.Augment, name, ErrOptions)
		}
		*on = true
	}
	return a, nil
}

// apply alters the pictures of a step, each in its own way, a function of seed, step and
// place in the batch. The pixels given are left as they are.
func (a *augmentation) apply(in model.Images, step int) model.Images {
	if !a.flip && !a.shift {
		return in
	}
	rng := rand.New(rand.NewPCG(a.seed, augmentStream+uint64(step)))
	out := model.Images{Height: in.Height, Width: in.Width, Pixels: make([][]float32, len(in.Pixels))}
	for i, pixels := range in.Pixels {
		mirror := a.flip && rng.IntN(2) == 1
		var down, across int
		if a.shift {
			down, across = shiftOf(rng, in.Height), shiftOf(rng, in.Width)
		}
		out.Pixels[i] = moved(pixels, sources(in.Height, down, false), sources(in.Width, across, mirror))
	}
	return out
}

// shiftOf draws how far a picture moves along a side of so many pixels.
func shiftOf(rng *rand.Rand, side int) int {
	most := side / shiftShare
	return rng.IntN(2*most+1) - most
}

// sources is, for every place along a side, where its pixel is taken from: moved by shift,
// |shift| < side, reflected at the edges without repeating them, then mirrored.
func sources(side, shift int, mirror bool) []int {
	from := make([]int, side)
	for i := range from {
		at := i - shift
		if at < 0 {
			at = -at
		}
		if at >= side {
			at = 2*(side-1) - at
		}
		if mirror {
			at = side - 1 - at
		}
		from[i] = at
	}
	return from
}

// moved is the picture (C, H, W) whose pixel at (y, x) is that at (rows[y], columns[x]).
func moved(pixels []float32, rows, columns []int) []float32 {
	h, w := len(rows), len(columns)
	out := make([]float32, 0, len(pixels))
	for plane := 0; plane < len(pixels); plane += h * w {
		for _, y := range rows {
			row := pixels[plane+y*w:][:w]
			for _, x := range columns {
				out = append(out, row[x])
			}
		}
	}
	return out
}
