package main

import (
	"context"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/elastiformer/elastiformer/pkg/eval"
)

// mappedPictures is how many pictures --save-maps draws.
const mappedPictures = 8

// saveMaps draws what every layer made of the patches of a few pictures at each budget below 1, a PNG for each, into a
// folder.
func (o *evalOptions) saveMaps(ctx context.Context, c *checkpoint, set *pictures, budgets []float64) (err error) {
	if err := c.requireElastic(); err != nil {
		return err
	}
	if err := os.MkdirAll(o.maps, 0o755); err != nil {
		return fmt.Errorf("--save-maps: %w", err)
	}
	part := set.first(ctx, mappedPictures)
	defer closeInto(part, &err)
	for i := range part.Len() {
		in, err := part.Range(i, i+1)
		if err != nil {
			return err
		}
		seen, err := set.Picture(part.indices[i])
		if err != nil {
			return err
		}
		name := mapName(set.Name(part.indices[i]))
		for _, budget := range budgets {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if budget == 1 {
				continue
			}
			m, err := eval.Map(c.encoder, c.elastic, in, budget)
			if err != nil {
				return err
			}
			img := m.Draw(name, set.how.Shown(seen), c.encoder.Vision.Labels)
			path := filepath.Join(o.maps, fmt.Sprintf("%s-budget%.3g.png", name, budget))
			if err := checkTarget(path, o.force); err != nil {
				return err
			}
			if err := writeFileAtomically(path, func(w io.Writer) error { return png.Encode(w, img) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// mapName is the last two elements of a picture's path, class and file, without the extension.
func mapName(path string) string {
	path = filepath.ToSlash(strings.TrimSuffix(path, filepath.Ext(path)))
	parts := strings.Split(path, "/")
	return strings.Join(parts[max(0, len(parts)-2):], "-")
}
