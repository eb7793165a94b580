package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newConfigCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:         "config",
		Short:       "Work with the configuration",
		Example:     "  elastiformer config show",
		Annotations: exitStatus(),
		Args:        cobra.ArbitraryArgs,
		RunE:        runGroup,
	}
	cmd.AddCommand(newConfigShowCommand(g))
	return cmd
}

// configShowOptions has no flags of its own.
type configShowOptions struct {
	globalOptions
	settings *settings
}

func newConfigShowCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Print each setting with its value and where it came from",
		Long: `Prints each setting of every command with its value and where the value was found: a
flag, an environment variable, the configuration file or the default.`,
		Example: `  elastiformer config show
  elastiformer config show --config run.yaml --json
  ELASTIFORMER_SEED=7 elastiformer config show`,
		Annotations: exitStatus(),
		Args:        cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runConfigShow(cmd.Context(), configShowOptions{g.globalOptions, g.settings}, g.streams)
		},
	}
}

func runConfigShow(_ context.Context, opts configShowOptions, std streams) error {
	if opts.json {
		return showConfigJSON(std.out, opts.settings)
	}
	return showConfigText(std.out, opts.settings)
}

func showConfigText(w io.Writer, s *settings) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var b strings.Builder
	b.WriteString("KEY\tVALUE\tORIGIN\n")
	for _, one := range s.list {
		from := strings.TrimSpace(one.origin.Kind + " " + one.origin.Name)
		fmt.Fprintf(&b, "%s\t%s\t%s\n", one.key, one.flag.Value, from)
	}
	if _, err := io.WriteString(table, b.String()); err != nil {
		return fmt.Errorf("config show: %w", err)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("config show: %w", err)
	}
	return nil
}

func showConfigJSON(w io.Writer, s *settings) error {
	type entry struct {
		Key   string `json:"key"`
		Value any    `json:"value"`
		origin
	}
	document := struct {
		Schema int     `json:"schema"`
		File   *string `json:"file"` // null if none was read
		Values []entry `json:"values"`
	}{Schema: schemaVersion, Values: []entry{}}
	if s.file != "" {
		document.File = &s.file
	}
	for _, one := range s.list {
		document.Values = append(document.Values, entry{one.key, jsonValue(one.flag.Value), one.origin})
	}
	return writeJSON(w, document)
}

// jsonValue gives a flag's value the JSON type it stands for. An infinite limit is none: null.
func jsonValue(v pflag.Value) any {
	if many, ok := v.(pflag.SliceValue); ok {
		return many.GetSlice()
	}
	switch v.Type() {
	case "bool":
		return v.String() == "true"
	case "int", "int64", "uint", "uint64", "float64":
		if x, err := strconv.ParseFloat(v.String(), 64); err != nil || math.IsInf(x, 0) {
			return nil
		}
		return json.Number(v.String())
	default:
		return v.String()
	}
}
