package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// modelEntry is what inspect tells about a model that can be run.
type modelEntry struct {
	Architecture string          `json:"architecture"`
	Layers       int             `json:"layers"`
	Width        int             `json:"width"`
	Heads        int             `json:"heads"`
	KVHeads      int             `json:"kv_heads"`
	HeadDim      int             `json:"head_dim"`
	FeedForward  int             `json:"feed_forward"`
	Vocabulary   int             `json:"vocabulary,omitempty"`
	Context      int             `json:"context"` // tokens; of an encoder those of a picture
	Rope         *ropeEntry      `json:"rope,omitempty"`
	Images       *imagesEntry    `json:"images,omitempty"`
	Window       *windowEntry    `json:"sliding_window,omitempty"`
	Mixture      *mixtureEntry   `json:"mixture,omitempty"`
	Parameters   parametersEntry `json:"parameters"`
	MACs         int64           `json:"macs_per_token"` // of the blocks, for the first token of a text
	HeadMACs     int64           `json:"head_macs_per_token"`
}

// imagesEntry is what an encoder of images has beside its blocks.
type imagesEntry struct {
	Size     int    `json:"size"` // side of a picture, in pixels
	Patch    int    `json:"patch"`
	Channels int    `json:"channels"`
	Special  int    `json:"special_tokens"`
	Classes  int    `json:"classes"` // 0: there is no class head
	Pooling  string `json:"pooling"`
	MACs     int64  `json:"macs_per_image"` // of the blocks
}

type ropeEntry struct {
	Dimensions int     `json:"dimensions"` // 0: nothing rotates
	Base       float64 `json:"base"`
	Scaling    string  `json:"scaling"`
	Factor     float64 `json:"factor"`
}

type windowEntry struct {
	Tokens int   `json:"tokens"`
	Layers []int `json:"layers"`
}

type mixtureEntry struct {
	Experts int `json:"experts"`
	Used    int `json:"used"`
	Neurons int `json:"neurons"`
	Shared  int `json:"shared_neurons"`
}

// parametersEntry counts values of tensors, by parts those of matrices; Active are those that a token meets.
type parametersEntry struct {
	Total       uint64 `json:"total"`
	Active      uint64 `json:"active"`
	Embedding   uint64 `json:"embedding"`
	Attention   uint64 `json:"attention"`
	FeedForward uint64 `json:"feed_forward"`
	Output      uint64 `json:"output"`
}

// planEntry is what convert would attach without further flags.
type planEntry struct {
	Selectors   []string `json:"selectors"`
	Experts     int      `json:"experts"`
	Parameters  int      `json:"parameters"`
	Context     int      `json:"context"`
	LeastBudget float64  `json:"least_budget"` // of windows of Context tokens
}

// describeModel tells about the model of a file. It is nil where the file holds none that can
// be run, be it a vocabulary, an adapter, another kind of model or a damaged one: what it does
// hold is shown all the same, and whatever runs models says why it does not run this one.
func describeModel(f *gguf.File) *modelEntry {
	network, err := model.LoadNetwork(f)
	if err != nil {
		return nil
	}
	c := network.Body().Config
	e := &modelEntry{
		Architecture: c.Architecture, Layers: c.Layers, Width: c.Width, Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim,
		FeedForward: c.FeedForward, Vocabulary: c.Vocabulary, Context: c.Context,
		Parameters: countParameters(f, &c), MACs: c.BlockMACs(1), HeadMACs: c.HeadMACs(1),
	}
	if m, ok := network.(*model.Encoder); ok {
		v := &m.Vision
		e.Images = &imagesEntry{v.ImageSize, v.PatchSize, v.Channels, c.Special, v.Classes, string(v.Pooling), c.BlockMACs(c.Context)}
	} else {
		e.Rope = &ropeEntry{c.Rope.Dimensions, c.Rope.Base, c.Rope.Scaling, c.Rope.Factor}
		if c.Rope.Off {
			e.Rope.Dimensions = 0
		}
	}
	if m := c.Mixture; m.Experts > 0 {
		e.Mixture = &mixtureEntry{m.Experts, m.Used, m.Width, m.Shared}
	}
	for l := range c.Layers {
		if n := c.WindowOf(l); n > 0 {
			if e.Window == nil {
				e.Window = &windowEntry{Tokens: n}
			}
			e.Window.Layers = append(e.Window.Layers, l)
		}
	}
	return e
}

