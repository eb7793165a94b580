package eval

import (
	"context"
	"fmt"

	"github.com/elastiformer/elastiformer/pkg/model"
)

// ImageDomain is pictures of one kind.
type ImageDomain struct {
	Name     string
	Pictures ImageSet
}

// CompareImages is CompareLanguage for an encoder and pictures; its errors are those of
// Images.
func CompareImages(ctx context.Context, m *model.Encoder, routers []Routers, domains []ImageDomain, o Options) (*Comparison, error) {
	c := newComparison("image", routers, o)
	for _, d := range domains {
		if d.Pictures.Len() == 0 {
			return nil, fmt.Errorf("%s: eval: no pictures: %w", d.Name, ErrWindows)
		}
		c.total += d.Pictures.Len()
	}
	for _, d := range domains {
		if err := c.pictures(ctx, m, d); err != nil {
			return nil, err
		}
	}
	return c.finish(), nil
}

// pictures measures one domain.
func (c *comparison) pictures(ctx context.Context, m *model.Encoder, d ImageDomain) error {
	set := &lastImages{ImageSet: d.Pictures}
	first, err := set.Range(0, 1)
	if err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	r := imageRun{model: m, set: set, tokens: m.Tokens(first.Height, first.Width), teacher: c.teacher, student: c.student}
	if err := c.begin(r.tokens); err != nil {
		return err
	}
	for _, s := range c.students {
		r.students = append(r.students, &imageStudent{student: s})
	}
	observe := func(lo, hi int, router model.Router) error {
		in, err := set.Range(lo, hi)
		if err != nil {
			return fmt.Errorf("eval: %w", err)
		}
		m.Hidden(c.teacher, in, m.Layout(in), router)
		return nil
	}
	if err := c.each(ctx, set.Len(), max(1, batchTokens/r.tokens), r.batch, observe); err != nil {
		return err
	}
	predictions := 0
	if m.CanClassify() {
		predictions = set.Len()
	}
	c.lost(r.pretrained.blocks, predictions, func(i int) *Cosine { return r.cosine(r.students[i]) })
	c.report.Domains = append(c.report.Domains, Domain{Name: d.Name, ImageSize: first.Height, Images: set.Len()})
	return nil
}

// lastImages keeps the pictures it gave last: every batch is asked for twice, and decoded
// once.
type lastImages struct {
	ImageSet
	lo, hi int
	images model.Images
}

// Range implements ImageSet.
func (s *lastImages) Range(lo, hi int) (model.Images, error) {
	if s.lo != lo || s.hi != hi {
		in, err := s.ImageSet.Range(lo, hi)
		if err != nil {
			return model.Images{}, err
		}
		s.lo, s.hi, s.images = lo, hi, in
	}
	return s.images, nil
}
