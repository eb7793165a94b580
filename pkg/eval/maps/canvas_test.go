package maps

import (
	"math"
	"strings"
	"testing"
)

// The colours run from one end to the other and get lighter all the way, as those of viridis
// do; values beyond the ends are the ends.
func TestColours(t *testing.T) {
	s := scale{0.2, 0.6}
	lightness := func(v float32) float64 { // relative luminance of sRGB, IEC 61966-2-1
		c := s.colour(v)
		linear := func(x uint8) float64 { return math.Pow((float64(x)/255+0.055)/1.055, 2.4) }
		return 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
	}
	for i := range 100 {
		v := 0.2 + 0.4*float32(i)/100
		if !(lightness(v) < lightness(v+0.004)) {
			t.Errorf("%v is no darker than %v", v, v+0.004)
		}
	}
	first, last := viridis[0], viridis[len(viridis)-1]
	for v, want := range map[float32]any{0.2: first, 0.6: last, -5: first, 5: last, float32(math.Inf(1)): last, float32(math.Inf(-1)): first} {
		if got := s.colour(v); got != want {
			t.Errorf("%v is %v, want %v", v, got, want)
		}
	}
}

// Where values do not say which patches were kept, the scale is as long as they are.
func TestScaleOf(t *testing.T) {
	for _, c := range []struct {
		values []float32
		tokens bool
		want   float32
	}{
		{nil, false, 0.05}, {[]float32{0}, false, 0.05}, {[]float32{0.01, 0.34}, false, 0.35}, {[]float32{1}, false, 1}, {[]float32{0, 0}, true, 1},
	} {
		choices := &Choices{Tokens: c.tokens, Selectors: []SelectorChoices{{Values: [][]float32{nil, c.values}}}}
		if got := scaleOf(choices); got.lo != 0 || math.Abs(float64(got.hi-c.want)) > 1e-6 {
			t.Errorf("%v: %v, want 0 to %v", c.values, got, c.want)
		}
	}
}

// Text stays within its width: long lines lose their beginning, paragraphs break.
func TestText(t *testing.T) {
	const width = 200
	for _, line := range []string{"", "short", strings.Repeat("long ", 40), strings.Repeat("é", 300), "\xff\xfe" + strings.Repeat("x", 100)} {
		render(func(c *canvas) {
			fitted := c.fit(body, width, line)
			if c.width(body, fitted) > width {
				t.Errorf("%q became %q, %d wide", line, fitted, c.width(body, fitted))
			}
			if short := c.width(body, line) <= width; short != (fitted == line) {
				t.Errorf("%q became %q", line, fitted)
			}
		})
	}
	var bottom int
	img := render(func(c *canvas) {
		bottom = c.paragraph(0, 0, width, small, ink, strings.Repeat("word ", 100))
		if bottom%c.lines[small] != 0 || bottom < 10*c.lines[small] {
			t.Errorf("100 words end at %d, lines of %d", bottom, c.lines[small])
		}
	})
	if b := img.Bounds(); b.Dx() > width+margin || b.Dy() != bottom+margin {
		t.Errorf("drawn on %v, want %d and a margin", b, bottom)
	}
}
