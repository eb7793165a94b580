package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// elasticEntry is what inspect tells about the elastic part of a file.
type elasticEntry struct {
	Selectors    []string       `json:"selectors"`
	Layers       []int          `json:"layers"`
	Experts      int            `json:"experts"`
	Compensation bool           `json:"compensation"`
	LoRARank     int            `json:"lora_rank"`
	LoRAOn       []string       `json:"lora_on"`
	BaseSHA256   string         `json:"base_sha256"`
	Training     *trainingEntry `json:"training,omitempty"`
	Table        *tableEntry    `json:"table,omitempty"`
}

type trainingEntry struct {
	Steps          int    `json:"steps"`
	Seed           uint64 `json:"seed"`
	Options        string `json:"options"`
	DataSHA256     string `json:"data_sha256"`
	InstructionSet string `json:"instruction_set"`
}

type tableEntry struct {
	Context int        `json:"context"`
	Rows    []rowEntry `json:"rows"`
}

type rowEntry struct {
	Budget    float64  `json:"budget"`
	Compute   float64  `json:"compute"`
	KL        *float64 `json:"kl,omitempty"`
	Agreement *float64 `json:"agreement,omitempty"`
	Cosine    *float64 `json:"cosine,omitempty"`
}

// describeElastic reads the elastic part of a file; nil where it has none.
func describeElastic(f *gguf.File) (*elasticEntry, error) {
	s, err := routing.Summarise(f)
	if errors.Is(err, routing.ErrNotElastic) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e := &elasticEntry{
		Selectors: []string{}, Layers: s.Layers, Experts: s.Experts, Compensation: s.Compensation,
		LoRARank: s.LoRARank, LoRAOn: []string{}, BaseSHA256: s.BaseHash,
	}
	for _, sel := range s.Selectors {
		e.Selectors = append(e.Selectors, sel.String())
	}
	for _, p := range s.LoRAOn {
		e.LoRAOn = append(e.LoRAOn, routing.ProjectionName(p))
	}
	if t := s.Training; t != nil {
		e.Training = &trainingEntry{t.Steps, t.Seed, t.Options, t.DataHash, t.InstructionSet}
	}
	if t := s.Table; t != nil {
		e.Table = &tableEntry{Context: t.Context, Rows: []rowEntry{}}
		for _, r := range t.Rows {
			e.Table.Rows = append(e.Table.Rows, rowEntry(r))
		}
	}
	return e, nil
}

func (d inspection) writeElastic(w io.Writer) {
	e := d.Elastic
	if e == nil {
		return
	}
	fmt.Fprintf(w, "ELASTIC\n  selectors     %s on layers %s\n", strings.Join(e.Selectors, ", "), layerRanges(e.Layers))
	if e.Experts > 0 {
		fmt.Fprintf(w, "  experts       %d\n", e.Experts)
	}
	fmt.Fprintf(w, "  compensation  %v\n", e.Compensation)
	if e.LoRARank > 0 {
		fmt.Fprintf(w, "  LoRA          rank %d on %s\n", e.LoRARank, strings.Join(e.LoRAOn, ", "))
	}
	fmt.Fprintf(w, "  base          SHA-256 %s\n", printable(e.BaseSHA256))
	if t := e.Training; t != nil {
		fmt.Fprintf(w, "  trained       %d steps, seed %d, on %s, data SHA-256 %s\n", t.Steps, t.Seed, printable(t.InstructionSet), printable(t.DataSHA256))
		fmt.Fprintf(w, "  options       %s\n", printable(t.Options))
	}
	if e.Table == nil {
		return
	}
	fmt.Fprintf(w, "\nBUDGETS (windows of %d tokens)\n", e.Table.Context)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	e.Table.write(table)
	_ = table.Flush() // w keeps its own errors
}

// write writes the table's lines, with the columns that were measured.
func (t *tableEntry) write(w io.Writer) {
	columns := []struct {
		name, format string
		of           func(r rowEntry) *float64
	}{
		{"KL", "\t%.4f", func(r rowEntry) *float64 { return r.KL }},
		{"agreement", "\t%.3f", func(r rowEntry) *float64 { return r.Agreement }},
		{"cosine", "\t%.4f", func(r rowEntry) *float64 { return r.Cosine }},
	}
	fmt.Fprint(w, "  budget\tcompute")
	for _, c := range columns {
		if len(t.Rows) == 0 || c.of(t.Rows[0]) != nil {
			fmt.Fprint(w, "\t"+c.name)
		}
	}
	fmt.Fprint(w, "\t\n")
	for _, r := range t.Rows {
		fmt.Fprintf(w, "  %.4g\t%.3f", r.Budget, r.Compute)
		for _, c := range columns {
			if v := c.of(r); v != nil {
				fmt.Fprintf(w, c.format, *v)
			}
		}
		fmt.Fprint(w, "\t\n")
	}
}

// layerRanges writes ascending layers as convert's --layers takes them: 0..3,6.
func layerRanges(layers []int) string {
	var parts []string
	for i := 0; i < len(layers); {
		j := i
		for j+1 < len(layers) && layers[j+1] == layers[j]+1 {
			j++
		}
		if j == i {
			parts = append(parts, fmt.Sprint(layers[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d..%d", layers[i], layers[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ",")
}
