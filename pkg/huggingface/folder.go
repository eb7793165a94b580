package huggingface

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// Folder is an open model folder.
type Folder struct {
	root    *root
	config  *config
	family  *family
	weights *weights
	tensors map[string]*tensor // by the names of a model that stands alone
	tokens  *vocabulary        // nil of an encoder of pictures
	images  *config            // what is done to pictures; nil of a text model, or where no file says it
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
	if f.family.vision != nil {
		f.images, err = readImages(r)
	} else {
		f.tokens, err = readVocabulary(r)
	}
	if err != nil {
		return nil, err
	}
	if f.weights, err = openWeights(r); err != nil {
		return nil, err
	}
	f.tensors = map[string]*tensor{}
	for name, t := range f.weights.tensors {
		alone := f.family.alone(name)
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

// readConfig reads config.json. The values of the object that describes the part come before those around it, except for
// the labels, which are a matter of the head.
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
	for _, part := range family.parts() {
		inner := outside.object(part)
		if inner == nil {
			continue
		}
		delete(inner.values, "id2label")
		maps.Copy(values, inner.values)
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
	if f.family.vision != nil {
		v.measureEncoder(c)
	} else {
		v.measure(c)
	}
	if err := *c.err; err != nil {
		return nil, fmt.Errorf("huggingface: %s: %w", f.root.dir, err)
	}
	v.general()
	v.keys(c)
	if f.family.vision != nil {
		v.encoderKeys(c)
	} else {
		v.attentionKeys(c)
		f.family.layers.write(v, c)
		f.family.rope(v, c)
	}
	v.tensors(c)
	if v.err == nil && f.tokens != nil { // there are as many rows as config.json says
		v.vocabulary()
	}
	if err := errors.Join(*c.err, v.err); err != nil {
		return nil, fmt.Errorf("huggingface: %s: %w", f.root.dir, err)
	}
	return v.writer, nil
}

// LeftOut returns the parts of the model, by the names of their modules and sorted, that the file will be without, because
// its architecture has no place for them: a text tower, or a pooler.
func (f *Folder) LeftOut() []string {
	found := map[string]bool{}
	for name, t := range f.tensors {
		for _, prefix := range f.family.ignored {
			if rest, ok := strings.CutPrefix(name, prefix); ok {
				found[strings.TrimSuffix(strings.TrimSuffix(t.name, rest), ".")] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}
