package simd

import "math"

func addGeneric(dst, x []float32) {
	for i, v := range x {
		dst[i] += v
	}
}

func addScaledGeneric(dst, x []float32, f float32) {
	for i, v := range x {
		dst[i] += f * v
	}
}

func scaleGeneric(x []float32, f float32) {
	for i := range x {
		x[i] *= f
	}
}

func mulScaledGeneric(dst, a, b []float32, f float32) {
	for i, v := range a {
		dst[i] = v * f * b[i]
	}
}

func addMulScaledGeneric(dst, a, b []float32, f float32) {
	for i, v := range a {
		dst[i] += v * f * b[i]
	}
}

func largestGeneric(x []float32) float32 {
	top := float32(math.Inf(-1))
	for _, v := range x {
		if v > top {
			top = v
		}
	}
	return top
}

// findGeneric is the first index of a value, len(x) if there is none.
func findGeneric(x []float32, value float32) int {
	for i, v := range x {
		if v == value {
			return i
		}
	}
	return len(x)
}

func reluGeneric(dst, x []float32) {
	for i, v := range x {
		if v < 0 {
			v = 0
		}
		dst[i] = v
	}
}

func reluBackwardGeneric(dx, x, dy []float32) {
	for i, v := range x {
		if v > 0 {
			dx[i] += dy[i]
		}
	}
}

func dotGeneric(a, b []float32) float32 {
	const group = 16
	var sums [dotLanes]float32
	i := 0
	for ; i+dotLanes <= len(a); i += dotLanes {
		for j := range sums {
			sums[j] += a[i+j] * b[i+j]
		}
	}
	for ; i < len(a); i++ {
		sums[i%group] += a[i] * b[i]
	}
	for n := dotLanes / 2; n > 0; n /= 2 {
		for j := range n {
			sums[j] += sums[j+n]
		}
	}
	return sums[0]
}

func dotWideGeneric(a, b []float32) (sum float64) {
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}

func dotThreeGeneric(a, b, c []float32) (sum float64) {
	for i, v := range a {
		sum += float64(v) * float64(b[i]) * float64(c[i])
	}
	return sum
}

func momentsGeneric(x []float32, center float64) (sum, squares float64) {
	for _, v := range x {
		d := float64(v) - center
		sum += d
		squares += d * d
	}
	return sum, squares
}

func normBackwardGeneric(dx, dy, x, w []float32, inv, c, offset float32) {
	for i, v := range x {
		dx[i] += inv * (dy[i]*w[i] - (c*v + offset))
	}
}

func affineGeneric(dst, x, w, b []float32, mean, inv float32) {
	for i, v := range x {
		dst[i] = (v-mean)*inv*w[i] + b[i]
	}
}

func rotatePairsGeneric(x, cos, sin []float32, sign float32) {
	for i := 0; i+1 < len(x); i += 2 {
		a, b := x[i], x[i+1]
		x[i] = a*cos[i] + b*(sin[i]*sign)
		x[i+1] = b*cos[i+1] + a*(sin[i+1]*sign)
	}
}

func rotateHalvesGeneric(x, y, cos, sin []float32, sign float32) {
	for i, a := range x {
		b, s := y[i], sin[i]*sign
		x[i] = a*cos[i] - b*s
		y[i] = b*cos[i] + a*s
	}
}

func adamWGeneric(w, g, m, v []float32, c *[8]float32) {
	for i := range w {
		d := g[i] * c[0]
		m[i] += c[1] * (d - m[i])
		v[i] += c[2] * (d*d - v[i])
		step := m[i]*c[3]/(float32(math.Sqrt(float64(v[i]*c[4])))+c[5]) + c[6]*w[i]
		w[i] -= c[7] * step
	}
}
