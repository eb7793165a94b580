package model

import (
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// Network is a Model or an Encoder: what both have for those who need not tell them apart.
type Network interface {
	// Body is the blocks.
	Body() *Blocks
	// Pack and Bfloat16 prepare the weights.
	Pack(integers bool)
	Bfloat16()
	// Try runs a pass over the least there is, head included: shapes that do not fit panic.
	Try(r Router)
}

// LoadNetwork binds whatever kind of network f holds, by its architecture.
func LoadNetwork(f *gguf.File) (Network, error) {
	if arch, err := f.String("general.architecture"); err == nil && IsEncoder(arch) {
		return LoadEncoder(f)
	}
	return Load(f)
}

// Body implements Network.
func (b *Blocks) Body() *Blocks { return b }

// Try implements Network.
func (m *Model) Try(r Router) {
	t := tape.New(false)
	m.Logits(t, m.Hidden(t, []int32{0}, tape.NewLayout(1), r, nil))
}

// Try implements Network.
func (m *Encoder) Try(r Router) {
	t := tape.New(false)
	p := m.Vision.PatchSize
	in := Images{Height: p, Width: p, Pixels: [][]float32{make([]float32, m.Vision.Channels*p*p)}}
	l := m.Layout(in)
	h := m.Hidden(t, in, l, r)
	if m.CanClassify() {
		m.Classify(t, h, l)
	}
	m.Project(t, h, l)
	if m.Decoder != nil {
		m.Reconstruct(t, in, [][]int32{{0}}, r)
	}
}
