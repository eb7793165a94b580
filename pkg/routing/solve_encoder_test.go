package routing_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// encoderShapes are vision transformers of common sizes, with a class token, and how many
// tokens their pictures have.
var encoderShapes = []struct {
	name string
	model.Config
	tokens []int
}{
	{"6 layers of 128, 8 heads", model.Config{Layers: 6, Width: 128, Heads: 8, FeedForward: 256}, []int{65}},
	{"6 layers of 64, 8 heads", model.Config{Layers: 6, Width: 64, Heads: 8, FeedForward: 128}, []int{17}},
	{"8 layers of 128, 4 heads", model.Config{Layers: 8, Width: 128, Heads: 4, FeedForward: 512}, []int{65}},
	{"ViT-Base", model.Config{Layers: 12, Width: 768, Heads: 12, FeedForward: 3072}, []int{17, 65, 197, 577}},
}

// encoderSets are sets of selectors.
var encoderSets = [][]routing.Selector{
	{routing.Heads, routing.Experts}, {routing.Heads}, {routing.Experts}, {routing.AttnTokens, routing.MLPTokens}, {routing.MLPTokens},
	{routing.MLPTokens, routing.Experts}, {routing.AttnTokens, routing.Heads}, allSelectors,
}

// Encoders meet budgets to 0.01, compute grows with budgets, and layers differ by one unit or
// token at most.
func TestSolveEncoders(t *testing.T) {
	var worst float64
	for _, c := range encoderShapes {
		c.KVHeads, c.HeadDim, c.Bidirectional, c.Ungated, c.Special = c.Heads, c.Width/c.Heads, true, true, 1
		for _, selectors := range encoderSets {
			for _, rank := range []int{0, 4} {
				e, err := routing.Attach(c.Config, 1, routing.Options{
					Selectors: selectors, Layers: routingtest.Layers(c.Config), Compensation: true, LoRARank: rank, LoRAOn: []model.Name{model.Q, model.V, model.Up},
				})
				if err != nil {
					t.Fatal(err)
				}
				s := solved{name: fmt.Sprintf("%s, %v, rank %d", c.name, selectors, rank), elastic: e}
				for _, tokens := range c.tokens {
					worst = max(worst, checkBudgets(t, &s, tokens))
				}
			}
		}
	}
	t.Logf("worst error: %.4f", worst)
}

// checkBudgets solves for every hundredth within reach and returns the largest miss.
func checkBudgets(t *testing.T, s *solved, tokens int) (worst float64) {
	t.Helper()
	var before float64
	for b := math.Ceil(s.elastic.Least(tokens)*100) / 100; b <= 1; b += 0.01 {
		set := solve(t, s.elastic, b, tokens, routing.TopK)
		got := s.compute(&set, tokens)
		miss := math.Abs(got - b)
		if worst = max(worst, miss); !(miss <= 0.01) {
			t.Errorf("%s, %d tokens: budget %.2f gives %.4f", s.name, tokens, b, got)
		}
		if got < before {
			t.Errorf("%s, %d tokens: budget %.2f computes %.4f, less than %.4f before", s.name, tokens, b, got, before)
		}
		before = got
		checkUniform(t, s.name, s.elastic, &set, tokens)
	}
	return worst
}

// What running pictures at a budget computes is within 0.01 of it.
func TestBudgetsOfEncodersAreMeasured(t *testing.T) {
	var worst float64
	for _, c := range []modeltest.EncoderShape{
		{Family: "vit-post", Layers: 6, Width: 128, Heads: 8, FeedForward: 256, ImageSize: 32, PatchSize: 4},
		{Family: "vit-grey", Layers: 6, Width: 64, Heads: 8, FeedForward: 128, ImageSize: 28, PatchSize: 7},
		{Family: "vit", Layers: 8, Width: 128, Heads: 4, FeedForward: 512, ImageSize: 32, PatchSize: 4},
	} {
		_, m := modeltest.OpenEncoder(t, c)
		r := newRand(1)
		in := modeltest.Pictures(r, m, 2, c.ImageSize, c.ImageSize)
		plain := tape.New(false)
		see(m, plain, nil, in)
		tp := tape.New(false)
		for _, selectors := range encoderSets {
			o := everything(m)
			o.Selectors = selectors
			e := routingtest.Randomise(routingtest.Attach(t, m, o), r)
			tokens := m.Tokens(c.ImageSize, c.ImageSize)
			for _, budget := range []float64{0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97} {
				if budget < e.Least(tokens) {
					continue
				}
				tp.Reset()
				see(m, tp, e.NewPass(routing.TopK, solve(t, e, budget, tokens, routing.TopK)), in)
				miss := math.Abs(float64(tp.MACs.Blocks())/float64(plain.MACs.Blocks()) - budget)
				if worst = max(worst, miss); !(miss <= 0.01) {
					t.Errorf("%s, %v: budget %v missed by %.4f", c.Family, selectors, budget, miss)
				}
			}
		}
	}
	t.Logf("worst error: %.4f", worst)
}
