package eval

import "math"

// Schema is the version of the JSON documents.
const Schema = 1

// Report is the outcome of an evaluation on text, as `eval --json` prints it.
type Report struct {
	Schema  int    `json:"schema"`
	Model   string `json:"model"`
	Task    string `json:"task"`
	Causal  bool   `json:"causal"`
	Context int    `json:"context"`
	Windows int    `json:"windows"`
	Tokens  int    `json:"tokens"` // positions scored
	Threads int    `json:"threads"`
	// Precision is the arithmetic the model was prepared for, as the caller names it.
	Precision string   `json:"precision"`
	Seed      uint64   `json:"seed"`
	Teacher   Teacher  `json:"teacher"`
	Results   []Result `json:"results"`
	// Baselines, one after the other, each at every budget below 1.
	Baselines []BaselineResult `json:"baselines,omitempty"`
	// Calibration is of static baselines, nil where there are none.
	Calibration *Calibration `json:"calibration,omitempty"`
}

// Outcome is what an evaluation of any task says of one budget; what it did not measure is nil.
type Outcome struct {
	Budget, Compute, SecondsRatio float64
	KL, Agreement                 *float64 // mean KL
	Cosine                        *float64 // over all tokens
}

// Outcomes lists the outcome at every budget.
func (r *Report) Outcomes() []Outcome {
	out := make([]Outcome, len(r.Results))
	for i := range r.Results {
		b := &r.Results[i]
		out[i] = Outcome{Budget: b.Budget, Compute: b.Compute, SecondsRatio: b.SecondsRatio, KL: &b.KL.Mean, Agreement: &b.Agreement}
	}
	return out
}

// Outcomes lists the outcome at every budget.
func (r *ImageReport) Outcomes() []Outcome {
	out := make([]Outcome, len(r.Results))
	for i := range r.Results {
		b := &r.Results[i]
		out[i] = Outcome{Budget: b.Budget, Compute: b.Compute, SecondsRatio: b.SecondsRatio, Agreement: b.Agreement, Cosine: &b.Cosine.Tokens}
		if b.KL != nil {
			out[i].KL = &b.KL.Mean
		}
	}
	return out
}

// finite says whether a report can be printed: a mean loss beyond some 700 nats has no
// perplexity.
func (r *Report) finite() bool {
	sum := r.Teacher.Perplexity + r.Teacher.PerplexityError
	for _, b := range r.Results {
		sum += b.Perplexity + b.PerplexityError + b.KL.Mean
	}
	return !math.IsInf(sum, 0) && !math.IsNaN(sum)
}

// Teacher is the pretrained model's measurement.
type Teacher struct {
	Loss            float64 `json:"loss"` // mean negative log likelihood in nats
	Perplexity      float64 `json:"perplexity"`
	PerplexityError float64 `json:"perplexity_error"` // standard error
	Seconds         float64 `json:"seconds"`
	TokensPerSecond float64 `json:"tokens_per_second"`
}

// Result is one budget's measurement.
type Result struct {
	Budget          float64 `json:"budget"`
	Compute         float64 `json:"compute"`           // of the blocks, executed over pretrained
	ComputeWithHead float64 `json:"compute_with_head"` // the output head on both sides
	Seconds         float64 `json:"seconds"`
	SecondsRatio    float64 `json:"seconds_ratio"` // over the teacher's
	TokensPerSecond float64 `json:"tokens_per_second"`
	Loss            float64 `json:"loss"`
	Perplexity      float64 `json:"perplexity"`
	PerplexityError float64 `json:"perplexity_error"`
	KL              KL      `json:"kl"`
	Agreement       float64 `json:"agreement"`
	Capacities      Shares  `json:"capacities"`
	Used            Shares  `json:"used"`
}

// KL is the divergence KL(teacher ‖ student) in nats over the full vocabulary.
type KL struct {
	Mean   float64 `json:"mean"`
	Median float64 `json:"median"`
	P99    float64 `json:"p99"`
}

// Shares is a share per selector, the mean over layers.
type Shares struct {
	AttnTokens float64 `json:"attn_tokens"`
	Heads      float64 `json:"heads"`
	MLPTokens  float64 `json:"mlp_tokens"`
	Experts    float64 `json:"experts"`
}
