package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/elastiformer/elastiformer/pkg/dataset"
	"github.com/elastiformer/elastiformer/pkg/distill"
	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/huggingface"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/picture"
	"github.com/elastiformer/elastiformer/pkg/routing"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

// kind says who has to act on an error. Scripts see it as the exit status and, with --json, by name.
type kind int

const (
	kindNone        kind = iota // no error
	kindFailed                  // anything that is not one of the others
	kindUsage                   // a flag, key or value is wrong, or the target exists
	kindGate                    // the work is done, but a limit given on the command line was not met
	kindInput                   // an input is missing, damaged or does not fit
	kindInterrupted             // the user asked to stop
)

// kinds describes each kind once: its name in JSON, its exit status and its line in the help.
var kinds = map[kind]struct {
	name string
	code int
	help string
}{
	kindNone:        {"none", 0, "done"},
	kindFailed:      {"failed", 1, "failed for a reason not listed below"},
	kindUsage:       {"usage", 2, "wrong usage or configuration: a flag, key or value, or a target that exists"},
	kindGate:        {"gate", 3, "done, but a limit given on the command line was not met"},
	kindInput:       {"input", 4, "an input is missing, empty, damaged or does not fit"},
	kindInterrupted: {"interrupted", 130, "interrupted; a second signal quits at once"},
}

func (k kind) String() string { return kinds[k].name }

func (k kind) exitCode() int { return kinds[k].code }

// errInterrupted is the cause of a context that a signal cancelled.
var errInterrupted = errors.New("interrupted")

// kindError gives an error its kind where no sentinel of another package tells it.
type kindError struct {
	kind kind
	err  error
}

func (e *kindError) Error() string { return e.err.Error() }

func (e *kindError) Unwrap() error { return e.err }

func usageErrorf(format string, args ...any) error {
	return &kindError{kindUsage, fmt.Errorf(format, args...)}
}

func inputErrorf(format string, args ...any) error {
	return &kindError{kindInput, fmt.Errorf(format, args...)}
}

// sentinels lists the errors of other packages that are somebody's to mend. The first that matches decides.
var sentinels = []struct {
	err  error
	kind kind
}{
	{errInterrupted, kindInterrupted},
	{context.Canceled, kindInterrupted}, // only a signal cancels the context of a command
	{gguf.ErrExists, kindUsage},
	{gguf.ErrFormat, kindInput},
	{gguf.ErrUnsupportedType, kindInput},
	{gguf.ErrKeyMissing, kindInput},
	{gguf.ErrKeyType, kindInput},
	{gguf.ErrKeyRange, kindInput},
	{huggingface.ErrInvalid, kindInput},
	{huggingface.ErrUnsupported, kindInput},
	{tokenizer.ErrUnsupported, kindInput},
	{tokenizer.ErrVocabulary, kindInput},
	{tokenizer.ErrNoPreTokenizer, kindUsage},
	{tokenizer.ErrChat, kindInput},
	{dataset.ErrEmpty, kindInput},
	{dataset.ErrParquet, kindInput},
	{dataset.ErrTooLarge, kindInput},
	{dataset.ErrTooShort, kindInput},
	{dataset.ErrUnsupported, kindInput},
	{dataset.ErrClass, kindUsage},
	{dataset.ErrLabels, kindInput},
	{picture.ErrFormat, kindInput},
	{picture.ErrTooLarge, kindInput},
	{picture.ErrPreprocessing, kindInput},
	{model.ErrUnsupported, kindInput},
	{model.ErrInvalid, kindInput},
	{model.ErrNotFinite, kindInput},
	{routing.ErrBudget, kindUsage},
	{routing.ErrUncalibrated, kindUsage},
	{routing.ErrNotElastic, kindInput},
	{routing.ErrStored, kindInput},
	{routing.ErrOptions, kindUsage}, // stored ones are the file's fault, hence behind ErrStored
	{eval.ErrWindows, kindInput},
	{distill.ErrOptions, kindUsage},
	{distill.ErrMismatch, kindUsage},
	{fs.ErrNotExist, kindInput},
}

// kindOf finds the kind of an error: its own if it carries one, else that of the sentinel it wraps.
func kindOf(err error) kind {
	if err == nil {
		return kindNone
	}
	var own *kindError
	if errors.As(err, &own) {
		return own.kind
	}
	var row *dataset.RowError
	var file *dataset.ImageError
	if errors.As(err, &row) || errors.As(err, &file) {
		return kindInput
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return s.kind
		}
	}
	return kindFailed
}

// printError writes the final error of a command, as one line or as one JSON document. Nothing is left to do when
// standard error itself cannot be written.
func printError(w io.Writer, err error, asJSON bool) {
	if !asJSON {
		_, _ = fmt.Fprintf(w, "elastiformer: %v\n", err)
		return
	}
	type body struct {
		Kind    string `json:"kind"`
		Message string `json:"message"`
	}
	_ = writeJSON(w, struct {
		Schema int  `json:"schema"`
		Error  body `json:"error"`
	}{schemaVersion, body{kindOf(err).String(), err.Error()}})
}

// wantsJSON reports whether --json is among the arguments. An error in the flags themselves is found before they are all
// parsed and must come out in the form that was asked for, so this looks at the raw arguments.
func wantsJSON(args []string) bool {
	wanted := false
	for _, arg := range args {
		switch value, given := strings.CutPrefix(arg, "--json="); {
		case arg == "--":
			return wanted
		case arg == "--json":
			wanted = true
		case given:
			wanted, _ = strconv.ParseBool(value) // not a bool: a usage error, printed as text
		}
	}
	return wanted
}

// exitStatusKey marks a command's exit statuses among its annotations, where the help template finds them.
const exitStatusKey = "exit status"

// exitStatus lists in a command's help when it ends with which status. Every command can succeed, fail and be
// misused; the kinds given come on top.
func exitStatus(extra ...kind) map[string]string {
	listed := map[kind]bool{kindNone: true, kindFailed: true, kindUsage: true}
	for _, k := range extra {
		listed[k] = true
	}
	var b strings.Builder
	for k := kindNone; k <= kindInterrupted; k++ {
		if listed[k] {
			fmt.Fprintf(&b, "  %-3d  %s\n", k.exitCode(), kinds[k].help)
		}
	}
	return map[string]string{exitStatusKey: strings.TrimRight(b.String(), "\n")}
}
