package shapes

import (
	"bytes"
	"crypto/sha256"
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestEqualSeedsEqualPictures(t *testing.T) {
	a, b, other := New(5), New(5), New(6)
	for i := range 20 {
		p, class := a.Next()
		q, again := b.Next()
		if class != again || !bytes.Equal(p.Pix, q.Pix) {
			t.Fatalf("picture %d of seed 5 is drawn in two ways", i)
		}
		if r, _ := other.Next(); bytes.Equal(p.Pix, r.Pix) {
			t.Errorf("picture %d is the same for seeds 5 and 6", i)
		}
	}
}

func TestPicturesDiffer(t *testing.T) {
	const n = 1000
	a, seen := New(7), map[[sha256.Size]byte]bool{}
	for range n {
		img, _ := a.Next()
		seen[sha256.Sum256(img.Pix)] = true
	}
	if len(seen) != n {
		t.Errorf("%d different pictures among %d", len(seen), n)
	}
}

func TestPicturesAreOpaqueSquares(t *testing.T) {
	a := New(8)
	for range 20 {
		img, _ := a.Next()
		if want := image.Rect(0, 0, Size, Size); img.Bounds() != want || !img.Opaque() {
			t.Fatalf("bounds %v, opaque %v; want %v and opaque", img.Bounds(), img.Opaque(), want)
		}
	}
}

func TestClassesAreBalanced(t *testing.T) {
	if !slices.IsSorted(Classes) || len(outlines) != len(Classes) {
		t.Errorf("classes %v, %d outlines: want them in order and one for each", Classes, len(outlines))
	}
	a, first := New(9), map[int]bool{}
	for range 50 {
		seen := make([]bool, len(Classes))
		for i := range Classes {
			_, class := a.Next()
			if seen[class] {
				t.Fatalf("class %s twice in a run of %d", Classes[class], len(Classes))
			}
			seen[class] = true
			if i == 0 {
				first[class] = true
			}
		}
	}
	if len(first) != len(Classes) {
		t.Errorf("runs begin with %d classes, want any of %d", len(first), len(Classes))
	}
}

// TestOutlines: each lies in the unit circle, reaches it, and leaves room for the others.
func TestOutlines(t *testing.T) {
	for name, curves := range outlines {
		furthest := 0.0
		for _, points := range curves {
			for _, p := range points {
				furthest = max(furthest, math.Hypot(p.x, p.y))
			}
		}
		if furthest > 1+1e-12 || furthest < 0.95 {
			t.Errorf("%s reaches out to %.3f, want just under 1", name, furthest)
		}
	}
}

// TestMainShapeIsWhole: it lies inside the picture, on places all over it.
func TestMainShapeIsWhole(t *testing.T) {
	a := New(10)
	least, most := Size*unit, 0
	for i := range 2000 {
		class := i % len(Classes)
		for _, points := range a.main().outline(class) {
			for _, p := range points {
				least, most = min(least, p.x, p.y), max(most, p.x, p.y)
			}
		}
	}
	if least < 0 || most > Size*unit {
		t.Errorf("corners from %d to %d, the picture goes from 0 to %d", least, most, Size*unit)
	}
	if least > unit || most < (Size-1)*unit {
		t.Errorf("corners from %d to %d, want them up to the border", least, most)
	}
}

// TestOthersAreCutOff: shapes that are not the main one lie partly outside, and are smaller.
func TestOthersAreCutOff(t *testing.T) {
	if mostOther >= leastRadius {
		t.Errorf("shapes behind have radius %d, the main one %d", mostOther, leastRadius)
	}
	a := New(11)
	inside := image.Rect(0, 0, Size*unit, Size*unit)
	for i := range 2000 {
		whole := true
		for _, points := range a.other(i % len(Classes)) {
			for _, p := range points {
				whole = whole && image.Pt(p.x, p.y).In(inside)
			}
		}
		if whole {
			t.Fatalf("shape %d is whole", i)
		}
	}
}

func TestMainColourStandsOut(t *testing.T) {
	a := New(12)
	for range 1000 {
		corners := a.corners()
		c := a.colourOn(corners)
		for _, d := range corners {
			if c.distance(d) < contrast {
				t.Fatalf("colour %v on %v: distance %d, want at least %d", c, d, c.distance(d), contrast)
			}
		}
	}
}

// TestFillIsEvenOdd compares with a test of each sample by itself: whether a ray from
// it to the right meets the curves an odd number of times.
func TestFillIsEvenOdd(t *testing.T) {
	a := New(13)
	for i := range 50 {
		class := i % len(Classes)
		p := a.placement(2, 20)
		p.x, p.y = a.between(-5*unit, (Size+5)*unit), a.between(-5*unit, (Size+5)*unit)
		curves := p.outline(class)
		c := new(canvas)
		c.fill(curves, colour{1, 1, 1})
		for range 500 {
			x, y := rand.IntN(samples), rand.IntN(samples)
			odd := false
			for _, points := range curves {
				for k, q := range points {
					r := points[(k+1)%len(points)]
					sx, sy := x*step+step/2, y*step+step/2
					if (q.y <= sy) != (r.y <= sy) && sx < q.x+(sy-q.y)*(r.x-q.x)/(r.y-q.y) {
						odd = !odd
					}
				}
			}
			if got := c[y][x] != (colour{}); got != odd {
				t.Fatalf("%s at %+v: sample %d,%d painted %v, want %v", Classes[class], p, x, y, got, odd)
			}
		}
	}
}

// TestAreas compares what is painted with the areas of the outlines, which catches
// holes that are filled and curves in disorder.
func TestAreas(t *testing.T) {
	disc := math.Pi
	want := map[string]float64{
		"circle": disc, "ring": disc * (1 - 0.55*0.55), "square": 2, "frame": 2 * (1 - 0.55*0.55),
		"triangle": 3 * math.Sqrt(3) / 4,
		// Ten triangles between neighbouring corners, at distances 1 and 0.42 and 36° apart.
		"star": 10 * 0.42 * math.Sin(math.Pi/5) / 2,
		// Two bars that share their middle.
		"cross": 2*2*0.3*2*math.Sqrt(1-0.3*0.3) - 4*0.3*0.3,
		// A shaft of 1.03 by 0.7 and a head of 1.8 by 0.9.
		"arrow": 1.03*0.7 + 1.8*0.9/2,
	}
	const radius = 15
	for class, name := range Classes {
		area, ok := want[name]
		if !ok {
			continue
		}
		c, count := new(canvas), 0
		p := placement{x: 16 * unit, y: 16 * unit, radius: radius * unit, turns: 0.1, stretch: 1}
		c.fill(p.outline(class), colour{1})
		for _, row := range c {
			for _, sample := range row {
				count += int(sample[0])
			}
		}
		if got := float64(count) / (radius * radius * fine * fine); math.Abs(got-area) > 0.02*area {
			t.Errorf("%s covers %.3f of a squared radius, want %.3f", name, got, area)
		}
	}
}

func TestShrinkTakesMeans(t *testing.T) {
	c := new(canvas)
	for y := range c {
		for x := range c[y] {
			c[y][x] = colour{255, uint8(x), uint8(x % 2 * 18)}
		}
	}
	img := c.shrink()
	// The four columns from 8 on have a mean of 9.5, of which 17 is the nearest level, and those of
	// even and odd numbers 9.
	if got, want := img.Pix[img.PixOffset(2, 7):][:4], []byte{255, 17, 17, 255}; !bytes.Equal(got, want) {
		t.Errorf("pixel %v, want %v", got, want)
	}
}

func TestFadeJoinsTheCorners(t *testing.T) {
	c := new(canvas)
	corners := [4]colour{{0, 0, 255}, {254, 0, 0}, {0, 254, 0}, {254, 254, 0}}
	c.fade(corners)
	const last = samples - 1
	for i, got := range []colour{c[0][0], c[0][last], c[last][0], c[last][last]} {
		if got != corners[i] {
			t.Errorf("corner %d is %v, want %v", i, got, corners[i])
		}
	}
	if got, want := c[64][32], (colour{64, 128, 93}); got.distance(want) > 3 {
		t.Errorf("a colour between is %v, want about %v", got, want)
	}
}

func BenchmarkNext(b *testing.B) {
	a := New(1)
	for b.Loop() {
		a.Next()
	}
}
