package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/elastiformer/elastiformer/pkg/eval"
)

// print writes the report in the form asked for.
func (o *benchOptions) print(r *eval.SpeedReport, std streams) error {
	switch {
	case o.json:
		return writeJSON(std.out, r)
	case o.markdown:
		return printSpeedMarkdown(std.out, r)
	default:
		return printSpeedText(std.out, r, o.context)
	}
}

// speedRow is one test at one budget.
type speedRow struct {
	test            string
	budget          float64
	rate, deviation float64
	note            string // what the rate means for the machine
}

// speedRows lists the tests that were run, budget by budget.
func speedRows(r *eval.SpeedReport) []speedRow {
	var rows []speedRow
	add := func(test string, budget float64, rate, deviation *float64, note func() string) {
		if rate != nil {
			rows = append(rows, speedRow{test, budget, *rate, *deviation, note()})
		}
	}
	for i := range r.Results {
		one := &r.Results[i]
		add(fmt.Sprintf("pp%d", r.Prompt), one.Budget, one.Prompt, one.PromptDeviation, func() string {
			return fmt.Sprintf("compute %.3f, %.4g GFLOP/s, %.0f %% of the multiply-add peak", *one.PromptCompute, *one.GFLOPS, 100**one.PeakShare)
		})
		add(fmt.Sprintf("tg%d", r.Generate), one.Budget, one.Generate, one.GenerateDeviation, func() string {
			return fmt.Sprintf("compute %.3f, %.3g GB/s of weights, %.0f %% of the memory's rate", *one.GenerateCompute, *one.GenerateGB, 100**one.MemoryShare)
		})
		add("train", one.Budget, one.Train, one.TrainDeviation, func() string { return "" })
	}
	return rows
}

// printSpeedMarkdown writes the table of llama-bench, with a column for the budget.
func printSpeedMarkdown(w io.Writer, r *eval.SpeedReport) error {
	var b strings.Builder
	b.WriteString("| model | size | params | backend | threads | budget | test | t/s |\n")
	b.WriteString("| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |\n")
	for _, row := range speedRows(r) {
		fmt.Fprintf(&b, "| %s %s | %.2f MiB | %.2f M | %s | %d | %.4g | %s | %.2f ± %.2f |\n",
			r.Architecture, r.Type, float64(r.Bytes)/(1<<20), float64(r.Parameters)/1e6, r.InstructionSet, r.Threads,
			row.budget, row.test, row.rate, row.deviation)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printSpeedText writes the report for people.
func printSpeedText(w io.Writer, r *eval.SpeedReport, context int) error {
	if _, err := fmt.Fprintf(w, "%s: %s %s, %.2f MiB, %.2f M parameters\n"+
		"loaded in %.3g s, peak memory %.0f MB\n"+
		"%s, %s, %s: multiply-add peak %.1f GFLOP/s, memory %.1f GB/s\n",
		printable(r.Model), printable(r.Architecture), r.Type, float64(r.Bytes)/(1<<20), float64(r.Parameters)/1e6,
		r.LoadSeconds, float64(r.PeakRSS)/1e6,
		r.InstructionSet, r.Precision, threadsText(r.Threads), r.FMAPeak, r.Memory); err != nil {
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "budget\ttest\ttokens/s\t")
	for _, row := range speedRows(r) {
		note := row.note
		if row.test == "train" {
			note = fmt.Sprintf("teacher, student, backward and update on %d tokens; peak memory %.0f MB", context, float64(r.TrainPeakRSS)/1e6)
		}
		fmt.Fprintf(tw, "%.4g\t%s\t%.1f ± %.1f\t%s\n", row.budget, row.test, row.rate, row.deviation, note)
	}
	return tw.Flush()
}

func threadsText(n int) string {
	if n == 1 {
		return "1 thread"
	}
	return fmt.Sprintf("%d threads", n)
}
