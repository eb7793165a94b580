package eval_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/eval"
)

// sample is a report with a different number in every place.
func sample() *eval.Report {
	return &eval.Report{
		Schema: eval.Schema, Model: "m.gguf", Task: "causal-lm", Causal: true, Context: 256, Windows: 60, Tokens: 7620, Threads: 2, Seed: 3,
		Teacher: eval.Teacher{Loss: 1.9, Perplexity: 6.7, PerplexityError: 0.1, Seconds: 2, TokensPerSecond: 7680},
		Results: []eval.Result{{
			Budget: 0.6, Compute: 0.598, ComputeWithHead: 0.66, Seconds: 1.26, SecondsRatio: 0.63, TokensPerSecond: 12190,
			Loss: 2, Perplexity: 7.4, PerplexityError: 0.2, KL: eval.KL{Mean: 0.1, Median: 0.05, P99: 1.5}, Agreement: 0.93,
			Capacities: eval.Shares{AttnTokens: 1, Heads: 0.5, MLPTokens: 0.9, Experts: 0.55},
			Used:       eval.Shares{AttnTokens: 0.99, Heads: 0.51, MLPTokens: 0.89, Experts: 0.56},
		}},
	}
}

// The keys of the JSON document are a contract: scripts rely on them.
const goldenKeys = `schema model task causal context windows tokens threads precision seed
teacher teacher.loss teacher.perplexity teacher.perplexity_error teacher.seconds teacher.tokens_per_second
results results.budget results.compute results.compute_with_head results.seconds results.seconds_ratio results.tokens_per_second
results.loss results.perplexity results.perplexity_error results.kl results.kl.mean results.kl.median results.kl.p99 results.agreement
results.capacities results.capacities.attn_tokens results.capacities.heads results.capacities.mlp_tokens results.capacities.experts
results.used results.used.attn_tokens results.used.heads results.used.mlp_tokens results.used.experts`

func TestJSONKeys(t *testing.T) {
	data, err := json.Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := keys(t, data), strings.Fields(goldenKeys); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if !strings.Contains(string(data), `"kl":{"mean":0.1,"median":0.05,"p99":1.5},"agreement":0.93`) {
		t.Errorf("values are not under their keys: %s", data)
	}
}

// keys lists the keys of a document in order, with those above them.
func keys(t *testing.T, data []byte) []string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	var list, path []string
	var walk func()
	next := func() json.Token {
		token, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	walk = func() {
		switch next() {
		case json.Delim('{'):
			for d.More() {
				path = append(path, next().(string))
				list = append(list, strings.Join(path, "."))
				walk()
				path = path[:len(path)-1]
			}
			next()
		case json.Delim('['):
			for d.More() {
				walk()
			}
			next()
		}
	}
	walk()
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		t.Fatal("more than one document")
	}
	return list
}

func TestText(t *testing.T) {
	var b strings.Builder
	if err := sample().Text(&b); err != nil {
		t.Fatal(err)
	}
	const want = `m.gguf: 60 windows of 256 tokens, 7620 scored
teacher: perplexity 6.7000 ± 0.1000, 7680 tokens/s
  budget  compute  time      KL  agreement  perplexity  tokens/s  heads  experts  attn tokens  MLP tokens
     0.6    0.598  0.63  0.1000      0.930      7.4000     12190   0.51     0.56         0.99        0.89
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	r := sample()
	r.Causal = false
	b.Reset()
	if err := r.Text(&b); err != nil || !strings.HasPrefix(b.String(), want) || !strings.Contains(b.String(), "no causal model") {
		t.Errorf("top-k: got %v\n%s", err, b.String())
	}
}

func TestCSV(t *testing.T) {
	var b bytes.Buffer
	if err := sample().CSV(&b); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	got := map[string]string{}
	for i, name := range rows[0] {
		got[name] = rows[1][i]
	}
	for name, want := range map[string]string{
		"budget": "0.6", "compute": "0.598", "compute_with_head": "0.66", "seconds": "1.26", "seconds_ratio": "0.63", "tokens_per_second": "12190",
		"loss": "2", "perplexity": "7.4", "perplexity_error": "0.2", "kl_mean": "0.1", "kl_median": "0.05", "kl_p99": "1.5", "agreement": "0.93",
		"used_attn_tokens": "0.99", "used_heads": "0.51", "used_mlp_tokens": "0.89", "used_experts": "0.56",
	} {
		if got[name] != want {
			t.Errorf("%s: got %q, want %q", name, got[name], want)
		}
	}
	if len(got) != 17 {
		t.Errorf("%d columns, want 17", len(got))
	}
}
