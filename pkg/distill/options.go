package distill

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/elastiformer/elastiformer/pkg/routing"
)

// Options are the choices that change what a training run gives; their JSON form is
// stored with the result and compared on resume.
type Options struct {
	Steps        int     `json:"steps"`
	Batch        int     `json:"batch"`   // sequences in a step
	Context      int     `json:"context"` // tokens in a sequence
	LearningRate float64 `json:"lr"`
	Warmup       int     `json:"warmup"` // steps of linear rise
	WeightDecay  float64 `json:"weight_decay"`
	Clip         float64 `json:"clip"` // largest norm of the gradient, 0 for none
	Loss         Loss    `json:"loss"`
	Temperature  float64 `json:"temperature"`
	BudgetLow    float64 `json:"budget_low"`
	BudgetHigh   float64 `json:"budget_high"`
	BudgetWeight float64 `json:"budget_weight"` // how much more high budgets count, see weights
	Dense        bool    `json:"dense"`         // router gradient of what was not chosen
	Balance      float64 `json:"balance"`
	BCE          float64 `json:"bce"`
	Validate     int     `json:"validate"` // steps between held-out measurements, 0 for none
	Seed         uint64  `json:"seed"`
	// Precision names the arithmetic the caller gave the model; empty is float32.
	Precision string `json:"precision,omitempty"`
	// Augment lists how pictures are altered, such as "flip,shift"; empty is not at all.
	Augment string `json:"augment,omitempty"`
}

// Defaults is the reference recipe.
func Defaults() Options {
	return Options{
		Steps: 600, Batch: 8, Context: 128, LearningRate: 3e-3, Warmup: 20, Clip: 1,
		Loss: TopKKL, Temperature: 1, BudgetLow: 0.3, BudgetHigh: 1, BudgetWeight: 1, Dense: true, Balance: 0.01, BCE: 0.1,
	}
}

// Check reports the first option that makes no sense; the error wraps ErrOptions.
func (o *Options) Check() error {
	for _, v := range []struct {
		name  string
		value float64
		least float64
	}{
		{"steps", float64(o.Steps), 1}, {"batch", float64(o.Batch), 1}, {"context", float64(o.Context), 2},
		{"lr", o.LearningRate, 0}, {"warmup", float64(o.Warmup), 0}, {"weight-decay", o.WeightDecay, 0},
		{"clip", o.Clip, 0}, {"budget-weight", o.BudgetWeight, 0}, {"balance", o.Balance, 0}, {"bce", o.BCE, 0}, {"validate", float64(o.Validate), 0},
	} {
		if !(v.value >= v.least) || math.IsInf(v.value, 0) {
			return fmt.Errorf("%s %v is not at least %v: %w", v.name, v.value, v.least, ErrOptions)
		}
	}
	if !(o.Temperature > 0) || math.IsInf(o.Temperature, 0) {
		return fmt.Errorf("temperature %v is not positive: %w", o.Temperature, ErrOptions)
	}
	if !(o.BudgetLow > 0 && o.BudgetLow <= o.BudgetHigh && o.BudgetHigh <= 1 && o.BudgetLow < 1) {
		return fmt.Errorf("budgets %v..%v are not a range within (0, 1]: %w", o.BudgetLow, o.BudgetHigh, ErrOptions)
	}
	return nil
}

// String is the options as one line of JSON.
func (o *Options) String() string {
	data, err := json.Marshal(o)
	if err != nil {
		panic("distill: options cannot be encoded")
	}
	return string(data)
}

// rate is the learning rate of a step, from 0: a linear rise, then half a cosine to 0.
func (o *Options) rate(step int) float64 {
	if step < o.Warmup {
		return o.LearningRate * float64(step+1) / float64(o.Warmup)
	}
	done := float64(step-o.Warmup) / float64(max(1, o.Steps-o.Warmup))
	return o.LearningRate * (1 + math.Cos(math.Pi*done)) / 2
}

// weightMargin keeps the weight of a budget next to 1 finite.
const weightMargin = 0.05

// weights is how much each sequence counts in the loss, up to a factor:
// (1 − budget + 0.05)^−BudgetWeight. The distance to the teacher grows about as fast as
// what is left out, so at 1 every budget's distance counts by its relative size; with
// equal weights the lowest budgets drown the others.
func (o *Options) weights(settings []routing.Setting) []float64 {
	weights := make([]float64, len(settings))
	for i := range settings {
		weights[i] = math.Pow(1-settings[i].Budget+weightMargin, -o.BudgetWeight)
	}
	return weights
}
