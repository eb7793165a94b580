package eval

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"github.com/elastiformer/elastiformer/pkg/picture"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// viridis is the colour map of that name by Smith and van der Walt (CC0, matplotlib), at nine
// equal steps: equal steps of a value look equally far apart.
var viridis = [...]color.NRGBA{
	{68, 1, 84, 255}, {72, 40, 120, 255}, {62, 74, 137, 255}, {49, 104, 142, 255}, {38, 130, 142, 255},
	{31, 158, 137, 255}, {53, 183, 121, 255}, {109, 205, 89, 255}, {253, 231, 37, 255},
}

// heat is the colour of a value from 0 to 1.
func heat(v float32) color.NRGBA {
	at := min(max(v, 0), 1) * float32(len(viridis)-1)
	i := min(int(at), len(viridis)-2)
	f := at - float32(i)
	mix := func(a, b uint8) uint8 { return uint8(float32(a) + f*(float32(b)-float32(a)) + 0.5) }
	a, b := viridis[i], viridis[i+1]
	return color.NRGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
}

// Measures of the drawing, in pixels.
const (
	mapMargin = 16
	mapGap    = 8
	mapLine   = 16  // height of a line of text
	mapLarge  = 256 // least side of the picture and of the map beside it
	mapSmall  = 64  // least side of the map of a layer
	mapBar    = 14  // width of the colour bar
	mapRow    = 8   // small maps side by side
)

// Draw draws the map beside its picture, as the model sees it, with one small map for every
// layer and a legend. labels names the classes, if any are known.
func (p *PatchMap) Draw(name string, shown *picture.Picture, labels []string) image.Image {
	enlarged := (mapLarge + shown.Width - 1) / shown.Width
	side := shown.Width * enlarged
	small := p.smallSide()
	across := min(mapRow, max(1, len(p.Layers)))
	rows := (len(p.Layers) + across - 1) / across
	width := 2*mapMargin + max(2*side+3*mapGap+mapBar+4*basicfont.Face7x13.Advance, across*(small+mapGap))
	height := 2*mapMargin + 2*mapLine + side + mapGap + mapLine + rows*(small+mapLine+mapGap)
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	draw.Draw(img, img.Bounds(), image.White, image.Point{}, draw.Src)
	for i, line := range p.captions(name, labels) {
		text(img, mapMargin, mapMargin+i*mapLine, line)
	}
	top := mapMargin + 2*mapLine
	for y := range side {
		for x := range side {
			at := 3 * (y/enlarged*shown.Width + x/enlarged)
			img.SetNRGBA(mapMargin+x, top+y, color.NRGBA{shown.Pix[at], shown.Pix[at+1], shown.Pix[at+2], 255})
		}
	}
	right := mapMargin + side + mapGap
	p.cells(img, image.Rect(right, top, right+side, top+side), p.Mean())
	bar(img, image.Rect(right+side+mapGap, top, right+side+mapGap+mapBar, top+side))
	top += side + mapGap
	text(img, mapMargin, top, p.legend())
	top += mapLine
	for i, l := range p.Layers {
		x, y := mapMargin+i%across*(small+mapGap), top+i/across*(small+mapLine+mapGap)
		text(img, x, y, layerCaption(l))
		p.cells(img, image.Rect(x, y+mapLine, x+small, y+mapLine+small), l.Values)
	}
	return img
}

// smallSide is the side of a layer's map: whole pixels for a patch.
func (p *PatchMap) smallSide() int {
	n := max(p.Rows, p.Columns)
	return n * ((mapSmall + n - 1) / n)
}

// captions are the lines above: the picture, the budget, what the classes became.
func (p *PatchMap) captions(name string, labels []string) []string {
	lines := []string{fmt.Sprintf("%s, budget %.4g, compute %.3f", name, p.Budget, p.Compute)}
	if p.Class < 0 {
		return lines
	}
	class := func(i int) string {
		if i < len(labels) {
			return labels[i]
		}
		return fmt.Sprintf("class %d", i)
	}
	return append(lines, fmt.Sprintf("full model: %s, here: %s", class(p.Teacher), class(p.Class)))
}

// legend says what the colours are.
func (p *PatchMap) legend() string {
	if p.Tokens {
		return "share of layers that kept a patch; each: A attention, M MLP"
	}
	return "weight on the units kept; each: H heads, E experts"
}

// layerCaption names the map of a layer.
func layerCaption(l LayerMap) string {
	return fmt.Sprintf("%c%d", map[routing.Selector]rune{
		routing.AttnTokens: 'A', routing.MLPTokens: 'M', routing.Heads: 'H', routing.Experts: 'E',
	}[l.Selector], l.Layer)
}

// cells paints the values of all patches into a rectangle.
func (p *PatchMap) cells(img *image.NRGBA, r image.Rectangle, values []float32) {
	for y := range r.Dy() {
		for x := range r.Dx() {
			row, column := y*p.Rows/r.Dy(), x*p.Columns/r.Dx()
			img.SetNRGBA(r.Min.X+x, r.Min.Y+y, heat(values[row*p.Columns+column]))
		}
	}
}

// bar paints the colours from 1 down to 0, with numbers beside them.
func bar(img *image.NRGBA, r image.Rectangle) {
	for y := range r.Dy() {
		c := heat(1 - float32(y)/float32(r.Dy()-1))
		for x := range r.Dx() {
			img.SetNRGBA(r.Min.X+x, r.Min.Y+y, c)
		}
	}
	const ticks = 4
	for i := range ticks + 1 {
		y := r.Min.Y + i*(r.Dy()-mapLine)/ticks
		text(img, r.Max.X+mapGap/2, y, fmt.Sprintf("%.2g", 1-float64(i)/ticks))
	}
}

// text writes a line whose top left corner is given.
func text(img *image.NRGBA, x, y int, line string) {
	d := font.Drawer{Dst: img, Src: image.Black, Face: basicfont.Face7x13, Dot: fixed.P(x, y+basicfont.Face7x13.Ascent)}
	d.DrawString(line)
}
