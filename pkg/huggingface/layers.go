package huggingface

import "slices"

// layerPattern says which layers differ from the others. In every family that has such layers, layer l is the odd one if
// l + 1 is a multiple of a period: it has full attention where the others slide, or no rotary embedding.
type layerPattern struct {
	period      uint64 // the family's own, which files need not state; 0: all layers are alike
	free        bool   // another period can be written to the file
	withoutRope bool   // the odd layers have no rotary embedding, and full attention like the others
}

// write checks that config.json describes such a pattern, and states the period where it is not the family's. A period of
// 0 means no odd layers; one of 1, odd layers only, is not what any of these architectures has.
func (p layerPattern) write(v *conversion, c *config) {
	odd, known := p.oddLayers(c)
	if known && uint64(len(odd)) != v.layers {
		c.fail("%w: %d kinds of layers for %d layers", ErrInvalid, len(odd), v.layers)
		return
	}
	if p.period == 0 {
		if known && slices.Contains(odd, true) && slices.Contains(odd, false) {
			c.fail("layers of several kinds are %w for the GGUF architecture %q", ErrUnsupported, v.family.architecture)
		}
		return
	}
	period := p.period
	for _, key := range []string{"sliding_window_pattern", "_sliding_window_pattern"} {
		period = c.sizeOr(key, period)
	}
	if known && p.free && firstOther(odd, period) >= 0 {
		period = uint64(slices.Index(odd, true) + 1)
	}
	if l := firstOther(odd, period); known && l >= 0 {
		c.fail("layer %d is %w: the GGUF architecture %q has other layers at other places", l, ErrUnsupported, v.family.architecture)
		return
	}
	switch {
	case period == p.period:
	case p.free && period != 1:
		v.set("attention.sliding_window_pattern", uint32(period))
	default:
		c.fail("a pattern of %d layers is %w for the GGUF architecture %q", period, ErrUnsupported, v.family.architecture)
	}
}

// firstOther returns the first layer that is not odd where the period makes it so, or the reverse; -1 if there is none.
func firstOther(odd []bool, period uint64) int {
	for l, is := range odd {
		if is != (period > 0 && uint64(l+1)%period == 0) {
			return l
		}
	}
	return -1
}

// oddLayers marks the layers that differ, if config.json says so layer by layer.
func (p layerPattern) oddLayers(c *config) (odd []bool, known bool) {
	if p.withoutRope {
		var rotates []int
		known = c.decode("no_rope_layers", &rotates)
		for _, r := range rotates {
			odd = append(odd, r == 0)
		}
		return odd, known
	}
	var kinds []string
	known = c.decode("layer_types", &kinds)
	for _, kind := range kinds {
		if kind != "full_attention" && kind != "sliding_attention" {
			c.fail("layers of kind %q are %w", abbreviate(kind), ErrUnsupported)
		}
		odd = append(odd, kind == "full_attention")
	}
	return odd, known
}
