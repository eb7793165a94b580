package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/eval/maps"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// mappedPictures is how many pictures --save-maps draws.
const mappedPictures = 8

// drawing is a figure to draw and the file it goes to.
type drawing struct {
	path string
	draw func(s *maps.Subject) (image.Image, error)
}

// drawn is a picture of the set with what is drawn of it.
type drawn struct {
	index    int // in the set
	name     string
	drawings []drawing
}

// saveMaps draws a few pictures into a folder: what every layer made of their patches at each budget below 1, and what a
// masked autoencoder makes of parts of them.
func (o *evalOptions) saveMaps(ctx context.Context, c *checkpoint, set *pictures, budgets []float64, std streams) error {
	budgets = slices.DeleteFunc(slices.Clone(budgets), func(b float64) bool { return b == 1 })
	if c.encoder.Decoder == nil {
		if err := c.requireElastic(); err != nil {
			return err
		}
		if len(budgets) == 0 {
			return usageErrorf("--save-maps: every patch is kept at budget 1, give another --budget")
		}
	}
	if err := os.MkdirAll(o.maps, 0o755); err != nil {
		return fmt.Errorf("--save-maps: %w", err)
	}
	all := o.drawings(c, set, budgets)
	for _, d := range all {
		for _, f := range d.drawings {
			if err := checkTarget(f.path, o.force); err != nil {
				return err
			}
		}
	}
	p := newProgress(o.progress, o.json, std.err)
	p.Begin("draw", 0, len(all))
	defer p.End()
	for i, d := range all {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := d.save(set); err != nil {
			if errors.Is(err, eval.ErrNotFinite) {
				err = c.blame(err)
			}
			return err
		}
		p.Step(i + 1)
	}
	return nil
}

// drawings lists what is to be drawn.
func (o *evalOptions) drawings(c *checkpoint, set *pictures, budgets []float64) []drawn {
	var all []drawn
	taken := map[string]bool{}
	for place, index := range set.inTurns(min(mappedPictures, set.Len())) {
		d := drawn{index: index, name: mapName(set.Name(index), taken)}
		add := func(what string, draw func(s *maps.Subject) (image.Image, error)) {
			d.drawings = append(d.drawings, drawing{filepath.Join(o.maps, d.name+"-"+what+".png"), draw})
		}
		if c.elastic != nil {
			for _, budget := range budgets {
				add("budget"+budgetName(budget), func(s *maps.Subject) (image.Image, error) {
					choices, err := maps.Choose(c.encoder, c.elastic, s, budget)
					if err != nil {
						return nil, err
					}
					return choices.Draw(s, c.encoder.Vision.Labels), nil
				})
			}
		}
		if c.encoder.Decoder != nil {
			add("reconstruction", func(s *maps.Subject) (image.Image, error) {
				r := rand.New(rand.NewPCG(o.seed, uint64(place)))
				drawn, err := maps.Reconstruct(c.encoder, c.elastic, s, o.withinReach(c, set, budgets), r)
				if err != nil {
					return nil, err
				}
				return drawn.Draw(s), nil
			})
		}
		all = append(all, d)
	}
	return all
}

// withinReach leaves out budgets of the default that are out of reach where a part of the patches is all there is to compute.
func (o *evalOptions) withinReach(c *checkpoint, set *pictures, budgets []float64) []float64 {
	if len(o.budgets.values) > 0 || c.elastic == nil {
		return budgets
	}
	seen := c.encoder.Special + c.encoder.Decoder.Seen(set.tokens(c.encoder)-c.encoder.Special)
	reach := reachableDefaults(c, seen, routing.TopK)
	return slices.DeleteFunc(slices.Clone(budgets), func(b float64) bool { return !slices.Contains(reach, b) })
}

// save draws a picture's figures and writes them.
func (d *drawn) save(set *pictures) error {
	p, err := set.Picture(d.index)
	if err != nil {
		return inputErrorf("%w", err)
	}
	subject := maps.NewSubject(printable(d.name), set.how, p)
	for _, f := range d.drawings {
		img, err := f.draw(subject)
		if err != nil {
			return err
		}
		if err := writeFileAtomically(f.path, func(w io.Writer) error { return png.Encode(w, img) }); err != nil {
			return err
		}
	}
	return nil
}

// mapName is the last two elements of a picture's path, class and file, without the extension; behind a number where that
// is taken.
func mapName(path string, taken map[string]bool) string {
	path = filepath.ToSlash(strings.TrimSuffix(path, filepath.Ext(path)))
	var parts []string
	for _, part := range strings.Split(path, "/") {
		if part != "" && part != "." && part != ".." {
			parts = append(parts, part)
		}
	}
	name := strings.Join(parts[max(0, len(parts)-2):], "-")
	unique := name
	for i := 2; taken[unique]; i++ {
		unique = fmt.Sprintf("%s-%d", name, i)
	}
	taken[unique] = true
	return unique
}

// budgetName is a budget in a file's name: two decimals, or as many as it has.
func budgetName(budget float64) string {
	exact := strconv.FormatFloat(budget, 'f', -1, 64)
	if rounded := strconv.FormatFloat(budget, 'f', 2, 64); len(rounded) >= len(exact) {
		return rounded
	}
	return exact
}
