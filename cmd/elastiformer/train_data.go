package main

import (
	"context"

	"github.com/elastiformer/elastiformer/pkg/distill"
	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// lesson is what a run trains on.
type lesson struct {
	task     distill.Task
	inputs   int    // how many windows or pictures there are
	what     string // what they are
	dataHash string
	measure  func(ctx context.Context) (outcome, error) // of the trained checkpoint, for the stored table
	close    func() error                               // or nil
}

// Close lets go of the data.
func (l *lesson) Close() error {
	if l.close == nil {
		return nil
	}
	return l.close()
}

// readText reads the text that a language model trains on.
func (t *training) readText(ctx context.Context) (l lesson, err error) {
	o, c := &t.opts, t.base
	data, err := o.open(ctx, o.data, o.globalOptions, t.std)
	if err != nil {
		return l, err
	}
	corpus, err := c.corpus(data, o.Context, o.Batch, o.Seed)
	if err != nil {
		return l, err
	}
	l = lesson{inputs: corpus.Windows(), what: "windows", dataHash: data.SHA256()}
	if o.heldOut != "" {
		if data, err = o.open(ctx, []string{o.heldOut}, o.globalOptions, t.std); err != nil {
			return l, err
		}
	}
	table, err := c.evalWindows(data, o.Context, heldOutWindows)
	if err != nil {
		return l, err
	}
	var heldOut [][]int32
	if o.heldOut != "" {
		heldOut = table
	}
	l.task = distill.NewLanguage(c.model, corpus, heldOut, o.Context)
	l.measure = func(ctx context.Context) (outcome, error) {
		report, err := evaluate(ctx, c, table, eval.Options{Budgets: reachableDefaults(c, o.Context, routing.Threshold), Selection: routing.Threshold}, o.globalOptions, t.std)
		if err != nil {
			return nil, err
		}
		report.Model = o.output
		return report, nil
	}
	return l, nil
}

// imageBatch is how many pictures a step has unless --batch says.
const imageBatch = 32

// readPictures reads the pictures that an encoder trains on, and gives options that were not given the values for it.
func (t *training) readPictures(ctx context.Context) (l lesson, err error) {
	o, c := &t.opts, t.base
	if !o.given("batch") {
		o.Batch = imageBatch
	}
	if !o.given("loss") {
		o.Options.Loss = distill.ImageLoss(c.encoder)
	}
	data, err := o.openPictures(ctx, c, o.data, o.globalOptions, t.std)
	if err != nil {
		return l, err
	}
	o.Context = data.tokens(c.encoder)
	held := data
	if o.heldOut != "" {
		if held, err = o.openPictures(ctx, c, []string{o.heldOut}, o.globalOptions, t.std); err != nil {
			return l, err
		}
	}
	table := held.first(ctx, heldOutPictures)
	var heldOut distill.HeldOutImages
	if o.heldOut != "" {
		heldOut = table
	}
	stream := newShuffled(ctx, data, o.Seed, o.Batch)
	l = lesson{inputs: data.Len(), what: "pictures", dataHash: data.Hash(), close: func() error {
		stream.stop()
		return table.Close()
	}}
	l.task = distill.NewImages(c.encoder, stream, heldOut)
	l.measure = func(ctx context.Context) (outcome, error) {
		report, err := evaluateImages(ctx, c, table, eval.Options{Budgets: reachableDefaults(c, o.Context, routing.TopK), Selection: routing.TopK}, o.globalOptions, t.std)
		if err != nil {
			return nil, err
		}
		report.Model = o.output
		return report, nil
	}
	return l, nil
}
