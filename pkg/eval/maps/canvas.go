package maps

import (
	"image"
	"image/color"
	"image/draw"
	"strings"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"github.com/elastiformer/elastiformer/pkg/picture"
)

// Measures that all figures share, in pixels.
const (
	margin   = 24 // around a figure
	gap      = 16 // between its parts
	smallGap = 8  // between small maps
)

// The colours of a figure beside those of the maps.
var (
	ground = color.RGBA{255, 255, 255, 255}
	ink    = color.RGBA{26, 26, 26, 255}
	faint  = color.RGBA{102, 102, 102, 255}
	alarm  = color.RGBA{179, 38, 30, 255}
	absent = color.RGBA{226, 226, 226, 255} // where there is nothing to show
)

// size is a size of text.
type size int

const (
	heading size = iota
	body
	small
	sizes
)

var points = [sizes]float64{heading: 18, body: 14, small: 12}

// canvas is what a figure is drawn on: twice, first to measure it and then in colour.
type canvas struct {
	img    *image.RGBA // nil while measuring
	extent image.Point // right and lower end of all that was drawn
	faces  [sizes]font.Face
	lines  [sizes]int // heights of a line
	ascent [sizes]int // of the letters in it
}

// goRegular is the Go font, by Bigelow and Holmes.
var goRegular = sync.OnceValue(func() *opentype.Font {
	f, err := opentype.Parse(goregular.TTF)
	if err != nil {
		panic("maps: the font in the program is damaged")
	}
	return f
})

// render draws a figure on a ground as large as it needs.
func render(draw func(c *canvas)) *image.RGBA {
	var c canvas
	for s := range sizes {
		face, err := opentype.NewFace(goRegular(), &opentype.FaceOptions{Size: points[s], DPI: 72, Hinting: font.HintingFull})
		if err != nil {
			panic("maps: the font in the program has no face")
		}
		m := face.Metrics()
		c.faces[s], c.lines[s], c.ascent[s] = face, m.Height.Ceil(), m.Ascent.Ceil()
	}
	draw(&c)
	c.img = image.NewRGBA(image.Rect(0, 0, c.extent.X+margin, c.extent.Y+margin))
	c.fill(c.img.Bounds(), ground)
	draw(&c)
	return c.img
}

// cover notes that a rectangle is drawn on.
func (c *canvas) cover(r image.Rectangle) {
	c.extent.X, c.extent.Y = max(c.extent.X, r.Max.X), max(c.extent.Y, r.Max.Y)
}

func (c *canvas) fill(r image.Rectangle, colour color.RGBA) {
	c.cover(r)
	if c.img != nil {
		draw.Draw(c.img, r, image.NewUniform(colour), image.Point{}, draw.Src)
	}
}

// width is that of a line of text.
func (c *canvas) width(s size, line string) int { return font.MeasureString(c.faces[s], line).Ceil() }

// text writes a line whose upper left corner is given and returns where it ends.
func (c *canvas) text(x, y int, s size, colour color.RGBA, line string) (right int) {
	right = x + c.width(s, line)
	c.cover(image.Rect(x, y, right, y+c.lines[s]))
	if c.img != nil {
		d := font.Drawer{Dst: c.img, Src: image.NewUniform(colour), Face: c.faces[s], Dot: fixed.P(x, y+c.ascent[s])}
		d.DrawString(line)
	}
	return right
}

// centred writes a line around x.
func (c *canvas) centred(x, y int, s size, colour color.RGBA, line string) {
	c.text(x-c.width(s, line)/2, y, s, colour, line)
}

// paragraph writes text in lines no longer than width, unless a word is, and returns where it
// ends below.
func (c *canvas) paragraph(x, y, width int, s size, colour color.RGBA, text string) (bottom int) {
	line := ""
	for _, word := range strings.Fields(text) {
		longer := strings.TrimSpace(line + " " + word)
		if line != "" && c.width(s, longer) > width {
			c.text(x, y, s, colour, line)
			y, longer = y+c.lines[s], word
		}
		line = longer
	}
	c.text(x, y, s, colour, line)
	return y + c.lines[s]
}

// fit shortens a line to a width, an ellipsis in place of its beginning: of a path the end
// tells more.
func (c *canvas) fit(s size, width int, line string) string {
	if c.width(s, line) <= width {
		return line
	}
	runes := []rune(line)
	for len(runes) > 0 && c.width(s, "…"+string(runes)) > width {
		runes = runes[1:]
	}
	return "…" + string(runes)
}

// picture paints one, enlarged by a whole factor.
func (c *canvas) picture(x, y, factor int, p *picture.Picture) {
	c.cover(image.Rect(x, y, x+factor*p.Width, y+factor*p.Height))
	if c.img == nil {
		return
	}
	for row := range factor * p.Height {
		for column := range factor * p.Width {
			at := 3 * (row/factor*p.Width + column/factor)
			c.img.SetRGBA(x+column, y+row, color.RGBA{p.Pix[at], p.Pix[at+1], p.Pix[at+2], 255})
		}
	}
}

// factor is by how much n pixels are enlarged to come near a side, at least by one.
func factor(side, n int) int { return max(1, (side+n/2)/n) }
