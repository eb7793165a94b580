package maps

import (
	"fmt"
	"image"
	"strconv"

	"github.com/elastiformer/elastiformer/pkg/routing"
)

// Measures of the figure, in pixels.
const (
	largeSide = 336 // about that of the picture and of the map beside it
	smallSide = 72  // about that of the map of a layer
	barWidth  = 16  // of the legend
	barTick   = 4
	across    = 12 // small maps side by side
)

// Draw draws the map beside its picture as the model sees it, a small map for every layer
// and selector below, and a legend. labels names the classes, if they are known.
func (c *Choices) Draw(s *Subject, labels []string) image.Image {
	return render(func(on *canvas) {
		f := choicesFigure{canvas: on, Choices: c, scale: scaleOf(c), enlarged: factor(largeSide, s.shown.Width)}
		f.side = f.enlarged * s.shown.Width
		y := f.captions(margin, s.Name, labels)
		y = f.large(y+gap, s)
		y = f.layers(y + gap)
		f.paragraph(margin, y+gap, f.breadth(), small, faint, c.legend())
	})
}

// choicesFigure is one under way.
type choicesFigure struct {
	*canvas
	*Choices
	scale    scale
	enlarged int // factor of the picture
	side     int // of the picture
}

// breadth is that of the picture, the map beside it and its legend.
func (f *choicesFigure) breadth() int {
	return 2*f.side + 2*gap + barWidth + 2*barTick + f.width(small, "0.00")
}

// captions are the lines above: the picture's name, the budget, what became of the class.
func (f *choicesFigure) captions(y int, name string, labels []string) (bottom int) {
	f.text(margin, y, heading, ink, f.fit(heading, f.breadth(), name))
	y += f.lines[heading]
	x := f.text(margin, y, body, ink, fmt.Sprintf("budget %.4g  ·  compute %.3f", f.Budget, f.Compute))
	if f.Class >= 0 {
		x = f.text(x, y, body, ink, "  ·  full model: "+className(labels, f.Teacher)+"  ·  ")
		colour := ink
		if f.Class != f.Teacher {
			colour = alarm
		}
		f.text(x, y, body, colour, "here: "+className(labels, f.Class))
	}
	return y + f.lines[body]
}

// className is the name of a class, or its number.
func className(labels []string, i int) string {
	if i < len(labels) {
		return labels[i]
	}
	return fmt.Sprintf("class %d", i)
}

// large draws the picture, the mean of all maps and the colours' meaning.
func (f *choicesFigure) large(y int, s *Subject) (bottom int) {
	caption := "patches kept, all layers together"
	if !f.Tokens {
		caption = "how sure the routers were, all layers"
	}
	right := margin + f.side + gap
	f.text(margin, y, body, faint, f.fit(body, f.side, "as the model sees it"))
	f.text(right, y, body, faint, f.fit(body, f.side, caption))
	y += f.lines[body] + smallGap/2
	f.picture(margin, y, f.enlarged, s.shown)
	f.patches(image.Rect(right, y, right+f.side, y+f.side), f.Mean())
	f.bar(image.Rect(right+f.side+gap, y, right+f.side+gap+barWidth, y+f.side))
	return y + f.side
}

// patches paints values into a rectangle, a cell for each; grey where there are none.
func (f *choicesFigure) patches(r image.Rectangle, values []float32) {
	if values == nil {
		f.fill(r, absent)
		return
	}
	for i, v := range values {
		row, column := i/f.Columns, i%f.Columns
		f.fill(image.Rect(
			r.Min.X+column*r.Dx()/f.Columns, r.Min.Y+row*r.Dy()/f.Rows,
			r.Min.X+(column+1)*r.Dx()/f.Columns, r.Min.Y+(row+1)*r.Dy()/f.Rows,
		), f.scale.colour(v))
	}
}

// bar paints the colours from the highest value down to the lowest, numbers beside them.
func (f *choicesFigure) bar(r image.Rectangle) {
	span := f.scale.hi - f.scale.lo
	for y := range r.Dy() {
		v := f.scale.hi - span*float32(y)/float32(max(1, r.Dy()-1))
		f.fill(image.Rect(r.Min.X, r.Min.Y+y, r.Max.X, r.Min.Y+y+1), f.scale.colour(v))
	}
	const ticks = 4
	for i := range ticks + 1 {
		y := r.Min.Y + i*(r.Dy()-1)/ticks
		f.fill(image.Rect(r.Max.X, y, r.Max.X+barTick, y+1), faint)
		line := min(max(y-f.lines[small]/2, r.Min.Y-smallGap/2), r.Max.Y-f.lines[small]+smallGap/2)
		f.text(r.Max.X+2*barTick, line, small, faint, fmt.Sprintf("%.2f", f.scale.hi-span*float32(i)/ticks))
	}
}

// layers draws the small maps: a column for each layer, a row for each selector, as many
// columns below one another as it takes.
func (f *choicesFigure) layers(y int) (bottom int) {
	names := map[routing.Selector]string{routing.AttnTokens: "attention", routing.MLPTokens: "MLP", routing.Heads: "heads", routing.Experts: "experts"}
	left := margin + f.width(body, "attention") + gap
	cell := factor(smallSide, max(f.Rows, f.Columns))
	w, h := cell*f.Columns, cell*f.Rows
	bands := (len(f.Layers) + across - 1) / across
	each := (len(f.Layers) + bands - 1) / bands
	for lo := 0; lo < len(f.Layers); lo += each {
		f.text(margin, y, body, faint, "layer")
		part := f.Layers[lo:min(lo+each, len(f.Layers))]
		for i, layer := range part {
			f.centred(left+i*(w+smallGap)+w/2, y, body, faint, strconv.Itoa(layer))
		}
		y += f.lines[body] + smallGap/2
		for _, s := range f.Selectors {
			f.text(margin, y+(h-f.lines[body])/2, body, faint, names[s.Selector])
			for i, values := range s.Values[lo : lo+len(part)] {
				x := left + i*(w+smallGap)
				f.patches(image.Rect(x, y, x+w, y+h), values)
				f.centred(x+w/2, y+h, small, faint, meanOf(values))
			}
			y += h + f.lines[small] + smallGap/2
		}
		y += smallGap
	}
	return y - smallGap - smallGap/2
}

// meanOf is the mean of a layer's values in words.
func meanOf(values []float32) string {
	if values == nil {
		return "all"
	}
	var sum float64
	for _, v := range values {
		sum += float64(v)
	}
	return fmt.Sprintf("%.2f", sum/float64(len(values)))
}

// legend says what the colours and numbers are.
func (c *Choices) legend() string {
	if c.Tokens {
		return "Large: the share of all layers' selectors that kept a patch. Small: kept (bright) or dropped (dark) by one layer, and the share kept. " +
			"Special tokens are always kept and not shown."
	}
	return "Every patch uses as many heads and experts as any other. Bright: where a router was sure which; 0: indifferent, 1: all its weight on those used. " +
		"Grey: a layer that used all. Large: the mean of the others. Small: layer by layer, and the mean over the patches. Special tokens are not shown."
}