func countParameters(f *gguf.File, c *model.Config) parametersEntry {
	var p parametersEntry
	for _, t := range f.Tensors() {
		n := t.Elements()
		p.Total += n
		p.Active += n
		switch work, ok := model.WorkOf(t.Name); {
		case t.Name == "token_embd.weight":
			p.Embedding += n
		case t.Name == "output.weight":
			p.Output += n
		case ok && work == tape.WorkProjection:
			p.Attention += n
		case ok:
			p.FeedForward += n
		}
		if m := c.Mixture; m.Experts > 0 && strings.HasSuffix(t.Name, "_exps.weight") {
			p.Active -= n / uint64(m.Experts) * uint64(m.Experts-m.Used)
		}
	}
	return p
}

// describePlan says what convert would attach.
func describePlan(f *gguf.File) (*planEntry, error) {
	network, err := model.LoadNetwork(f)
	if err != nil {
		return nil, err
	}
	m := network.Body()
	var o convertOptions
	defaults(&o)
	e, err := o.attach(m)
	if err != nil {
		return nil, err
	}
	p := &planEntry{Selectors: []string{}, Experts: e.Experts, Parameters: countTrained(e), Context: min(defaultContext, m.Context)}
	for _, s := range e.Selectors {
		p.Selectors = append(p.Selectors, s.String())
	}
	p.LeastBudget = e.Least(p.Context)
	return p, nil
}

// countTrained is how many values are trained.
func countTrained(e *routing.Elastic) int {
	n := 0
	for _, p := range e.Parameters() {
		n += len(p.Data)
	}
	return n
}

func (d inspection) writeModel(w io.Writer) {
	m := d.Model
	if m == nil {
		return
	}
	fmt.Fprintf(w, "MODEL (%s)\n", m.Architecture)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(table, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("blocks", "%d layers, %d wide, context of %d tokens", m.Layers, m.Width, m.Context)
	row("attention", "%d heads of %d values, %d of keys", m.Heads, m.HeadDim, m.KVHeads)
	if v := m.Images; v != nil {
		row("images", "%d×%d pixels of %d channels, patches of %d, %d special tokens", v.Size, v.Size, v.Channels, v.Patch, v.Special)
		if v.Classes > 0 {
			row("classes", "%d, by %s", v.Classes, v.Pooling)
		}
	}
	if m.Rope != nil && m.Rope.Dimensions > 0 {
		row("rotary", "%d values of a head, base %g, scaling %s", m.Rope.Dimensions, m.Rope.Base, m.Rope.Scaling)
	}
	if m.Window != nil {
		row("window", "%d tokens in layers %s", m.Window.Tokens, layerRanges(m.Window.Layers))
	}
	if x := m.Mixture; x != nil {
		row("feed-forward", "%d of %d experts of %d neurons for each token", x.Used, x.Experts, x.Neurons)
		if x.Shared > 0 {
			row("", "and %d neurons for all tokens", x.Shared)
		}
	} else {
		row("feed-forward", "%d neurons", m.FeedForward)
	}
	p := m.Parameters
	row("parameters", "%d, %d of them met by a token", p.Total, p.Active)
	row("", "%d embedding, %d attention, %d feed-forward, %d output", p.Embedding, p.Attention, p.FeedForward, p.Output)
	if m.Images != nil {
		row("work", "%d multiply-accumulates for a picture in the blocks", m.Images.MACs)
	} else {
		row("work", "%d multiply-accumulates for a token in the blocks, %d in the head", m.MACs, m.HeadMACs)
	}
	_ = table.Flush() // w keeps its own errors
}

func (d inspection) writePlan(w io.Writer) {
	p := d.Plan
	if p == nil {
		return
	}
	fmt.Fprintf(w, "PLAN (what convert would attach)\n  selectors     %s\n", strings.Join(p.Selectors, ", "))
	if p.Experts > 0 {
		fmt.Fprintf(w, "  experts       %d of %d neurons\n", p.Experts, d.Model.FeedForward/p.Experts)
	}
	if m := d.Model.Mixture; m != nil {
		fmt.Fprintf(w, "  experts       the model's own %d stay as they are\n", m.Experts)
	}
	fmt.Fprintf(w, "  to train      %d parameters\n  least budget  %.3f in windows of %d tokens\n", p.Parameters, p.LeastBudget, p.Context)
}
