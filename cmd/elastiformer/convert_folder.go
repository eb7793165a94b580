package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/huggingface"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

// folderOptions are the flags of convert that concern a Hugging Face folder.
type folderOptions struct {
	plain bool
	typ   string
}

// typeAsStored is the value of --type that changes nothing.
const typeAsStored = "as-stored"

// writtenTypes are the types that matrices of a folder can be written in.
var writtenTypes = []gguf.Type{
	gguf.TypeF32, gguf.TypeF16, gguf.TypeBF16, gguf.TypeQ8_0, gguf.TypeQ6_K, gguf.TypeQ5_K, gguf.TypeQ5_1, gguf.TypeQ5_0,
	gguf.TypeQ4_K, gguf.TypeQ4_1, gguf.TypeQ4_0, gguf.TypeIQ4_NL, gguf.TypeIQ4_XS, gguf.TypeMXFP4, gguf.TypeQ3_K, gguf.TypeQ2_K,
}

func (o *folderOptions) addFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&o.plain, "plain", false, "of a folder: write the ordinary GGUF file and attach nothing")
	names := []string{typeAsStored}
	for _, t := range writtenTypes {
		names = append(names, strings.ToLower(t.String()))
	}
	enumVar(fs, &o.typ, "type", "", typeAsStored, names, "of a folder: type of its matrices in the file")
}

// options returns what the flags ask of the conversion.
func (o *folderOptions) options() huggingface.Options {
	for _, t := range writtenTypes {
		if strings.EqualFold(t.String(), o.typ) {
			return huggingface.Options{Convert: true, Type: t}
		}
	}
	return huggingface.Options{}
}

// isFolder tells whether the model to convert is a folder, and refuses flags that do not go with what it is.
func (o *convertOptions) isFolder() (bool, error) {
	info, err := os.Stat(o.model)
	folder := err == nil && info.IsDir()
	switch {
	case !folder && (o.folder.plain || o.folder.typ != typeAsStored):
		return false, usageErrorf("--plain and --type go with a folder, and %s is none", o.model)
	case folder && o.adapterOnly:
		return false, usageErrorf("--adapter-only makes a side-car for a GGUF file: write that with --plain, then convert it")
	}
	return folder, nil
}

// convertFolder writes the GGUF file of a folder: with --plain as the result, otherwise as a temporary file beside the
// output, to which selectors are attached as to any other.
func convertFolder(ctx context.Context, opts convertOptions, std streams) (err error) {
	folder, err := huggingface.Open(opts.model)
	if err != nil {
		return err
	}
	defer closeInto(folder, &err)
	how := opts.folder.options()
	how.Pre = string(opts.pre)
	w, err := folder.GGUF(how)
	if errors.Is(err, huggingface.ErrPreTokenizer) {
		return fmt.Errorf("%w; --force-pre takes one of %s instead", err, strings.Join(tokenizer.PreTokenizers(), ", "))
	}
	if err != nil {
		return err
	}
	if parts := folder.LeftOut(); len(parts) > 0 {
		newProgress(opts.progress, opts.json, std.err).Warn(fmt.Sprintf("%s: left out of the file: %s", opts.model, strings.Join(parts, ", ")))
	}
	if opts.folder.plain {
		written, err := opts.writePlain(w)
		if err != nil {
			return err
		}
		return summarisePlain(written, opts.json, std)
	}
	dir, err := os.MkdirTemp(filepath.Dir(opts.output), ".elastiformer-*")
	if err != nil {
		return fmt.Errorf("write beside %s: %w", opts.output, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	base := filepath.Join(dir, filepath.Base(filepath.Clean(opts.model))+".gguf")
	if err := w.WriteFile(base, false); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	opts.model, opts.folder.typ = base, typeAsStored
	return runConvert(ctx, opts, std)
}

// writePlain writes the file, or a set of files, and returns their paths.
func (o *convertOptions) writePlain(w *gguf.Writer) ([]string, error) {
	if o.splitMaxSize > 0 {
		return w.WriteSplit(o.output, uint64(o.splitMaxSize), o.force)
	}
	return []string{o.output}, w.WriteFile(o.output, o.force)
}

// summarisePlain prints what was written.
func summarisePlain(written []string, asJSON bool, std streams) (err error) {
	f, err := openFile(written[0])
	if err != nil {
		return err
	}
	defer closeInto(f, &err)
	architecture, err := f.String("general.architecture")
	if err != nil {
		return err
	}
	tensors := len(f.Tensors())
	if asJSON {
		return writeJSON(std.out, struct {
			Schema       int      `json:"schema"`
			Output       string   `json:"output"` // the first of parts, if it is a set
			Parts        []string `json:"parts,omitempty"`
			Architecture string   `json:"architecture"`
			Tensors      int      `json:"tensors"`
		}{schemaVersion, written[0], partsOf(written), architecture, tensors})
	}
	_, err = fmt.Fprintf(std.out, "%s: %s, %d tensors, nothing attached\n", nameOf(written), architecture, tensors)
	return err
}
