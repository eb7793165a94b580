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
	if err := baselineText(w, r.Baselines, r.Calibration); err != nil {
		return err
	}
	if !r.Causal {
		_, err := fmt.Fprintln(w, "tokens were chosen by looking ahead (top-k): no causal model")
		return err
	}
	return nil
}

// baselineText writes what baselines give, if there are any.
func baselineText(w io.Writer, results []BaselineResult, c *Calibration) error {
	if len(results) == 0 {
		return nil
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "baseline\tbudget\tcompute\tKL\tagreement\tcosine\tbudget met\t")
	for _, b := range results {
		var kl, cosine *float64
		if b.KL != nil {
			kl = &b.KL.Mean
		}
		if b.Cosine != nil {
			cosine = &b.Cosine.Tokens
		}
		met := "yes"
		if !b.Reached {
			met = "no"
		}
		fmt.Fprintf(tw, "%s\t%.4g\t%.3f\t%s\t%s\t%s\t%s\t\n", b.Baseline, b.Budget, b.Compute, figure("%.4f", kl), figure("%.3f", b.Agreement), figure("%.4f", cosine), met)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, calibrationNote(c))
	return err
}

// CSV writes one line per budget, numbers in full precision.
func (r *Report) CSV(w io.Writer) error {
	return writeCSV(w, []string{"budget", "compute", "compute_with_head", "seconds", "seconds_ratio", "tokens_per_second", "loss", "perplexity",
		"perplexity_error", "kl_mean", "kl_median", "kl_p99", "agreement", "used_attn_tokens", "used_heads", "used_mlp_tokens", "used_experts"},
		r.Results, func(b Result) []*float64 {
			return pointers(b.Budget, b.Compute, b.ComputeWithHead, b.Seconds, b.SecondsRatio, b.TokensPerSecond, b.Loss, b.Perplexity,
				b.PerplexityError, b.KL.Mean, b.KL.Median, b.KL.P99, b.Agreement, b.Used.AttnTokens, b.Used.Heads, b.Used.MLPTokens, b.Used.Experts)
		})
}

// CSV writes one line per budget, numbers in full precision; what was not measured is empty.
func (r *ImageReport) CSV(w io.Writer) error {
	return writeCSV(w, []string{"budget", "compute", "compute_with_head", "seconds", "seconds_ratio", "images_per_second", "cosine_tokens", "cosine_class",
		"top1", "top5", "kl_mean", "kl_median", "kl_p99", "agreement", "used_attn_tokens", "used_heads", "used_mlp_tokens", "used_experts"},
		r.Results, func(b ImageResult) []*float64 {
			row := pointers(b.Budget, b.Compute, b.ComputeWithHead, b.Seconds, b.SecondsRatio, b.ImagesPerSecond, b.Cosine.Tokens)
			kl := make([]*float64, 3)
			if b.KL != nil {
				kl = pointers(b.KL.Mean, b.KL.Median, b.KL.P99)
			}
			row = append(append(append(row, b.Cosine.Class, b.Top1, b.Top5), kl...), b.Agreement)
			return append(row, pointers(b.Used.AttnTokens, b.Used.Heads, b.Used.MLPTokens, b.Used.Experts)...)
		})
}

func pointers(values ...float64) []*float64 {
	out := make([]*float64, len(values))
	for i := range values {
		out[i] = &values[i]
	}
	return out
}

// writeCSV writes a header and a line for each result; a number that is nil is empty.
func writeCSV[R any](w io.Writer, header []string, results []R, numbers func(R) []*float64) error {
	rows := [][]string{header}
	for _, r := range results {
		var row []string
		for _, v := range numbers(r) {
			word := ""
			if v != nil {
				word = strconv.FormatFloat(*v, 'g', -1, 64)
			}
			row = append(row, word)
		}
		rows = append(rows, row)
	}
	return csv.NewWriter(w).WriteAll(rows)
}
