package maps

import (
	"image/color"
	"math"
)

// viridis is the colour map of that name by Smith and van der Walt (matplotlib's
// _cm_listed.py, CC0), at eighths: equal steps of a value look equally far apart, in
// colour, in grey and to the colour-blind.
var viridis = [...]color.RGBA{
	{68, 1, 84, 255}, {71, 45, 123, 255}, {59, 82, 139, 255}, {44, 114, 142, 255}, {33, 145, 140, 255},
	{40, 174, 128, 255}, {94, 201, 98, 255}, {173, 220, 48, 255}, {253, 231, 37, 255},
}

// scale is what values the ends of the colour map stand for.
type scale struct{ lo, hi float32 }

// colour is that of a value, the nearest end's for one outside.
func (s scale) colour(v float32) color.RGBA {
	at := min(max((v-s.lo)/(s.hi-s.lo), 0), 1) * float32(len(viridis)-1)
	i := min(int(at), len(viridis)-2)
	f := at - float32(i)
	mix := func(a, b uint8) uint8 { return uint8(float32(a) + f*(float32(b)-float32(a)) + 0.5) }
	a, b := viridis[i], viridis[i+1]
	return color.RGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
}

// scaleOf is the scale of choices: 0 to 1 where patches were kept or not, else from 0 as far as
// the values go, in twentieths.
func scaleOf(c *Choices) scale {
	if c.Tokens {
		return scale{0, 1}
	}
	const step = 20
	hi := 1.0 / step
	for _, sel := range c.Selectors {
		for _, values := range sel.Values {
			for _, v := range values {
				hi = max(hi, math.Ceil(float64(v)*step)/step)
			}
		}
	}
	return scale{0, float32(hi)}
}
