package eval

import (
	"context"
	"fmt"
	"slices"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// ImageSpeedOptions say what an encoder of images runs.
type ImageSpeedOptions struct {
	SpeedRounds
	Pictures model.Images // seen in one pass, the same in all
}

// ImageSpeedReport is the outcome of a measurement of an encoder's speed, as `bench --json`
// prints it.
type ImageSpeedReport struct {
	SpeedHead
	Batch     int                `json:"batch"`      // pictures in a pass
	ImageSize int                `json:"image_size"` // side of the pictures
	Tokens    int                `json:"tokens"`     // of a picture
	Results   []ImageSpeedResult `json:"results"`
}

// ImageSpeedResult is the speed at one budget. What was not measured is nil.
type ImageSpeedResult struct {
	Budget float64  `json:"budget"`
	Images *float64 `json:"images_per_second"` // head included
	Train  *float64 `json:"train_images_per_second"`
	// SecondsRatio is the median over the rounds of the seconds over those at budget 1 in the
	// same round, nil where that was not measured.
	SecondsRatio *float64 `json:"seconds_ratio"`
	Compute      float64  `json:"compute"` // of the blocks, executed over pretrained
	// GFLOPS is two operations for each multiply-accumulate counted, the embedding of
	// patches and the head included, and PeakShare that over the multiply-add peak.
	GFLOPS    *float64 `json:"gflops"`
	PeakShare *float64 `json:"fma_peak_share"`
	// Standard deviations of pictures per second over the runs.
	ImagesDeviation *float64 `json:"images_deviation"`
	TrainDeviation  *float64 `json:"train_deviation"`
}

// ImageSpeed is Speed for an encoder m: passes over pictures and steps of training.
func ImageSpeed(ctx context.Context, f *gguf.File, m *model.Encoder, e *routing.Elastic, o ImageSpeedOptions) (*ImageSpeedReport, error) {
	in := o.Pictures
	if len(o.Budgets) == 0 || o.Repeat < 1 || len(in.Pixels) == 0 {
		return nil, fmt.Errorf("eval: %d budgets, %d pictures, %d runs: %w", len(o.Budgets), len(in.Pixels), o.Repeat, ErrSpeedOptions)
	}
	s := speedRun{SpeedRounds: o.SpeedRounds, tape: tape.New(false)}
	r := imageRun{model: m, tokens: m.Tokens(in.Height, in.Width)}
	see := func(in model.Images, router model.Router) (tape.MACs, float64, error) {
		out, seconds := r.forward(s.tape, in, router)
		if !out.finite() {
			return s.tape.MACs, seconds, ErrNotFinite
		}
		return s.tape.MACs, seconds, nil
	}
	for _, b := range o.Budgets {
		one, err := newStudent(e, b, r.tokens, routing.TopK)
		if err != nil {
			return nil, err
		}
		run := func(context.Context) (tape.MACs, float64, error) { return see(in, one.router()) }
		s.budgets = append(s.budgets, &budgetTests{budget: b, passes: []*test{{name: "pictures", length: len(in.Pixels), run: run}}})
	}
	report := &ImageSpeedReport{SpeedHead: newSpeedHead(f, &m.Config, &o.SpeedRounds), Batch: len(in.Pixels), ImageSize: in.Height, Tokens: r.tokens}
	first := func() error {
		one := in
		one.Pixels = in.Pixels[:1]
		_, _, err := see(one, nil)
		return err
	}
	if err := s.measure(ctx, &report.SpeedHead, first); err != nil {
		return nil, err
	}
	report.Results = s.imageResults(report.FMAPeak, int64(len(in.Pixels))*m.BlockMACs(r.tokens))
	return report, nil
}

// imageResults are the medians of all budgets; all is the work of the pretrained blocks.
func (s *speedRun) imageResults(peak float64, all int64) []ImageSpeedResult {
	full := slices.IndexFunc(s.budgets, func(b *budgetTests) bool { return b.budget == 1 })
	var results []ImageSpeedResult
	for _, b := range s.budgets {
		pictures := b.passes[0]
		r := ImageSpeedResult{Budget: b.budget, Compute: float64(pictures.macs.Blocks()) / float64(all)}
		r.Images, r.ImagesDeviation = pictures.rate()
		r.Train, r.TrainDeviation = b.train.rate()
		r.GFLOPS, r.PeakShare = pictures.speed(peak)
		if full >= 0 {
			ratios := make([]float64, len(pictures.seconds))
			for i, seconds := range s.budgets[full].passes[0].seconds {
				ratios[i] = pictures.seconds[i] / seconds
			}
			ratio := median(ratios)
			r.SecondsRatio = &ratio
		}
		results = append(results, r)
	}
	return results
}
