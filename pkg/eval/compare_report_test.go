package eval_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/eval"
)

// comparisonSample is a comparison with a different number in every place, and a layer in
// which one selector alone was compared.
func comparisonSample() *eval.Comparison {
	like := func(correlation, overlap, chance float64) eval.Likeness {
		return eval.Likeness{Correlation: &correlation, Overlap: &overlap, Chance: &chance}
	}
	agreement := []float64{0.91, 0.82}
	return &eval.Comparison{
		Schema: eval.Schema, Task: "causal-lm", Models: []string{"tales.gguf", "plays.gguf"}, Budgets: []float64{0.6}, Threads: 2, Seed: 3,
		Pairs: []eval.Pair{{A: 0, B: 1, Budget: 0.6, Selectors: map[string]eval.Likenesses{
			"heads":   {Likeness: like(0.75, 0.85, 0.5), Layers: []eval.LayerLikeness{{Layer: 0, Likeness: like(0.7, 0.8, 0.45)}, {Layer: 1, Likeness: like(0.8, 0.9, 0.55)}}},
			"experts": {Likeness: eval.Likeness{Overlap: like(0, 0.65, 0).Overlap, Chance: like(0, 0, 0.6).Chance}, Layers: []eval.LayerLikeness{{Layer: 1, Likeness: eval.Likeness{Overlap: like(0, 0.65, 0).Overlap, Chance: like(0, 0, 0.6).Chance}}}},
		}}},
		Domains: []eval.Domain{{Name: "tales", Context: 128, Windows: 12, Tokens: 756}, {Name: "plays", Context: 128, Windows: 10, Tokens: 630}},
		Losses: []eval.DomainLoss{
			{Model: 0, Domain: 0, Budget: 0.6, Compute: 0.59, KL: &eval.KL{Mean: 0.11, Median: 0.05, P99: 1.5}, Agreement: &agreement[0]},
			{Model: 1, Domain: 0, Budget: 0.6, Compute: 0.61, KL: &eval.KL{Mean: 0.22, Median: 0.06, P99: 1.6}, Agreement: &agreement[1]},
			{Model: 0, Domain: 1, Budget: 0.6, Compute: 0.58, KL: &eval.KL{Mean: 0.33, Median: 0.07, P99: 1.7}, Agreement: &agreement[1]},
			{Model: 1, Domain: 1, Budget: 0.6, Compute: 0.62, KL: &eval.KL{Mean: 0.44, Median: 0.08, P99: 1.8}, Agreement: &agreement[0]},
		},
	}
}

func TestComparisonText(t *testing.T) {
	var b strings.Builder
	if err := comparisonSample().Text(&b); err != nil {
		t.Fatal(err)
	}
	const want = `tales.gguf and plays.gguf at budget 0.6: rank correlation of scores, overlap of what is kept, overlap by chance
  layer  heads  overlap  chance  experts  overlap  chance
      0  0.700    0.800   0.450        –        –       –
      1  0.800    0.900   0.550        –    0.650   0.600
   mean  0.750    0.850   0.500        –    0.650   0.600
distance from the teacher at budget 0.6
                                   tales                       plays
  checkpoint  compute      KL  agreement  compute      KL  agreement
  tales.gguf   0.5900  0.1100     0.9100   0.5800  0.3300     0.8200
  plays.gguf   0.6100  0.2200     0.8200   0.6200  0.4400     0.9100
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// Pictures without a class head have a cosine and no KL.
func TestComparisonTextOfPictures(t *testing.T) {
	c := comparisonSample()
	for i := range c.Losses {
		c.Losses[i].KL, c.Losses[i].Agreement = nil, nil
		c.Losses[i].Cosine = &eval.Cosine{Tokens: 0.9}
	}
	var b strings.Builder
	if err := c.Text(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "\n  checkpoint  compute  cosine  compute  cosine\n  tales.gguf   0.5900  0.9000   0.5800  0.9000\n") {
		t.Errorf("got\n%s", b.String())
	}
}

// The keys of the JSON document are a contract: scripts rely on them.
const comparisonKeys = `schema task models budgets threads seed
pairs pairs.a pairs.b pairs.budget pairs.selectors
pairs.selectors.experts pairs.selectors.experts.correlation pairs.selectors.experts.overlap pairs.selectors.experts.chance
pairs.selectors.experts.layers pairs.selectors.experts.layers.layer pairs.selectors.experts.layers.correlation
pairs.selectors.experts.layers.overlap pairs.selectors.experts.layers.chance
domains domains.name domains.context domains.windows domains.tokens
losses losses.model losses.domain losses.budget losses.compute losses.kl losses.kl.mean losses.kl.median losses.kl.p99 losses.agreement`

func TestComparisonJSONKeys(t *testing.T) {
	c := comparisonSample()
	delete(c.Pairs[0].Selectors, "heads")
	c.Domains, c.Losses = c.Domains[:1], c.Losses[:1]
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := keys(t, data), strings.Fields(comparisonKeys); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, want := range []string{
		`"models":["tales.gguf","plays.gguf"]`, `"a":0,"b":1,"budget":0.6`, `"experts":{"correlation":null,"overlap":0.65,"chance":0.6,"layers":[{"layer":1,`,
		`"compute":0.59,"kl":{"mean":0.11,"median":0.05,"p99":1.5},"agreement":0.91`,
	} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s is not in %s", want, data)
		}
	}
}

func TestComparisonCSV(t *testing.T) {
	var b bytes.Buffer
	if err := comparisonSample().CSV(&b); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(b.Bytes())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	// Heads: 3 measures of 2 layers and a mean; experts: 2 of 1 and a mean; losses: 3 measures of 4.
	if want := 1 + 9 + 4 + 12; len(rows) != want {
		t.Errorf("%d lines, want %d", len(rows), want)
	}
	lines := strings.Split(b.String(), "\n")
	for _, want := range []string{
		"a,b,domain,budget,selector,layer,measure,value",
		"tales.gguf,plays.gguf,,0.6,heads,0,correlation,0.7",
		"tales.gguf,plays.gguf,,0.6,heads,,chance,0.5",
		"tales.gguf,plays.gguf,,0.6,experts,1,overlap,0.65",
		"plays.gguf,,tales,0.6,,,kl,0.22",
		"tales.gguf,,plays,0.6,,,agreement,0.82",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %s in\n%s", want, b.String())
		}
	}
}
