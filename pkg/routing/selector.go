package routing

import (
	"fmt"
	"slices"
	"strings"

	"github.com/elastiformer/elastiformer/pkg/model"
)

// Selector is one of the four places where a router chooses.
type Selector int

// The selectors: two of each module, tokens first.
const (
	AttnTokens Selector = iota
	Heads
	MLPTokens
	Experts
	Selectors // how many there are
)

var selectorNames = [Selectors]string{"attn-tokens", "heads", "mlp-tokens", "experts"}

// String is the selector's name on the command line.
func (s Selector) String() string { return selectorNames[s] }

// Key is the selector's name in keys and JSON, with underscores.
func (s Selector) Key() string { return strings.ReplaceAll(selectorNames[s], "-", "_") }

// Module is the module the selector belongs to.
func (s Selector) Module() model.Module {
	if s < MLPTokens {
		return model.Attention
	}
	return model.FeedForward
}

// ofTokens says whether the selector chooses tokens (else units).
func (s Selector) ofTokens() bool { return s == AttnTokens || s == MLPTokens }

// tokensOf and unitsOf are the selectors of a module.
func tokensOf(m model.Module) Selector { return Selector(2 * int(m)) }
func unitsOf(m model.Module) Selector  { return Selector(2*int(m) + 1) }

// ParseSelectors reads names as given on the command line; duplicates and unknown
// names are errors.
func ParseSelectors(names []string) ([]Selector, error) {
	var out []Selector
	for _, name := range names {
		i := slices.Index(selectorNames[:], name)
		if i < 0 {
			return nil, fmt.Errorf("no selector %q (known: %s)", name, strings.Join(selectorNames[:], ", "))
		}
		if slices.Contains(out, Selector(i)) {
			return nil, fmt.Errorf("selector %q given twice", name)
		}
		out = append(out, Selector(i))
	}
	slices.Sort(out)
	return out, nil
}

var projectionNames = [model.Names]string{"q", "k", "v", "o", "gate", "up", "down"}

// ProjectionName is the name of a projection on the command line and in keys.
func ProjectionName(p model.Name) string { return projectionNames[p] }

// ParseProjections reads the names of projections that get LoRA.
func ParseProjections(names []string) ([]model.Name, error) {
	var out []model.Name
	for _, name := range names {
		i := slices.Index(projectionNames[:], name)
		if i < 0 {
			return nil, fmt.Errorf("no projection %q (known: %s)", name, strings.Join(projectionNames[:], ", "))
		}
		if slices.Contains(out, model.Name(i)) {
			return nil, fmt.Errorf("projection %q given twice", name)
		}
		out = append(out, model.Name(i))
	}
	slices.Sort(out)
	return out, nil
}
