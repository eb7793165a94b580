package eval

import "github.com/elastiformer/elastiformer/pkg/routing"

// Comparison is the outcome of a comparison of sets of routers, as `compare --json` prints
// it. Models and domains are named by their index.
type Comparison struct {
	Schema  int          `json:"schema"`
	Task    string       `json:"task"` // as in Report or ImageReport
	Models  []string     `json:"models"`
	Budgets []float64    `json:"budgets"`
	Threads int          `json:"threads"`
	Seed    uint64       `json:"seed"`
	Pairs   []Pair       `json:"pairs"` // each pair of models at each budget
	Domains []Domain     `json:"domains"`
	Losses  []DomainLoss `json:"losses"` // each model in each domain at each budget
}

// Pair is how alike the routers of two models choose at a budget.
type Pair struct {
	A         int                   `json:"a"`
	B         int                   `json:"b"`
	Budget    float64               `json:"budget"`
	Selectors map[string]Likenesses `json:"selectors"` // by routing.Selector.Key: those that both have
}

// Likenesses are those of a selector in every layer in which both models have it, and
// their means.
type Likenesses struct {
	Likeness
	Layers []LayerLikeness `json:"layers"`
}

// LayerLikeness is the likeness in one layer.
type LayerLikeness struct {
	Layer int `json:"layer"`
	Likeness
}

// Likeness is how alike two routers choose, the mean over all choices: one of units for
// each token, one of tokens for each sequence.
type Likeness struct {
	// Correlation is Spearman's rank correlation of the scores, whatever the budget; nil
	// where a router scores everything alike.
	Correlation *float64 `json:"correlation"`
	// Overlap is |A∩B| / min(|A|, |B|) of what they keep, Chance what it would be on average
	// if one of them drew as many at random: max(|A|, |B|) / n. nil where one of them keeps
	// everything or nothing at the budget.
	Overlap *float64 `json:"overlap"`
	Chance  *float64 `json:"chance"`
}

// Domain is a data set of one kind: text or pictures.
type Domain struct {
	Name      string `json:"name"`
	Context   int    `json:"context,omitempty"`
	Windows   int    `json:"windows,omitempty"`
	Tokens    int    `json:"tokens,omitempty"` // positions scored
	ImageSize int    `json:"image_size,omitempty"`
	Images    int    `json:"images,omitempty"`
}

// DomainLoss is how far a model with its routers is from its teacher on a domain. Cosine
// is there for pictures; KL and agreement for text, and pictures where there is a class
// head.
type DomainLoss struct {
	Model     int      `json:"model"`
	Domain    int      `json:"domain"`
	Budget    float64  `json:"budget"`
	Compute   float64  `json:"compute"` // of the blocks, executed over pretrained
	KL        *KL      `json:"kl,omitempty"`
	Agreement *float64 `json:"agreement,omitempty"`
	Cosine    *Cosine  `json:"cosine,omitempty"`
}

// finish completes the report with the pairs.
func (c *comparison) finish() *Comparison {
	for p, pair := range c.pairs {
		for b, budget := range c.options.Budgets {
			found := Pair{A: pair[0], B: pair[1], Budget: budget, Selectors: map[string]Likenesses{}}
			for sel := range routing.Selectors {
				if l := c.likenesses(p, b, sel); len(l.Layers) > 0 {
					found.Selectors[sel.Key()] = l
				}
			}
			c.report.Pairs = append(c.report.Pairs, found)
		}
	}
	return c.report
}

// likenesses is those of a pair at a budget.
func (c *comparison) likenesses(pair, budget int, sel routing.Selector) Likenesses {
	found := Likenesses{Layers: []LayerLikeness{}}
	var correlation, overlap, chance mean
	for layer := range c.routers[0].Config.Layers {
		t := &c.at(layer, sel)[pair]
		l := Likeness{t.correlation.value(), t.overlap[budget].value(), t.chance[budget].value()}
		if l == (Likeness{}) {
			continue
		}
		correlation.join(&t.correlation)
		overlap.join(&t.overlap[budget])
		chance.join(&t.chance[budget])
		found.Layers = append(found.Layers, LayerLikeness{layer, l})
	}
	found.Likeness = Likeness{correlation.value(), overlap.value(), chance.value()}
	return found
}
