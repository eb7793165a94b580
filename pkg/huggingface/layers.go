package huggingface

// layerPattern says which layers differ from the others. In every family that has such layers, layer l is the odd one if
// l + 1 is a multiple of a period: it has full attention where the others slide, or no rotary embedding.
type layerPattern struct {
	period      uint64 // the family's own, which files need not state; 0: all layers are alike
	free        bool   // another period can be written to the file
	withoutRope bool   // the odd layers have no rotary embedding, and full attention like the others
}

// write checks that config.json describes such a pattern, and states the period where it is not the family's.
func (p layerPattern) write(v *conversion, c *config) {
	odd := oddLayers(c, p.withoutRope)
	period := p.period
	for _, key := range []string{"sliding_window_pattern", "_sliding_window_pattern"} {
		period = c.sizeOr(key, period)
	}
	if p.free && odd != nil {
		period = periodOf(odd)
	}
	for l, is := range odd {
		if is != (period > 0 && uint64(l+1)%period == 0) {
			c.fail("layer %d is %w: the layers are not of the kind the GGUF architecture %q has", l, ErrUnsupported, v.family.architecture)
			return
		}
	}
	switch {
	case odd != nil && uint64(len(odd)) != v.layers:
		c.fail("%w: %d kinds of layers for %d layers", ErrInvalid, len(odd), v.layers)
	case period == p.period:
	case p.free && period > 1:
		v.set("attention.sliding_window_pattern", uint32(period))
	default:
		c.fail("every %d. layer different from the others is %w for the GGUF architecture %q", period, ErrUnsupported, v.family.architecture)
	}
}

// oddLayers marks the layers that differ, nil if config.json leaves that to the family. Where all layers are alike there
// is nothing to mark, whatever their kind.
func oddLayers(c *config, withoutRope bool) []bool {
	var odd []bool
	if withoutRope {
		var rotates []int
		c.decode("no_rope_layers", &rotates)
		for _, r := range rotates {
			odd = append(odd, r == 0)
		}
		return odd
	}
	var kinds []string
	c.decode("layer_types", &kinds)
	alike := true
	for _, kind := range kinds {
		if kind != "full_attention" && kind != "sliding_attention" {
			c.fail("layers of kind %q are %w", abbreviate(kind), ErrUnsupported)
		}
		alike = alike && kind == kinds[0]
		odd = append(odd, kind == "full_attention")
	}
	if alike {
		return nil
	}
	return odd
}

// periodOf returns one more than the number of layers before the first odd one.
func periodOf(odd []bool) uint64 {
	for l, is := range odd {
		if is {
			return uint64(l) + 1
		}
	}
	return 0
}
