package eval

// Baseline is a plain way to spend a budget, with which routers are compared.
type Baseline string

// The baselines: heads, experts and tokens drawn by lot, at weight one; and routers as they
// are before training.
const (
	Random    Baseline = "random"
	Untrained Baseline = "untrained"
)

// Baselines lists their names.
var Baselines = []string{string(Random), string(Untrained)}

// BaselineResult is what a baseline gives at a budget. What was not measured is nil.
type BaselineResult struct {
	Baseline  Baseline `json:"baseline"`
	Budget    float64  `json:"budget"`
	Compute   float64  `json:"compute"`
	KL        *KL      `json:"kl,omitempty"`
	Agreement *float64 `json:"agreement,omitempty"`
	Cosine    *Cosine  `json:"cosine,omitempty"`
}

// outcome is a baseline's result, beside a teacher whose blocks took so many
// multiply-accumulates; agreement is nil where nothing is predicted.
func (s *student) outcome(blocks int64, agreement *float64) BaselineResult {
	r := BaselineResult{Baseline: s.baseline, Budget: s.budget, Compute: float64(s.blocks) / float64(blocks), Agreement: agreement}
	if agreement != nil {
		kl := summarise(s.kl)
		r.KL = &kl
	}
	return r
}
