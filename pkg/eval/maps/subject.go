package maps

import (
	"fmt"
	"slices"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/picture"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// Subject is a picture with what the drawing of it needs.
type Subject struct {
	Name string // stands above the drawing

	how    *picture.Preprocessing
	shown  *picture.Picture // as the model sees it
	images model.Images     // this picture alone
}

// NewSubject prepares a picture as a model wants it.
func NewSubject(name string, how *picture.Preprocessing, p *picture.Picture) *Subject {
	return &Subject{
		Name: name, how: how, shown: how.Shown(p),
		images: model.Images{Height: how.Size, Width: how.Size, Pixels: [][]float32{how.Apply(p)}},
	}
}

// newPass makes the router of a budget for so many tokens of a picture.
func newPass(e *routing.Elastic, budget float64, tokens int) (*routing.Pass, error) {
	s, err := e.Solve(budget, tokens, routing.TopK)
	if err != nil {
		return nil, fmt.Errorf("maps: %w", err)
	}
	return e.NewPass(routing.TopK, s), nil
}

// checkFinite fails where an encoder's output is not made of numbers; who says whose it is.
func checkFinite(who string, h *tape.Var) error {
	if slices.ContainsFunc(h.Data, func(v float32) bool { return v-v != 0 }) { // NaN and infinities
		return fmt.Errorf("maps: %s: %w", who, eval.ErrNotFinite)
	}
	return nil
}
