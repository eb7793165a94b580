package eval

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
)

// Text writes the report as a table for people.
func (r *Report) Text(w io.Writer) error {
	t := &r.Teacher
	if _, err := fmt.Fprintf(w, "%s: %d windows of %d tokens, %d scored\n"+
		"teacher: perplexity %.4f ± %.4f, %.0f tokens/s\n",
		r.Model, r.Windows, r.Context, r.Tokens, t.Perplexity, t.PerplexityError, t.TokensPerSecond); err != nil {
		return err
	}
	if len(r.Results) == 0 {
		return nil
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "budget\tcompute\ttime\tKL\tagreement\tperplexity\ttokens/s\theads\texperts\tattn tokens\tMLP tokens\t")
	for _, b := range r.Results {
		fmt.Fprintf(tw, "%.4g\t%.3f\t%.2f\t%.4f\t%.3f\t%.4f\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t\n",
			b.Budget, b.Compute, b.SecondsRatio, b.KL.Mean, b.Agreement, b.Perplexity, b.TokensPerSecond,
			b.Used.Heads, b.Used.Experts, b.Used.AttnTokens, b.Used.MLPTokens)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if !r.Causal {
		_, err := fmt.Fprintln(w, "tokens were chosen by looking ahead (top-k): no causal model")
		return err
	}
	return nil
}

// CSV writes one line per budget, numbers in full precision.
func (r *Report) CSV(w io.Writer) error {
	c := csv.NewWriter(w)
	rows := [][]string{{"budget", "compute", "compute_with_head", "seconds", "seconds_ratio", "tokens_per_second", "loss", "perplexity",
		"perplexity_error", "kl_mean", "kl_median", "kl_p99", "agreement", "used_attn_tokens", "used_heads", "used_mlp_tokens", "used_experts"}}
	for _, b := range r.Results {
		var row []string
		for _, v := range []float64{b.Budget, b.Compute, b.ComputeWithHead, b.Seconds, b.SecondsRatio, b.TokensPerSecond, b.Loss, b.Perplexity,
			b.PerplexityError, b.KL.Mean, b.KL.Median, b.KL.P99, b.Agreement, b.Used.AttnTokens, b.Used.Heads, b.Used.MLPTokens, b.Used.Experts} {
			row = append(row, strconv.FormatFloat(v, 'g', -1, 64))
		}
		rows = append(rows, row)
	}
	return c.WriteAll(rows)
}
