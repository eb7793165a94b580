package model

import (
	"fmt"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
)

// Parameter is a tensor that is trained, by its name in a checkpoint. Its Data is the
// memory the model computes with, its Grad the one a tape adds to. Rows is the
// slower dimension: 1 for norms and biases.
type Parameter struct {
	Name string
	*tape.Var
}

// Unfreeze makes every weight, norm and bias trainable and returns them in the order
// in which the forward pass meets them. Weights are copied to the heap as float32,
// because a mapped file cannot be written to; a tied embedding stays one tensor,
// which gathers the gradients of both its uses. Factors of the rotary frequencies
// stay as they are.
//
// It is meant for pretraining small models whose projections are tensors of their own,
// without experts: memory is twice the float32 size. Frozen copies of m's layers made before do not follow.
func (m *Model) Unfreeze() []Parameter {
	u := unfreezer{}
	u.weight("token_embd.weight", m.Embedding)
	for i := range m.Layers {
		prefix, l := fmt.Sprintf("blk.%d.", i), &m.Layers[i]
		u.norm(prefix+"attn_norm.weight", l.Norms[Attention].In)
		u.projection(prefix+"attn_q", l.Attention.Q)
		u.projection(prefix+"attn_k", l.Attention.K)
		u.projection(prefix+"attn_v", l.Attention.V)
		u.norm(prefix+"attn_q_norm.weight", l.Attention.QNorm)
		u.norm(prefix+"attn_k_norm.weight", l.Attention.KNorm)
		u.projection(prefix+"attn_output", l.Attention.O)
		u.norm(prefix+"post_attention_norm.weight", l.Norms[Attention].Out)
		u.norm(prefix+"ffn_norm.weight", l.Norms[FeedForward].In)
		u.projection(prefix+"ffn_gate", l.FFN.Gate)
		u.projection(prefix+"ffn_up", l.FFN.Up)
		u.projection(prefix+"ffn_down", l.FFN.Down)
		u.norm(prefix+"post_ffw_norm.weight", l.Norms[FeedForward].Out)
	}
	u.norm("output_norm.weight", m.OutputNorm)
	switch {
	case m.Output.W != m.Embedding:
		u.projection("output", m.Output)
	case m.Output.Bias != nil:
		u.vector("output.bias", m.Output.Bias)
	}
	return u.parameters
}

// Unfreeze makes every weight, norm, bias and token trainable and returns them in the order
// in which the forward pass meets them, as Model.Unfreeze does. It is meant for pretraining
// small classifiers: special tokens other than the class token stay as they are.
func (m *Encoder) Unfreeze() []Parameter {
	u := unfreezer{}
	u.projection("v.patch_embd", m.Patches)
	if m.Special == 1 {
		u.vector(classToken, m.SpecialToken)
	}
	u.vector("v.position_embd.weight", m.Positions)
	u.layerNorm("v.pre_ln", m.InputNorm)
	for i := range m.Layers {
		prefix, l := fmt.Sprintf("v.blk.%d.", i), &m.Layers[i]
		attention, feedForward := &l.Norms[Attention], &l.Norms[FeedForward]
		u.layerNorm(prefix+"ln1", attention.In)
		u.projection(prefix+"attn_q", l.Attention.Q)
		u.projection(prefix+"attn_k", l.Attention.K)
		u.projection(prefix+"attn_v", l.Attention.V)
		u.projection(prefix+"attn_out", l.Attention.O)
		u.scale(prefix+"ls1.weight", attention.Scale)
		u.layerNorm(prefix+"ln1", attention.Sum)
		u.layerNorm(prefix+"ln2", feedForward.In)
		u.projection(prefix+"ffn_up", l.FFN.Up)
		u.projection(prefix+"ffn_down", l.FFN.Down)
		u.scale(prefix+"ls2.weight", feedForward.Scale)
		u.layerNorm(prefix+"ln2", feedForward.Sum)
	}
	u.layerNorm("v.post_ln", m.OutputNorm)
	for i, p := range m.Head {
		name := "v.head"
		if len(m.Head) > 1 {
			name = fmt.Sprintf("v.head.%d", i)
		}
		u.projection(name, p)
	}
	return u.parameters
}

// unfreezer collects parameters.
type unfreezer struct{ parameters []Parameter }

func (u *unfreezer) projection(name string, p tape.Projection) {
	u.weight(name+".weight", p.W)
	if p.Bias != nil {
		u.vector(name+".bias", p.Bias)
	}
}

func (u *unfreezer) norm(name string, n *tape.Norm) {
	if n != nil {
		u.vector(name, n.W)
	}
}

// layerNorm is norm for a norm of NAME.weight and perhaps NAME.bias.
func (u *unfreezer) layerNorm(name string, n *tape.Norm) {
	u.norm(name+".weight", n)
	if n != nil && n.B != nil {
		u.vector(name+".bias", n.B)
	}
}

// scale is vector for factors that may not be there.
func (u *unfreezer) scale(name string, v *tape.Var) {
	if v != nil {
		u.vector(name, v)
	}
}

func (u *unfreezer) weight(name string, w *tape.Weight) {
	v := tape.NewParam(w.Rows, w.Cols)
	for i := range w.Rows {
		w.Row(v.Mat().Row(i), i)
	}
	w.Weight, w.Grad = kernel.DenseWeight(v.Mat()), v.Grad
	u.parameters = append(u.parameters, Parameter{name, v})
}

// vector gives v, whose values were decoded to the heap when the model was loaded, a
// gradient.
func (u *unfreezer) vector(name string, v *tape.Var) {
	v.Grad = make([]float32, len(v.Data))
	u.parameters = append(u.parameters, Parameter{name, v})
}
