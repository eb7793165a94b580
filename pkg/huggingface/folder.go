package huggingface

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// Folder is an open model folder.
type Folder struct {
	root    *root
	config  *config
	family  *family
	weights *weights
	tensors map[string]*tensor // by the names of a text model that stands alone
	tokens  *vocabulary
}

// Options say how a folder is turned into a GGUF file. The zero value keeps the types of all matrices.
type Options struct {
	// Convert says that matrices are to be stored as Type, otherwise each keeps the type it has. Vectors and the
	// matrices that choose experts are always F32. Where a row is not whole blocks of Type, F16 takes its place.
	Convert bool
	Type    gguf.Type

	// Pre is the name of the pre-tokeniser (tokenizer.ggml.pre) of a byte-level vocabulary; empty: found out by
	// comparing patterns.
	Pre string
}

// Open reads the configuration, the vocabulary and the tables of the weights of a folder, but no weights. The error wraps
// ErrInvalid or ErrUnsupported, or fs.ErrNotExist if there is no such folder.
func Open(dir string) (_ *Folder, err error) {
	r, err := openRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("huggingface: %w", err)
	}
	f := &Folder{root: r}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("huggingface: %s: %w", dir, err), f.Close())
		}
	}()
	if err := f.readConfig(); err != nil {
		return nil, err
	}
	if f.tokens, err = readVocabulary(r); err != nil {
		return nil, err
	}
	if f.weights, err = openWeights(r); err != nil {
		return nil, err
	}
	f.tensors = map[string]*tensor{}
	for name, t := range f.weights.tensors {
		alone := textName(name)
		if f.tensors[alone] != nil {
			return nil, fmt.Errorf("%w: tensor %q is there under two names", ErrInvalid, alone)
		}
		f.tensors[alone] = t
	}
	return f, nil
}

// textName returns the name a tensor would have if the text model stood alone: beside a vision tower it is found under
// language_model.model, or model.language_model in newer folders.
func textName(name string) string {
	if rest, ok := strings.CutPrefix(name, "language_model."); ok {
		return rest
	}
	if rest, ok := strings.CutPrefix(name, "model.language_model."); ok {
		return "model." + rest
	}
	if rest, ok := strings.CutPrefix(name, "model."); ok && (strings.HasPrefix(rest, "vision_tower.") || strings.HasPrefix(rest, "multi_modal_projector.")) {
		return rest
	}
	return name
}

// readConfig reads config.json. The values of "text_config" come before those around it.
func (f *Folder) readConfig() error {
	var values map[string]json.RawMessage
	if err := f.root.readJSON("config.json", &values); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	outside := newConfig(values, nil)
	family, err := familyOf(outside)
	if err != nil {
		return err
	}
	inner := outside.object("text_config")
	if inner != nil {
		for key, value := range inner.values {
			values[key] = value
		}
	}
	f.family, f.config = family, newConfig(values, family.defaults)
	return *outside.err
}

// Close closes the files of the folder. A GGUF file that has not been written yet cannot be any more.
func (f *Folder) Close() error {
	err := f.root.Close()
	if f.weights != nil {
		err = errors.Join(err, f.weights.Close())
	}
	if err != nil {
		return fmt.Errorf("huggingface: %s: %w", f.root.dir, err)
	}
	return nil
}

// GGUF returns the file the folder becomes. Weights are read when it is written, so the folder must stay open until then.
// The error wraps ErrInvalid or ErrUnsupported.
func (f *Folder) GGUF(opts Options) (*gguf.Writer, error) {
	if opts.Convert {
		if codec, err := opts.Type.Codec(); err != nil || !codec.CanEncode() {
			return nil, fmt.Errorf("huggingface: writing %v is %w", opts.Type, ErrUnsupported)
		}
	}
	c := newConfig(f.config.values, f.family.defaults)
	v := &conversion{folder: f, family: f.family, writer: gguf.NewWriter(), opts: opts, used: map[string]bool{}}
	f.family.check(c)
	v.measure(c)
	if err := *c.err; err != nil {
		return nil, fmt.Errorf("huggingface: %s: %w", f.root.dir, err)
	}
	v.general()
	v.keys(c)
	f.family.layers.write(v, c)
	f.family.rope(v, c)
	v.tensors(c)
	if v.err == nil { // there are as many rows as config.json says
		v.vocabulary()
	}
	if err := errors.Join(*c.err, v.err); err != nil {
		return nil, fmt.Errorf("huggingface: %s: %w", f.root.dir, err)
	}
	return v.writer, nil
}
