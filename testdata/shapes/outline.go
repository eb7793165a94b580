package shapes

import "math"

// vector is a point of an outline before it is placed: the unit circle about the
// origin holds the whole of it.
type vector struct{ x, y float64 }

// outlines gives the closed curves of each class; what lies inside an odd number of them
// belongs to the shape.
var outlines = map[string][][]vector{
	"arrow": {{
		{1, 0}, {0.1, 0.9}, {0.1, 0.35}, {-0.93, 0.35}, {-0.93, -0.35}, {0.1, -0.35}, {0.1, -0.9},
	}},
	"circle":   {regular(curve, 1)},
	"crescent": {crescent(0.5, 0.8)},
	"cross":    {cross(0.3)},
	"frame":    {regular(4, 1), regular(4, 0.55)},
	"heart":    {heart()},
	"ring":     {regular(curve, 1), regular(curve, 0.55)},
	"square":   {regular(4, 1)},
	"star":     {star(5, 0.42)},
	"triangle": {regular(3, 1)},
}

// curve is how many corners stand for a round line.
const curve = 40

// polar is the point at an angle, in turns, and a distance.
func polar(turns, radius float64) vector {
	sin, cos := math.Sincos(2 * math.Pi * turns)
	return vector{radius * cos, radius * sin}
}

// regular is a polygon of n corners on the circle of a radius.
func regular(n int, radius float64) []vector {
	points := make([]vector, n)
	for i := range points {
		points[i] = polar(float64(i)/float64(n), radius)
	}
	return points
}

// star has n points; the corners between them lie at the inner radius.
func star(n int, inner float64) []vector {
	points := regular(2*n, 1)
	for i := 1; i < len(points); i += 2 {
		points[i] = vector{inner * points[i].x, inner * points[i].y}
	}
	return points
}

// cross has arms twice as wide as half.
func cross(half float64) []vector {
	end := math.Sqrt(1 - half*half) // puts the outer corners on the unit circle
	quarter := []vector{{end, -half}, {end, half}, {half, half}}
	var points []vector
	for range 4 {
		points = append(points, quarter...)
		for i, p := range quarter {
			quarter[i] = vector{-p.y, p.x}
		}
	}
	return points
}

// crescent is the unit disc without another, whose centre lies at a distance along the x axis.
func crescent(distance, radius float64) []vector {
	x := (1 + distance*distance - radius*radius) / (2 * distance) // where the circles cross
	y := math.Sqrt(1 - x*x)
	outer, inner := math.Atan2(y, x), math.Atan2(y, x-distance)
	var points []vector
	for i := range curve + 1 {
		angle := outer + (2*math.Pi-2*outer)*float64(i)/curve
		points = append(points, vector{math.Cos(angle), math.Sin(angle)})
	}
	for i := 1; i < curve; i++ {
		angle := 2*math.Pi - inner - (2*math.Pi-2*inner)*float64(i)/curve
		points = append(points, vector{distance + radius*math.Cos(angle), radius * math.Sin(angle)})
	}
	return points
}

// heart is the well-known curve 16 sin³, 13 cos − 5 cos 2 − 2 cos 3 − cos 4.
func heart() []vector {
	const reach = 17.1 // the largest distance from the origin, rounded up
	points := make([]vector, curve)
	for i := range points {
		t := 2 * math.Pi * float64(i) / curve
		sin := math.Sin(t)
		points[i] = vector{
			16 * sin * sin * sin / reach,
			(13*math.Cos(t) - 5*math.Cos(2*t) - 2*math.Cos(3*t) - math.Cos(4*t)) / reach,
		}
	}
	return points
}

// placement is where and how a shape lies in a picture.
type placement struct {
	x, y, radius int     // of the circle round it, in units
	turns        float64 // of rotation
	stretch      float64 // how narrow it is before it is rotated, at most 1
}

// outline gives the curves of a class in units of the canvas.
func (p placement) outline(class int) [][]point {
	axis := polar(p.turns, float64(p.radius))
	var curves [][]point
	for _, c := range outlines[Classes[class]] {
		points := make([]point, len(c))
		for i, v := range c {
			v.y *= p.stretch
			points[i] = point{
				p.x + int(math.Round(v.x*axis.x-v.y*axis.y)),
				p.y + int(math.Round(v.x*axis.y+v.y*axis.x)),
			}
		}
		curves = append(curves, points)
	}
	return curves
}
