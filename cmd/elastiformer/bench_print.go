package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/elastiformer/elastiformer/pkg/eval"
)

// benchReport is what bench measured of a network of any kind.
type benchReport struct {
	document any             // for --json
	head     *eval.SpeedHead // the document's
	unit     string          // of rates
	perRow   string          // the heading of rates in --md
	rows     []speedRow
}

// speedRow is one test at one budget.
type speedRow struct {
	test            string
	budget          float64
	rate, deviation float64
	note            string // what the rate means for the machine
}

// add adds a test that was run.
func (r *benchReport) add(test string, budget float64, rate, deviation *float64, note func() string) {
	if rate != nil {
		r.rows = append(r.rows, speedRow{test, budget, *rate, *deviation, note()})
	}
}

// trained says what a step of training is.
func (r *benchReport) trained(inputs int, what string) func() string {
	return func() string {
		return fmt.Sprintf("teacher, student, backward and update on %d %s; peak memory %.0f MB", inputs, what, float64(r.head.TrainPeakRSS)/1e6)
	}
}

// newLanguageReport lists the tests of a language model; context is that of its training.
func newLanguageReport(s *eval.SpeedReport, context int) *benchReport {
	r := &benchReport{document: s, head: &s.SpeedHead, unit: "tokens/s", perRow: "t/s"}
	for i := range s.Results {
		one := &s.Results[i]
		r.add(fmt.Sprintf("pp%d", s.Prompt), one.Budget, one.Prompt, one.PromptDeviation, func() string {
			return fmt.Sprintf("compute %.3f, %.4g GFLOP/s, %.0f %% of the multiply-add peak", *one.PromptCompute, *one.GFLOPS, 100**one.PeakShare)
		})
		r.add(fmt.Sprintf("tg%d", s.Generate), one.Budget, one.Generate, one.GenerateDeviation, func() string {
			return fmt.Sprintf("compute %.3f, %.3g GB/s of weights, %.0f %% of the memory's rate", *one.GenerateCompute, *one.GenerateGB, 100**one.MemoryShare)
		})
		r.add("train", one.Budget, one.Train, one.TrainDeviation, r.trained(context, "tokens"))
	}
	return r
}

// newImageReport lists the tests of an encoder.
func newImageReport(s *eval.ImageSpeedReport) *benchReport {
	r := &benchReport{document: s, head: &s.SpeedHead, unit: "images/s", perRow: "images/s"}
	for i := range s.Results {
		one := &s.Results[i]
		r.add(fmt.Sprintf("%dx%d", s.Batch, s.ImageSize), one.Budget, one.Images, one.ImagesDeviation, func() string {
			share := ""
			if one.SecondsRatio != nil {
				share = fmt.Sprintf("time %.3f, ", *one.SecondsRatio)
			}
			return fmt.Sprintf("compute %.3f, %s%.4g GFLOP/s, %.0f %% of the multiply-add peak", one.Compute, share, *one.GFLOPS, 100**one.PeakShare)
		})
		r.add("train", one.Budget, one.Train, one.TrainDeviation, r.trained(s.Batch, "pictures"))
	}
	return r
}

// print writes the report in the form asked for.
func (o *benchOptions) print(r *benchReport, std streams) error {
	switch {
	case o.json:
		return writeJSON(std.out, r.document)
	case o.markdown:
		return r.markdown(std.out)
	default:
		return r.text(std.out)
	}
}

// markdown writes the table of llama-bench, with a column for the budget.
func (r *benchReport) markdown(w io.Writer) error {
	var b strings.Builder
	h := r.head
	fmt.Fprintf(&b, "| model | size | params | backend | threads | budget | test | %s |\n", r.perRow)
	b.WriteString("| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |\n")
	for _, row := range r.rows {
		fmt.Fprintf(&b, "| %s %s | %.2f MiB | %.2f M | %s | %d | %.4g | %s | %.2f ± %.2f |\n",
			h.Architecture, h.Type, float64(h.Bytes)/(1<<20), float64(h.Parameters)/1e6, h.InstructionSet, h.Threads,
			row.budget, row.test, row.rate, row.deviation)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// text writes the report for people.
func (r *benchReport) text(w io.Writer) error {
	h := r.head
	if _, err := fmt.Fprintf(w, "%s: %s %s, %.2f MiB, %.2f M parameters\n"+
		"loaded in %.3g s, peak memory %.0f MB\n"+
		"%s, %s, %s: multiply-add peak %.1f GFLOP/s, memory %.1f GB/s\n",
		printable(h.Model), printable(h.Architecture), h.Type, float64(h.Bytes)/(1<<20), float64(h.Parameters)/1e6,
		h.LoadSeconds, float64(h.PeakRSS)/1e6,
		h.InstructionSet, h.Precision, threadsText(h.Threads), h.FMAPeak, h.Memory); err != nil {
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "budget\ttest\t%s\t\n", r.unit)
	for _, row := range r.rows {
		fmt.Fprintf(tw, "%.4g\t%s\t%.1f ± %.1f\t%s\n", row.budget, row.test, row.rate, row.deviation, row.note)
	}
	return tw.Flush()
}

func threadsText(n int) string {
	if n == 1 {
		return "1 thread"
	}
	return fmt.Sprintf("%d threads", n)
}
