package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// commandLineOnlyKey marks, among a flag's annotations, one that is no key of the configuration.
const commandLineOnlyKey = "command line only"

// configuredKey marks a flag whose value came from the configuration file or the environment.
const configuredKey = "configured"

// givenFlags says which of a command's flags have a value that is not merely the default; without flags, none has.
type givenFlags struct{ flags *pflag.FlagSet }

// given says whether a flag has one, from the command line, the environment or the configuration file.
func (g givenFlags) given(name string) bool { return g.flags != nil && g.flags.Changed(name) }

// typed says whether it stood on the command line itself.
func (g givenFlags) typed(name string) bool {
	return g.given(name) && g.flags.Lookup(name).Annotations[configuredKey] == nil
}

// defaults sets a command's options to what they are without any flag.
func defaults(o interface{ addFlags(*pflag.FlagSet) }) {
	o.addFlags(pflag.NewFlagSet("", pflag.ContinueOnError))
}

// commandLineOnly keeps flags out of configuration file and environment: those that say how this one run talks to its
// caller (--json) or allow it to destroy something (--force).
func commandLineOnly(fs *pflag.FlagSet, names ...string) {
	for _, name := range names {
		if err := fs.SetAnnotation(name, commandLineOnlyKey, []string{"yes"}); err != nil {
			panic("elastiformer: commandLineOnly names a flag that is not declared")
		}
	}
}

// enum is the value of a flag that takes one of a few words.
type enum struct {
	p       *string
	allowed []string
}

// enumVar declares a flag that takes one of the allowed words. They are listed behind the usage text.
func enumVar(fs *pflag.FlagSet, p *string, name, short, value string, allowed []string, usage string) {
	*p = value
	fs.VarP(&enum{p, allowed}, name, short, usage+": "+strings.Join(allowed, ", "))
}

func (e *enum) String() string { return *e.p }

func (e *enum) Type() string { return "string" }

func (e *enum) Set(s string) error {
	if !slices.Contains(e.allowed, s) {
		return fmt.Errorf("must be one of %s", strings.Join(e.allowed, ", "))
	}
	*e.p = s
	return nil
}

// bounded is the value of a flag that takes a number between two limits, both included.
type bounded[N int | float64] struct {
	p           *N
	least, most N
}

// boundedVar declares a flag that takes a number from least to most.
func boundedVar[N int | float64](fs *pflag.FlagSet, p *N, name, short string, value, least, most N, usage string) {
	*p = value
	flag := fs.VarPF(&bounded[N]{p, least, most}, name, short, usage)
	if math.IsInf(float64(value), 1) {
		flag.DefValue = "" // no limit is no default worth showing in the help
	}
}

func (b *bounded[N]) String() string { return fmt.Sprint(*b.p) }

func (b *bounded[N]) Type() string { return fmt.Sprintf("%T", *b.p) }

func (b *bounded[N]) Set(s string) error {
	n, err := parseNumber[N](s)
	if err != nil {
		return err
	}
	// Written so that NaN, which compares false with everything, is refused.
	if !(n >= b.least && n <= b.most) {
		return fmt.Errorf("must be from %v to %v", b.least, b.most)
	}
	*b.p = n
	return nil
}

func parseNumber[N int | float64](s string) (N, error) {
	var n N
	switch p := any(&n).(type) {
	case *int:
		v, err := strconv.Atoi(s)
		if err != nil {
			return 0, errors.New("must be a whole number")
		}
		*p = v
	case *float64:
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return 0, errors.New("must be a number")
		}
		*p = v
	}
	return n, nil
}

// nearest returns the candidate with the fewest letters to change to get from it to name, the first of equals.
func nearest(name string, candidates []string) string {
	best, least := "", -1
	for _, c := range candidates {
		if d := editDistance(name, c); least < 0 || d < least {
			best, least = c, d
		}
	}
	return best
}

// editDistance counts the bytes to insert, delete or replace to turn a into b (Levenshtein's distance).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1) // row[j]: distance from the bytes of a seen so far to b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// requireFlags declares that a command cannot run without these flags, whichever source they come from.
func requireFlags(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic("elastiformer: requireFlags names a flag that is not declared")
		}
	}
}
