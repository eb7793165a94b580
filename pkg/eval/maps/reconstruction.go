package maps

import (
	"fmt"
	"image"
	"math/rand/v2"
	"slices"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/picture"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// Reconstructions are what a masked autoencoder draws of a picture that it sees in part: with
// everything on, and at budgets.
type Reconstructions struct {
	Visible []int32 // the patches that are seen, ascending
	Full    Drawing
	Budgets []Drawing // in the order asked for

	patches    int
	patchSize  int
	normalised bool
}

// Drawing is one reconstruction.
type Drawing struct {
	Budget, Compute float64          // asked for, and executed on the patches seen
	Loss            float64          // mean squared error of the patches not seen, as in pretraining
	Picture         *picture.Picture // patches that are seen as they were
}

// Reconstruct draws by lot what is seen of a picture, and has it drawn by the full model and at
// each budget; e may be nil where there is none. The error is one of routing's or wraps
// eval.ErrNotFinite.
func Reconstruct(m *model.Encoder, e *routing.Elastic, s *Subject, budgets []float64, r *rand.Rand) (*Reconstructions, error) {
	n := m.Tokens(s.images.Height, s.images.Width) - m.Special
	out := &Reconstructions{
		Visible: m.Decoder.DrawVisible(r, n), patches: n, patchSize: m.Vision.PatchSize, normalised: m.Decoder.NormPixels,
	}
	var blocks int64
	run := func(name string, router model.Router) (Drawing, error) {
		t := tape.New(false)
		drawn := m.Reconstruct(t, s.images, [][]int32{out.Visible}, router)
		if router == nil {
			blocks = t.MACs.Blocks()
		}
		d := Drawing{Compute: float64(t.MACs.Blocks()) / float64(blocks), Loss: drawn.Loss[0], Picture: s.how.Denormalise(drawn.Pixels[0])}
		out.seen(d.Picture, s.shown)
		return d, checkFinite(name, tape.NewConst(1, len(drawn.Pixels[0]), drawn.Pixels[0]))
	}
	var err error
	if out.Full, err = run("teacher", nil); err != nil {
		return nil, err
	}
	out.Full.Budget = 1
	for _, budget := range budgets {
		pass, err := newPass(e, budget, m.Special+len(out.Visible))
		if err != nil {
			return nil, err
		}
		d, err := run(fmt.Sprintf("budget %v", budget), pass)
		if err != nil {
			return nil, err
		}
		d.Budget = budget
		out.Budgets = append(out.Budgets, d)
	}
	return out, nil
}

// eachPatch goes through the patches of a picture, with the rectangles that they take.
func (r *Reconstructions) eachPatch(p *picture.Picture, f func(patch image.Rectangle, seen bool)) {
	columns := p.Width / r.patchSize
	for i := range r.patches {
		at := image.Pt(i%columns, i/columns).Mul(r.patchSize)
		_, seen := slices.BinarySearch(r.Visible, int32(i))
		f(image.Rectangle{at, at.Add(image.Pt(r.patchSize, r.patchSize))}, seen)
	}
}

// seen puts the patches that are seen in place of those that were drawn for them: pretraining
// asks nothing of these.
func (r *Reconstructions) seen(drawn, shown *picture.Picture) {
	r.eachPatch(drawn, func(patch image.Rectangle, seen bool) {
		for y := patch.Min.Y; seen && y < patch.Max.Y; y++ {
			lo, hi := 3*(y*drawn.Width+patch.Min.X), 3*(y*drawn.Width+patch.Max.X)
			copy(drawn.Pix[lo:hi], shown.Pix[lo:hi])
		}
	})
}

// Measures of the figure, in pixels.
const (
	drawnSide   = 224 // about that of a drawing
	drawnAcross = 5   // drawings side by side
)

// Draw draws the picture, what the model saw of it, and what it made of that.
func (r *Reconstructions) Draw(s *Subject) image.Image {
	return render(func(c *canvas) {
		enlarged := factor(drawnSide, s.shown.Width)
		side := enlarged * s.shown.Width
		panels := len(r.Budgets) + 3
		columns := min(panels, drawnAcross)
		breadth := columns*(side+gap) - gap
		c.text(margin, margin, heading, ink, c.fit(heading, breadth, s.Name))
		top := margin + c.lines[heading] + gap
		height := c.lines[body] + c.lines[small] + smallGap/2 + side + gap
		for i := range panels {
			x, y := margin+i%columns*(side+gap), top+i/columns*height
			title, numbers, shown := r.panel(i, s)
			c.text(x, y, body, ink, title)
			c.text(x, y+c.lines[body], small, faint, numbers)
			y += height - side - gap
			c.picture(x, y, enlarged, shown)
			if i == 1 {
				r.hide(c, x, y, enlarged, shown)
			}
		}
		bottom := top + (panels+columns-1)/columns*height
		c.paragraph(margin, bottom, breadth, small, faint, r.legend())
	})
}

// panel is what stands in a place of the figure, with its captions.
func (r *Reconstructions) panel(i int, s *Subject) (title, numbers string, shown *picture.Picture) {
	d := r.Full
	switch {
	case i == 0:
		return "picture", "as the model could see it", s.shown
	case i == 1:
		return "what it sees", fmt.Sprintf("%d of %d patches", len(r.Visible), r.patches), s.shown
	case i == 2:
		title = "full model"
	default:
		d = r.Budgets[i-3]
		title = fmt.Sprintf("budget %.4g", d.Budget)
	}
	return title, fmt.Sprintf("compute %.3f  ·  loss %.4f", d.Compute, d.Loss), d.Picture
}

// hide covers the patches that are not seen.
func (r *Reconstructions) hide(c *canvas, x, y, enlarged int, shown *picture.Picture) {
	r.eachPatch(shown, func(patch image.Rectangle, seen bool) {
		if !seen {
			c.fill(image.Rectangle{patch.Min.Mul(enlarged), patch.Max.Mul(enlarged)}.Add(image.Pt(x, y)), absent)
		}
	})
}

// legend says what is shown.
func (r *Reconstructions) legend() string {
	line := "Compute: of the encoder's blocks. Loss: mean squared error of the patches not seen. Those seen are shown as they were."
	if r.normalised {
		line += " The decoder draws patches without their brightness and contrast: each is shown with those of the patch it stands for."
	}
	return line
}
