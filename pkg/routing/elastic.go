package routing

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// ErrOptions says that options do not fit the model.
var ErrOptions = errors.New("does not fit the model")

// Options say what is attached to a model.
type Options struct {
	Selectors    []Selector   // sorted, at least one
	Layers       []int        // sorted layers that get selectors and LoRA
	Experts      int          // M, a divisor of F; 0 asks for the default
	Compensation bool         // learned bias for what is skipped
	LoRARank     int          // r; 0 is none
	LoRAOn       []model.Name // projections beside which LoRA stands
}

// Elastic is what was attached to a model: parameters, calibration, the measured
// table and where it all came from.
type Elastic struct {
	Options
	Config      model.Config
	BaseHash    string // SHA-256 of the base tensors, hexadecimal
	Plan        Plan   // empty before it was measured
	Calibration Calibration
	Training    *Training // nil while untrained
	Table       *Table    // nil before it was measured

	layers []layer // (L)
}

// layer holds the routers of one block, nil where there is none.
type layer struct {
	routers [Selectors]*router
	low     [model.Names]*tape.LowRankFactors
}

// router scores tokens or units and knows what stands in for those not chosen.
type router struct {
	weight *tape.Var // (N, D); N is 1 for tokens
	bias   *tape.Var // (1, 1), tokens only
	skip   *tape.Var // (N, D) compensation, or nil
}

// Attach makes zero routers: every score is equal, LoRA adds nothing, and budget 1 is
// the pretrained model. blockLen is the block length of the feed-forward's down
// projection (1 unless it is block-quantised): experts of whole blocks are fastest, and
// the default where there are enough. The error wraps ErrOptions.
func Attach(c model.Config, blockLen int, o Options) (*Elastic, error) {
	if len(o.Selectors) == 0 {
		return nil, fmt.Errorf("routing: no selector given: %w", ErrOptions)
	}
	for i, l := range o.Layers {
		if l < 0 || l >= c.Layers {
			return nil, fmt.Errorf("routing: layer %d of %d %w", l, c.Layers, ErrOptions)
		}
		if i > 0 && l <= o.Layers[i-1] {
			return nil, fmt.Errorf("routing: layers %v are not ascending: list %w", o.Layers, ErrOptions)
		}
	}
	if len(o.Layers) == 0 {
		return nil, fmt.Errorf("routing: no layer given: %w", ErrOptions)
	}
	if o.LoRARank < 0 || o.LoRARank > c.Width {
		return nil, fmt.Errorf("routing: LoRA rank %d at width %d %w", o.LoRARank, c.Width, ErrOptions)
	}
	if o.LoRARank > 0 && len(o.LoRAOn) == 0 {
		return nil, fmt.Errorf("routing: LoRA of rank %d beside no projection %w", o.LoRARank, ErrOptions)
	}
	if c.Ungated && o.LoRARank > 0 && slices.Contains(o.LoRAOn, model.Gate) {
		return nil, fmt.Errorf("routing: the model's feed-forward has no gate, LoRA beside %q %w", ProjectionName(model.Gate), ErrOptions)
	}
	if err := o.checkMixture(&c); err != nil {
		return nil, err
	}
	if !slices.Contains(o.Selectors, Experts) {
		o.Experts = 0
	} else if err := o.chooseExperts(&c, blockLen); err != nil {
		return nil, err
	}
	if o.LoRARank == 0 {
		o.LoRAOn = nil
	}
	return newElastic(c, o), nil
}

// checkMixture verifies that nothing is attached to the inside of a checkpoint's own
// experts.
func (o *Options) checkMixture(c *model.Config) error {
	if c.Mixture.Experts == 0 {
		return nil
	}
	if slices.Contains(o.Selectors, Experts) {
		return fmt.Errorf("routing: the model has %d experts of its own and keeps them, selector %q %w", c.Mixture.Experts, Experts, ErrOptions)
	}
	if i := slices.IndexFunc(o.LoRAOn, func(p model.Name) bool { return p >= model.Gate }); i >= 0 && o.LoRARank > 0 {
		return fmt.Errorf("routing: the model has %d experts of its own, LoRA beside %q %w", c.Mixture.Experts, ProjectionName(o.LoRAOn[i]), ErrOptions)
	}
	return nil
}

func newElastic(c model.Config, o Options) *Elastic {
	e := &Elastic{Options: o, Config: c, layers: make([]layer, c.Layers)}
	for _, l := range o.Layers {
		for _, s := range o.Selectors {
			e.layers[l].routers[s] = e.newRouter(s)
		}
		for _, p := range o.LoRAOn {
			out, in := e.projection(p)
			e.layers[l].low[p] = &tape.LowRankFactors{A: parameter(o.LoRARank, in), B: parameter(out, o.LoRARank)}
		}
	}
	return e
}

// Untrained is e as it was before training, the routers' first values drawn by a seed, with
// the plan in place: what it chooses costs the same.
func (e *Elastic) Untrained(seed uint64) *Elastic {
	u := newElastic(e.Config, e.Options)
	u.BaseHash, u.Plan = e.BaseHash, e.Plan
	u.Initialise(seed)
	return u
}

