package picture

import "math"

// Filter says how pixels are weighed when a picture is resized.
type Filter string

// The filters of PIL.
const (
	Nearest  Filter = "nearest"  // the pixel at the centre of the new one
	Box      Filter = "box"      // the mean of those that the new one covers
	Bilinear Filter = "bilinear" // a triangle
	Hamming  Filter = "hamming"  // a sinc in a Hamming window
	Bicubic  Filter = "bicubic"  // Keys' cubic with a = −0.5
	Lanczos  Filter = "lanczos"  // a sinc in the middle lobe of a wider one
)

// window is a filter's weight at a distance from the centre, in pixels, and the distance
// beyond which it is 0.
type window struct {
	support float64
	weight  func(x float64) float64
}

// windows holds all filters but Nearest, which weighs nothing.
var windows = map[Filter]window{
	Box:      {0.5, box},
	Bilinear: {1, triangle},
	Hamming:  {1, hamming},
	Bicubic:  {2, cubic},
	Lanczos:  {lobes, lanczos},
}

// known tells whether a filter is one of those above.
func (f Filter) known() bool {
	_, ok := windows[f]
	return ok || f == Nearest
}

// The weights are those of PIL, operation by operation. A product that is summed stands
// in float64(…), which keeps compilers from fusing the two on processors that can.

func box(x float64) float64 {
	if x > -0.5 && x <= 0.5 {
		return 1
	}
	return 0
}

func triangle(x float64) float64 { return max(0, 1-math.Abs(x)) }

func hamming(x float64) float64 {
	const a, b = float64(float32(0.54)), float64(float32(0.46)) // PIL has them in single precision
	x = math.Abs(x)
	switch {
	case x == 0:
		return 1
	case x >= 1:
		return 0
	}
	x *= math.Pi
	return math.Sin(x) / x * (a + float64(b*math.Cos(x)))
}

func cubic(x float64) float64 {
	const a = -0.5
	x = math.Abs(x)
	switch {
	case x < 1:
		return float64((float64((a+2)*x)-(a+3))*x*x) + 1
	case x < 2:
		return (float64((float64((x-5)*x)+8)*x) - 4) * a
	}
	return 0
}

// lobes is how many lobes of the sinc Lanczos keeps on each side.
const lobes = 3

func lanczos(x float64) float64 {
	if x < -lobes || x >= lobes {
		return 0
	}
	return sinc(x) * sinc(x/lobes)
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	x *= math.Pi
	return math.Sin(x) / x
}
