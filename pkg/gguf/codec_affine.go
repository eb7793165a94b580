package gguf

import "math"

// affineFit says how a K format with minimums (Q2_K, Q4_K, Q5_K) is written: the super-block is cut in groups, each with a
// scale and a minimum such that x ≈ scale·q - minimum for whole levels q. The search for them is that of the reference
// quantisers of ggml-quants.c without an importance matrix (quantize_row_q4_K_ref, make_qkx2_quants), with the same
// float32 operations in the same order, so that both give the same bytes.
type affineFit struct {
	groupLen   int
	mostLevel  int     // levels are 0..mostLevel
	mostScale  byte    // scales and minimums are stored as whole numbers 0..mostScale
	tries      int     // ranges of levels that are tried,
	shortest   float32 // from mostLevel + shortest on in steps of 0.1
	magnitudes bool    // weights are magnitudes and errors absolute; else as in [affineFit.weigh] and squared
}

// affineBlock is a super-block as an affineFit leaves it. Element x of group j is about d·scales[j]·q - m·minimums[j].
type affineBlock struct {
	d, m             float32 // half-precision numbers, widened
	scales, minimums [superLen / 16]byte
	levels           [superLen]byte
}

// fit quantises src [256]. Each group gets the best scale and minimum for itself, these are rounded to multiples of d and
// m, and the levels are chosen again for what the rounding has left.
func (f *affineFit) fit(src []float32) *affineBlock {
	b := new(affineBlock)
	var scales, minimums [superLen / 16]float32
	groups := superLen / f.groupLen
	for j := range groups {
		scales[j], minimums[j] = f.fitGroup(b.levels[f.groupLen*j:][:f.groupLen], src[f.groupLen*j:][:f.groupLen])
	}
	b.d = shareScale(b.scales[:groups], scales[:groups], f.mostScale)
	b.m = shareScale(b.minimums[:groups], minimums[:groups], f.mostScale)
	for j := range groups {
		scale, minimum := b.d*float32(b.scales[j]), b.m*float32(b.minimums[j])
		if scale == 0 { // whatever the levels are
			continue
		}
		levels := b.levels[f.groupLen*j:][:f.groupLen]
		for i, x := range src[f.groupLen*j:][:f.groupLen] {
			levels[i] = byte(max(0, min(f.mostLevel, nearestInt((x+minimum)/scale))))
		}
	}
	return b
}

// shareScale writes x as whole numbers 0..most of one unit, which it returns as a half-precision number, widened. The
// largest of x, none of which is negative, becomes most.
func shareScale(whole []byte, x []float32, most byte) float32 {
	var largest float32
	for _, v := range x {
		largest = max(largest, v)
	}
	inverse := float32(most) / largest
	if math.IsInf(float64(inverse), 0) { // all zero, or so small that the unit is zero in any case
		return 0
	}
	for i, v := range x {
		whole[i] = min(most, byte(nearestInt(inverse*v)))
	}
	return Float16ToFloat32(Float32ToFloat16(largest / float32(most)))
}

// fitGroup finds the scale and minimum of one group x, and its levels by them. The minimum is not negative, so zero stays
// within the range. A range of levels a little longer or shorter than the format's, spread over the values, gives other
// levels; for each, weighted least squares give the best scale and minimum, and those of the least error are kept. The
// ranges that follow begin at the minimum kept.
func (f *affineFit) fitGroup(levels []byte, x []float32) (scale, minimum float32) {
	var weightSpace [superLen / kGroups]float32
	var trialSpace [superLen / kGroups]byte
	weights, trial := weightSpace[:len(x)], trialSpace[:len(x)]
	f.weigh(weights, x)
	least, largest := extent(x)
	least = min(least, 0)
	if least == largest {
		return 0, -least
	}
	inverse := float32(f.mostLevel) / (largest - least)
	scale, minimum = 1/inverse, -least
	f.spread(levels, x, minimum, inverse)
	lowest := f.weightedError(levels, x, weights, scale, minimum)
	for k := range f.tries {
		inverse = (f.shortest + mul(0.1, float32(k)) + float32(f.mostLevel)) / (largest + minimum)
		f.spread(trial, x, minimum, inverse)
		s, m, ok := solveAffine(trial, x, weights)
		if !ok {
			continue
		}
		if e := f.weightedError(trial, x, weights, s, m); e < lowest {
			copy(levels, trial)
			scale, minimum, lowest = s, m, e
		}
	}
	return scale, minimum
}

// extent returns the least and the largest of x.
func extent(x []float32) (least, largest float32) {
	least, largest = x[0], x[0]
	for _, v := range x {
		if v < least {
			least = v
		}
		if v > largest {
			largest = v
		}
	}
	return least, largest
}

// weigh sets the weight of each value of a group x: large values matter more, and the least by the root mean square.
func (f *affineFit) weigh(weights, x []float32) {
	var mean float32
	if !f.magnitudes {
		var squares float32
		for _, v := range x {
			squares += mul(v, v)
		}
		mean = float32(math.Sqrt(float64(squares / float32(len(x)))))
	}
	for i, v := range x {
		weights[i] = mean + float32(math.Abs(float64(v)))
	}
}

// spread sets the levels of x when the value -minimum has level 0 and a step is one over inverse.
func (f *affineFit) spread(levels []byte, x []float32, minimum, inverse float32) {
	for i, v := range x {
		levels[i] = byte(max(0, min(f.mostLevel, nearestInt(inverse*(v+minimum)))))
	}
}

// weightedError sums the errors of scale·q - minimum for each x with its level q, squared or absolute.
func (f *affineFit) weightedError(levels []byte, x, weights []float32, scale, minimum float32) float32 {
	var sum float32
	for i, v := range x {
		e := mul(scale, float32(levels[i])) - minimum - v
		if f.magnitudes {
			e = float32(math.Abs(float64(e)))
		} else {
			e = mul(e, e)
		}
		sum += mul(weights[i], e)
	}
	return sum
}

// solveAffine returns the scale and minimum that make the weighted squared error of the levels least. Where that minimum
// is negative it is zero, and the scale the best for it. It fails if all levels are the same.
func solveAffine(levels []byte, x, weights []float32) (scale, minimum float32, ok bool) {
	var w, wx, wl, wll, wlx float32 // weighted sums of 1, x, level, level² and level·x
	for i, v := range x {
		weight, level := weights[i], float32(levels[i])
		w += weight
		wx += mul(weight, v)
		wl += mul(weight, level)
		wll += mul(mul(weight, level), level)
		wlx += mul(mul(weight, level), v)
	}
	determinant := mul(w, wll) - mul(wl, wl)
	if !(determinant > 0) {
		return 0, 0, false
	}
	scale = (mul(w, wlx) - mul(wx, wl)) / determinant
	least := (mul(wll, wx) - mul(wl, wlx)) / determinant
	if least > 0 {
		return wlx / wll, 0, true
	}
	return scale, -least, true
}

// mul is a·b, rounded: the conversion keeps the product from being fused with a sum, which would round once only.
func mul(a, b float32) float32 { return float32(a * b) }

// nearestInt rounds to the nearest whole number, ties to even.
func nearestInt(x float32) int { return int(math.RoundToEven(float64(x))) }