// parameter is an array of zeros, without a gradient as long as nothing is trained.
func parameter(rows, cols int) *tape.Var {
	return tape.NewConst(rows, cols, make([]float32, rows*cols))
}

func (e *Elastic) newRouter(s Selector) *router {
	n, d := e.Units(s), e.Config.Width
	r := &router{weight: parameter(n, d)}
	if s.ofTokens() {
		r.bias = parameter(1, 1)
	}
	if e.Compensation {
		r.skip = parameter(n, d)
	}
	return r
}

// Units is how many scores the selector's router gives a token: H, M, or 1 for a
// token selector.
func (e *Elastic) Units(s Selector) int {
	switch s {
	case Heads:
		return e.Config.Heads
	case Experts:
		return e.Experts
	}
	return 1
}

// projection is the shape of a projection: outputs and inputs.
func (e *Elastic) projection(p model.Name) (out, in int) {
	c := &e.Config
	q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	switch p {
	case model.Q:
		return q, c.Width
	case model.K, model.V:
		return kv, c.Width
	case model.O:
		return c.Width, q
	case model.Down:
		return c.Width, c.FeedForward
	}
	return c.FeedForward, c.Width
}

// Limits of the default number of experts: the router's share of the MLP's work, the
// narrowest block the kernels run at full speed, and the fewest experts worth choosing
// from (many fine experts are what quality needs most).
const (
	maxRouterShare = 0.1
	tileWidth      = 32
	fewExperts     = 16
)

// chooseExperts checks the number of experts, or picks the default: the largest
// divisor of F whose router costs at most a tenth of the MLP (M·D against the 3·D·F, or without a gate 2·D·F, of its matrices) and
// whose blocks fill the kernels' tile and are whole blocks of the weights, unless that
// leaves too few; without an affordable one the smallest.
func (o *Options) chooseExperts(c *model.Config, blockLen int) error {
	f := c.FeedForward
	matrices := 3.0
	if c.Ungated {
		matrices = 2
	}
	var divisors []int
	for m := 2; m <= f; m++ {
		if f%m == 0 {
			divisors = append(divisors, m)
		}
	}
	switch {
	case o.Experts != 0:
		if !slices.Contains(divisors, o.Experts) {
			return fmt.Errorf("routing: %d experts do not divide the feed-forward width %d (possible: %v): %w", o.Experts, f, divisors, ErrOptions)
		}
		return nil
	case len(divisors) == 0:
		return fmt.Errorf("routing: feed-forward width %d has no split into experts, choose other selectors: %w", f, ErrOptions)
	}
	whole := slices.DeleteFunc(slices.Clone(divisors), func(m int) bool { return f/m%blockLen != 0 })
	for _, m := range slices.Concat(whole, divisors) { // once there are enough, only wide ones count
		affordable := float64(m) <= maxRouterShare*matrices*float64(f)
		if affordable && m > o.Experts && (f/m >= tileWidth && f/m%blockLen == 0 || o.Experts < fewExperts) {
			o.Experts = m
		}
	}
	if o.Experts == 0 {
		o.Experts = divisors[0]
	}
	return nil
}

// Parameter is a trained array with its name in the checkpoint.
type Parameter struct {
	Name string
	*tape.Var
}

// Parameters lists everything that is trained, in a fixed order.
func (e *Elastic) Parameters() []Parameter {
	var out []Parameter
	add := func(name string, v *tape.Var) {
		if v != nil {
			out = append(out, Parameter{Name: name, Var: v})
		}
	}
	for i, l := range e.layers {
		for s, r := range l.routers {
			if r == nil {
				continue
			}
			prefix := fmt.Sprintf("blk.%d.%s.", i, Selector(s).Key())
			add(prefix+"weight", r.weight)
			add(prefix+"bias", r.bias)
			add(prefix+"skip", r.skip)
		}
		for p, f := range l.low {
			if f == nil {
				continue
			}
			prefix := fmt.Sprintf("blk.%d.lora.%s.", i, projectionNames[p])
			add(prefix+"a", f.A)
			add(prefix+"b", f.B)
		}
	}
	return out
}

// WantGradients gives every parameter a gradient of zeros, which recorded passes add to.
func (e *Elastic) WantGradients() {
	for _, p := range e.Parameters() {
		if p.Grad == nil {
			p.Var.Grad = make([]float32, len(p.Data))
		}
	}
}

// initialDeviation spreads the first scores: with equal scores every token would
// choose the same units.
const initialDeviation = 1e-3

// Initialise draws what is still all zero before training: router weights from
// N(0, 1e-3²), LoRA's A from N(0, 1/in). LoRA's B and the compensation stay zero.
func (e *Elastic) Initialise(seed uint64) {
	for i, p := range e.Parameters() {
		if slices.ContainsFunc(p.Data, func(v float32) bool { return v != 0 }) {
			continue
		}
		var deviation float64
		switch {
		case strings.HasSuffix(p.Name, ".weight"):
			deviation = initialDeviation
		case strings.HasSuffix(p.Name, ".a"):
			deviation = 1 / math.Sqrt(float64(p.Cols))
		default:
			continue
		}
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		for j := range p.Data {
			p.Data[j] = float32(deviation * rng.NormFloat64())
		}
	}
}
