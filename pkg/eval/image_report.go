package eval

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// ImageReport is the outcome of an evaluation on pictures, as `eval --json` prints it.
type ImageReport struct {
	Schema    int    `json:"schema"`
	Model     string `json:"model"`
	Task      string `json:"task"`
	ImageSize int    `json:"image_size"` // side of the pictures
	Tokens    int    `json:"tokens"`     // of a picture
	Images    int    `json:"images"`
	Threads   int    `json:"threads"`
	// Precision is the arithmetic the model was prepared for, as the caller names it.
	Precision string        `json:"precision"`
	Seed      uint64        `json:"seed"`
	Teacher   ImageTeacher  `json:"teacher"`
	Results   []ImageResult `json:"results"`
	// Baselines, one after the other, each at every budget below 1.
	Baselines []BaselineResult `json:"baselines,omitempty"`
	// Calibration is of static baselines, nil where there are none.
	Calibration *Calibration `json:"calibration,omitempty"`
}

// ImageTeacher is the pretrained encoder's measurement. Accuracies are there where there is
// a class head and classes are known.
type ImageTeacher struct {
	Top1            *float64 `json:"top1,omitempty"`
	Top5            *float64 `json:"top5,omitempty"`
	Seconds         float64  `json:"seconds"`
	ImagesPerSecond float64  `json:"images_per_second"`
}

// ImageResult is one budget's measurement. KL and agreement are there where there is a class
// head.
type ImageResult struct {
	Budget          float64  `json:"budget"`
	Compute         float64  `json:"compute"`           // of the blocks, executed over pretrained
	ComputeWithHead float64  `json:"compute_with_head"` // patch embedding and head on both sides
	Seconds         float64  `json:"seconds"`
	SecondsRatio    float64  `json:"seconds_ratio"` // over the teacher's
	ImagesPerSecond float64  `json:"images_per_second"`
	Cosine          Cosine   `json:"cosine"`
	Top1            *float64 `json:"top1,omitempty"`
	Top5            *float64 `json:"top5,omitempty"`
	KL              *KL      `json:"kl,omitempty"` // of the classes
	Agreement       *float64 `json:"agreement,omitempty"`
	Capacities      Shares   `json:"capacities"`
	Used            Shares   `json:"used"`
}

// Cosine is the mean cosine between the teacher's and the student's encoder output.
type Cosine struct {
	Tokens float64  `json:"tokens"`          // over all tokens
	Class  *float64 `json:"class,omitempty"` // over class tokens
}

// Text writes the report as a table for people.
func (r *ImageReport) Text(w io.Writer) error {
	accuracy := ""
	if r.Teacher.Top1 != nil {
		accuracy = fmt.Sprintf("top-1 %.4f, top-5 %.4f, ", *r.Teacher.Top1, *r.Teacher.Top5)
	}
	if _, err := fmt.Fprintf(w, "%s: %d pictures of %d×%d, %d tokens each\nteacher: %s%.1f images/s\n",
		r.Model, r.Images, r.ImageSize, r.ImageSize, r.Tokens, accuracy, r.Teacher.ImagesPerSecond); err != nil {
		return err
	}
	if len(r.Results) == 0 {
		return nil
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "budget\tcompute\ttime\tcosine\tKL\tagreement\ttop-1\timages/s\theads\texperts\tattn tokens\tMLP tokens\t")
	for _, b := range r.Results {
		kl, agreement, top1 := "–", "–", "–"
		if b.KL != nil {
			kl, agreement = fmt.Sprintf("%.4f", b.KL.Mean), fmt.Sprintf("%.3f", *b.Agreement)
		}
		if b.Top1 != nil {
			top1 = fmt.Sprintf("%.4f", *b.Top1)
		}
		fmt.Fprintf(tw, "%.4g\t%.3f\t%.2f\t%.4f\t%s\t%s\t%s\t%.1f\t%.2f\t%.2f\t%.2f\t%.2f\t\n",
			b.Budget, b.Compute, b.SecondsRatio, b.Cosine.Tokens, kl, agreement, top1, b.ImagesPerSecond,
			b.Used.Heads, b.Used.Experts, b.Used.AttnTokens, b.Used.MLPTokens)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	return baselineText(w, r.Baselines, r.Calibration)
}
