package shapes

import "image"

// What scenes are made of: lengths in pixels, numbers of things, colours.
const (
	leastRadius, mostRadius = 6, 12 // of the circle round the main shape
	leastOther, mostOther   = 3, 5  // and round those behind it

	others, lines, dots = 3, 3, 6 // behind the main shape, at most
	scratches           = 2       // lines before it, at most
	specks              = 10      // pixels of any colour, at most

	contrast = 150 // least distance of the main shape's colour from the background's
)

// draw draws a scene whose main shape is of a class.
func (a *Artist) draw(class int) *image.NRGBA {
	c := new(canvas)
	corners := a.corners()
	c.fade(corners)
	for range a.between(0, lines) {
		c.fill(a.line(), a.colour())
	}
	for range a.between(0, dots) {
		c.fill(a.dot(), a.colour())
	}
	for range a.between(0, others) {
		c.fill(a.other(class), a.light())
	}
	c.fill(a.main().outline(class), a.colourOn(corners))
	for range a.between(0, scratches) {
		c.fill(a.line(), a.colour())
	}
	img := c.shrink()
	for range a.between(0, specks) {
		pixel := img.Pix[img.PixOffset(a.random.IntN(Size), a.random.IntN(Size)):][:3]
		for i := range pixel {
			pixel[i] = uint8(a.between(0, 15) * level)
		}
	}
	return img
}

// colour chooses any colour.
func (a *Artist) colour() colour {
	bits := a.random.Uint32()
	return colour{uint8(bits), uint8(bits >> 8), uint8(bits >> 16)}
}

// dark chooses a colour of a background.
func (a *Artist) dark() colour {
	c := a.colour()
	return colour{c[0] / 2, c[1] / 2, c[2] / 2}
}

// light chooses a colour of a shape.
func (a *Artist) light() colour {
	c := a.dark()
	return colour{255 - c[0], 255 - c[1], 255 - c[2]}
}

// corners chooses the background: two colours, each at two neighbouring corners or
// at one and three.
func (a *Artist) corners() [4]colour {
	var corners [4]colour
	c, d := a.dark(), a.dark()
	kind := a.between(1, 7) // bits say which of the last three have the second colour
	for i := range corners {
		corners[i] = c
		if kind<<1>>i&1 == 1 {
			corners[i] = d
		}
	}
	return corners
}

// colourOn chooses a colour that stands out from a background.
func (a *Artist) colourOn(corners [4]colour) colour {
	for {
		c := a.light()
		least := c.distance(corners[0])
		for _, d := range corners[1:] {
			least = min(least, c.distance(d))
		}
		if least >= contrast {
			return c
		}
	}
}

// main places the main shape wholly inside the picture.
func (a *Artist) main() placement {
	p := a.placement(leastRadius, mostRadius)
	p.x, p.y = a.between(p.radius, Size*unit-p.radius), a.between(p.radius, Size*unit-p.radius)
	return p
}

// other is a smaller shape of another class with its middle on the picture's border.
func (a *Artist) other(class int) [][]point {
	p := a.placement(leastOther, mostOther)
	along, end := a.between(0, Size*unit), a.between(0, 1)*Size*unit
	p.x, p.y = along, end
	if a.between(0, 1) == 0 {
		p.x, p.y = end, along
	}
	return p.outline((class + a.between(1, len(Classes)-1)) % len(Classes))
}

// placement chooses size, rotation and proportions, sizes in pixels.
func (a *Artist) placement(least, most int) placement {
	return placement{
		radius:  a.between(least*unit, most*unit),
		turns:   a.random.Float64(),
		stretch: 0.75 + 0.25*a.random.Float64(),
	}
}

// dot is a small square, at least half a pixel wide and at most two.
func (a *Artist) dot() [][]point {
	x, y, size := a.between(0, Size*unit), a.between(0, Size*unit), a.between(unit/2, 2*unit)
	return [][]point{{{x, y}, {x + size, y}, {x + size, y + size}, {x, y + size}}}
}

// line goes from border to border, from a quarter of a pixel wide to a whole.
func (a *Artist) line() [][]point {
	const size = Size * unit
	from, to, width := a.between(0, size), a.between(0, size), a.between(unit/4, unit)
	points := []point{{from, 0}, {from + width, 0}, {to + width, size}, {to, size}}
	if a.between(0, 1) == 0 {
		for i, p := range points {
			points[i] = point{p.y, p.x}
		}
	}
	return [][]point{points}
}
