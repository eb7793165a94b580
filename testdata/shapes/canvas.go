package shapes

import (
	"image"
	"slices"
)

// Sizes of the canvas: each pixel is the mean of fine×fine samples, and places are
// given in units, of which a pixel has so many that corners fall between samples.
const (
	fine    = 4
	samples = Size * fine
	unit    = 64 // units in a pixel
	step    = unit / fine
)

// point is a place on the canvas in units from its upper left corner.
type point struct{ x, y int }

// colour is red, green and blue.
type colour [3]uint8

// distance is the sum of the differences of two colours, from 0 to 765.
func (c colour) distance(d colour) int {
	sum := 0
	for i := range c {
		sum += int(max(c[i], d[i]) - min(c[i], d[i]))
	}
	return sum
}

// canvas holds the samples of a picture, row by row.
type canvas [samples][samples]colour

// fade paints the whole canvas with four colours, those of its corners (upper left,
// upper right, lower left, lower right), and what lies between them.
func (c *canvas) fade(corners [4]colour) {
	for y := range c {
		left, right := mix(corners[0], corners[2], y), mix(corners[1], corners[3], y)
		for x := range c[y] {
			c[y][x] = mix(left, right, x)
		}
	}
}

// mix is the colour at a sample of a line that fades from one colour to another.
func mix(from, to colour, at int) colour {
	const last = samples - 1
	var c colour
	for i := range c {
		c[i] = uint8((int(from[i])*(last-at) + int(to[i])*at) / last)
	}
	return c
}

// fill paints every sample whose centre lies inside an odd number of the curves,
// each closed by a line from its last point to its first.
func (c *canvas) fill(curves [][]point, paint colour) {
	for row := range c {
		crossings := crossings(curves, row*step+step/2)
		for i := 0; i+1 < len(crossings); i += 2 {
			for x := firstSample(crossings[i]); x < firstSample(crossings[i+1]); x++ {
				c[row][x] = paint
			}
		}
	}
}

// crossings lists in order where the curves cross the height y.
func crossings(curves [][]point, y int) []int {
	var list []int
	for _, points := range curves {
		a := points[len(points)-1]
		for _, b := range points {
			if (a.y <= y) != (b.y <= y) {
				list = append(list, a.x+(y-a.y)*(b.x-a.x)/(b.y-a.y))
			}
			a = b
		}
	}
	slices.Sort(list)
	return list
}

// firstSample is the first of a row whose centre does not lie to the left of x, samples
// if none does.
func firstSample(x int) int {
	return min(max(x+step/2-1, 0)/step, samples)
}

// level is the difference of neighbouring levels of a pixel's channel. Sixteen levels are
// enough for the eye and make the PNG half the size that all 256 would.
const level = 255 / 15

// shrink makes the picture: the means of its samples, as the nearest level.
func (c *canvas) shrink() *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, Size, Size))
	for y := range Size {
		for x := range Size {
			pixel := img.Pix[img.PixOffset(x, y):][:4]
			for i := range 3 {
				sum := level * fine * fine / 2 // rounds
				for _, row := range c[y*fine:][:fine] {
					for _, sample := range row[x*fine:][:fine] {
						sum += int(sample[i])
					}
				}
				pixel[i] = uint8(sum / (level * fine * fine) * level)
			}
			pixel[3] = 255
		}
	}
	return img
}
