package routing_test

import (
	"testing"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/routing/routingtest"
)

// Budget 1 is the pretrained model bit for bit, whatever was trained.
func TestBudgetOneIsThePretrainedModel(t *testing.T) {
	for _, kind := range []gguf.Type{gguf.TypeF32, gguf.TypeF16, gguf.TypeQ8_0} {
		t.Run(kind.String(), func(t *testing.T) {
			_, m := modeltest.Open(t, modeltest.Shape{Type: kind})
			r := newRand(1)
			batch := modeltest.Windows(r, m, 3, 17)
			plain := tape.New(false)
			want := forward(m, plain, nil, batch...)

			fresh := routingtest.Attach(t, m, everything(m))
			trained := routingtest.Randomise(routingtest.Attach(t, m, everything(m)), r)
			routingtest.Calibrate(t, trained, m, modeltest.Windows(r, m, 4, 16))
			for name, e := range map[string]*routing.Elastic{"converted": fresh, "trained": trained} {
				for _, sel := range []routing.Selection{routing.TopK, routing.Threshold} {
					tp := tape.New(false)
					p := e.NewPass(sel, solve(t, e, 1, 17, sel))
					sameBits(t, name, forward(m, tp, p, batch...).Data, want.Data)
					if tp.MACs != plain.MACs {
						t.Errorf("%s: counted %v, want %v", name, tp.MACs, plain.MACs)
					}
					for _, s := range allSelectors {
						if share := p.Used.Share(s); share != 1 {
							t.Errorf("%s: %v used %v, want 1", name, s, share)
						}
					}
				}
			}
		})
	}
}

// A sequence at budget 1 beside others that select is the pretrained model's too.
func TestFullSequenceBesideOthers(t *testing.T) {
	_, m := modeltest.Open(t, modeltest.Shape{})
	r := newRand(2)
	e := routingtest.Randomise(routingtest.Attach(t, m, everything(m)), r)
	batch := modeltest.Windows(r, m, 3, 17)
	p := e.NewPass(routing.TopK, solve(t, e, 0.5, 17, routing.TopK), e.Full(), solve(t, e, 0.3, 17, routing.TopK))
	got := forward(m, tape.New(true), p, batch...).RowRange(17, 34)
	want := forward(m, tape.New(true), nil, batch[1])
	if worst := largestError(got.Data, want.Data); !(worst < 1e-6) {
		t.Errorf("off by %.3g", worst)
	}
}
