package routing

import (
	"slices"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// Static is a choice made once, for every token of every input: heads and neurons that are
// pruned, modules that are skipped. It is a model's Router without routers, which costs
// nothing beyond what is kept; a skipped module leaves the residual stream as it is.
type Static struct {
	config *model.Config
	parts  [][2]staticPart // (L), by model.Module
}

// staticPart is what is kept of a module: everything where of is 0, else some of so many
// units, none of them if it is skipped.
type staticPart struct {
	of     int
	kept   []int32 // ascending
	unread int     // attention: groups of heads that share keys, none of which is kept
}

// NewStatic keeps everything.
func NewStatic(c *model.Config) *Static {
	return &Static{config: c, parts: make([][2]staticPart, c.Layers)}
}

// Clone is a copy that can be changed by itself.
func (s *Static) Clone() *Static { return &Static{config: s.config, parts: slices.Clone(s.parts)} }

// Skip leaves out a module.
func (s *Static) Skip(layer int, m model.Module) { s.parts[layer][m] = staticPart{of: 1} }

// Skipped says whether a module is left out.
func (s *Static) Skipped(layer int, m model.Module) bool {
	p := &s.parts[layer][m]
	return p.of > 0 && len(p.kept) == 0
}

// Keep keeps some of a module's units (ascending), of which it has n: heads, or equal blocks
// of neurons.
func (s *Static) Keep(layer int, m model.Module, n int, units []int32) {
	p := staticPart{of: n, kept: units}
	if len(units) == n {
		p = staticPart{}
	} else if m == model.Attention {
		group := int32(s.config.Heads / s.config.KVHeads)
		p.unread = s.config.KVHeads
		for i, u := range units {
			if i == 0 || u/group != units[i-1]/group {
				p.unread--
			}
		}
	}
	s.parts[layer][m] = p
}

// Kept is the units of a module that are kept; whole says that all are.
func (s *Static) Kept(layer int, m model.Module) (units []int32, whole bool) {
	p := &s.parts[layer][m]
	return p.kept, p.of == 0
}

// Rows implements model.Router.
func (s *Static) Rows(_ *tape.Tape, layer int, m model.Module, _ *tape.Var, l *tape.Layout) *tape.Rows {
	if s.Skipped(layer, m) {
		return &tape.Rows{Layout: l.Keep(nil)}
	}
	return nil
}

// Units implements model.Router. Keys and values that no kept head reads are not charged: a
// pruned network has no such weights.
func (s *Static) Units(t *tape.Tape, layer int, m model.Module, n *tape.Var, _ *tape.Layout) *tape.Units {
	p := &s.parts[layer][m]
	if p.of == 0 {
		return nil
	}
	u := &tape.Units{N: p.of, Gain: t.NewVar(n.Rows, p.of, false), Chosen: make([]int32, 0, n.Rows*len(p.kept)), Start: make([]int, n.Rows+1)}
	for i := range u.Gain.Data {
		u.Gain.Data[i] = 1
	}
	for r := range n.Rows {
		u.Chosen = append(u.Chosen, p.kept...)
		u.Start[r+1] = len(u.Chosen)
	}
	t.MACs[tape.WorkProjection] -= int64(n.Rows) * s.unreadMACs(p)
	return u
}

// unreadMACs is the work on a token's keys and values that nothing reads. One norm over the keys
// of all heads needs them all.
func (s *Static) unreadMACs(p *staticPart) int64 {
	each := int64(2)
	if s.config.WholeQueries() {
		each = 1
	}
	return each * int64(p.unread) * int64(s.config.Width) * int64(s.config.HeadDim)
}

// LowRank implements model.Router.
func (s *Static) LowRank(int, model.Name) *tape.LowRankFactors { return nil }

// Cost is the multiply-accumulates of the blocks on one window of T tokens.
func (s *Static) Cost(tokens int) int64 {
	var sum int64
	for l := range s.parts {
		for m := range model.Module(2) {
			sum += s.moduleCost(l, m, tokens)
		}
	}
	return sum
}

func (s *Static) moduleCost(layer int, m model.Module, tokens int) int64 {
	c, p, t := s.config, &s.parts[layer][m], int64(tokens)
	forward := t * c.FeedForwardMACs()
	switch {
	case s.Skipped(layer, m):
		return 0
	case m == model.FeedForward && p.of == 0:
		return forward
	case m == model.FeedForward:
		return forward / int64(p.of) * int64(len(p.kept))
	case p.of == 0:
		return c.LayerMACs(layer, tokens) - forward
	}
	kept := int64(len(p.kept))
	queries := kept
	if c.WholeQueries() {
		queries = int64(c.Heads)
	}
	d, dh := int64(c.Width), int64(c.HeadDim)
	return t*(d*dh*(queries+kept+2*int64(c.KVHeads))-s.unreadMACs(p)) + c.PairsSeen(layer, tokens)*2*dh*kept
}
