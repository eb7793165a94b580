package main

import (
	"errors"
	"fmt"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/pkg/dataset"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

// checkpoint is a model open for use, with what is attached to it.
type checkpoint struct {
	path    string
	file    *gguf.File
	network model.Network
	model   *model.Model         // the network where it is a language model, else nil
	encoder *model.Encoder       // the network where it is an encoder of images, else nil
	elastic *routing.Elastic     // nil where nothing is attached
	vocab   *tokenizer.Tokenizer // of a language model

	precision precision // of the model
}

// openFile opens a GGUF file; whatever prevents that is the input's fault.
func openFile(path string) (*gguf.File, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, inputErrorf("%w", err)
	}
	return f, nil
}

// openCheckpoint opens a model. Elastic keys are read from the adapter if one is named, else from the model's own file if
// it has any. Text will be cut as pre says, if it does.
func openCheckpoint(path, adapter string, pre forcedPre) (c *checkpoint, err error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
		}
	}()
	c = &checkpoint{path: path, file: f, precision: precisionF32}
	if c.network, err = model.LoadNetwork(f); err != nil {
		return nil, err
	}
	c.model, _ = c.network.(*model.Model)
	c.encoder, _ = c.network.(*model.Encoder)
	if c.model != nil {
		if err := c.readVocabulary(pre); err != nil {
			return nil, err
		}
	}
	if adapter != "" {
		return c, c.readAdapter(adapter)
	}
	c.elastic, err = routing.Read(f, c.config(), c.network.Body().ExpertBlock())
	if errors.Is(err, routing.ErrNotElastic) {
		err = nil
	}
	return c, err
}

// readVocabulary reads what text becomes.
func (c *checkpoint) readVocabulary(pre forcedPre) (err error) {
	if c.vocab, err = pre.load(c.file); err != nil {
		return err
	}
	if c.vocab.Size() > c.model.Vocabulary {
		return inputErrorf("%d tokens in the vocabulary for %d rows of token_embd.weight", c.vocab.Size(), c.model.Vocabulary)
	}
	return nil
}

// config is the hyperparameters of the network's blocks.
func (c *checkpoint) config() model.Config { return c.network.Body().Config }

// requireLanguage fails where the network is none of text.
func (c *checkpoint) requireLanguage(command string) error {
	if c.model == nil {
		return inputErrorf("%s: architecture %q is an encoder of images, %s is for language models", c.path, c.config().Architecture, command)
	}
	return nil
}

// readAdapter takes the elastic keys from a side-car, which must have been made for these very tensors.
func (c *checkpoint) readAdapter(path string) (err error) {
	f, err := openFile(path)
	if err != nil {
		return err
	}
	defer closeInto(f, &err)
	if c.elastic, err = routing.Read(f, c.config(), c.network.Body().ExpertBlock()); err != nil {
		return fmt.Errorf("adapter %s: %w", path, err)
	}
	hash, err := routing.HashBase(c.file)
	if err != nil {
		return err
	}
	if hash != c.elastic.BaseHash {
		return inputErrorf("adapter %s was made for other tensors (SHA-256 %s)", path, c.elastic.BaseHash)
	}
	return nil
}

// Close releases the file; the model must not be used any more.
func (c *checkpoint) Close() error { return c.file.Close() }

// requireElastic fails where nothing is attached.
func (c *checkpoint) requireElastic() error {
	if c.elastic == nil {
		return fmt.Errorf("%s: %w", c.path, routing.ErrNotElastic)
	}
	return nil
}

// blame finds out whether predictions that are not finite come from the weights: then it is the file's fault.
func (c *checkpoint) blame(err error) error {
	if bad := model.CheckFinite(c.file); bad != nil {
		return fmt.Errorf("%s: %w", c.path, bad)
	}
	return err
}

// leastContext is the shortest window in which a position is scored.
const leastContext = 3

// evalWindows cuts a text into windows as llama-perplexity does, at most limit of them (0: all).
func (c *checkpoint) evalWindows(t text, context, limit int) ([][]int32, error) {
	ids := c.vocab.Encode(t.Text(), tokenizer.EncodeOptions{BOS: true})
	bos, _ := c.vocab.BOS()
	windows, err := dataset.EvalWindows(ids, context, bos, c.vocab.AddBOS())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.name, err)
	}
	if limit > 0 {
		windows = windows[:min(limit, len(windows))]
	}
	return windows, nil
}

// corpus cuts a text into training windows. A model meets a text in two ways: each document by itself, as it generates,
// and all as they stand in the file, whatever separates them, as eval reads it. It learns from both.
func (c *checkpoint) corpus(t text, context, batch int, seed uint64) (*dataset.Corpus, error) {
	var documents [][]int32
	for _, d := range t.Documents() {
		documents = append(documents, c.vocab.Encode(d, tokenizer.EncodeOptions{}))
	}
	o := dataset.CorpusOptions{Context: context, Batch: batch, Seed: seed, BOS: dataset.None, EOS: dataset.None}
	if id, ok := c.vocab.BOS(); ok && c.vocab.AddBOS() {
		o.BOS = id
	}
	if id, ok := c.vocab.EOS(); ok && c.vocab.AddEOS() {
		o.EOS = id
	}
	corpus, err := dataset.NewCorpus(documents, o)
	if err == nil && len(documents) > 1 {
		documents = append(documents, c.vocab.Encode(t.Text(), tokenizer.EncodeOptions{}))
		corpus, err = dataset.NewCorpus(documents, o)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.name, err)
	}
	return corpus, nil
}

// useThreads applies --threads.
func useThreads(n int) {
	if n > 0 {
		kernel.SetThreads(n)
	}
}
