package main

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

// forcedPre is the pre-tokenizer that --force-pre names, for every command that reads a vocabulary; empty is the file's.
type forcedPre string

func (p *forcedPre) addFlag(fs *pflag.FlagSet) {
	fs.Var(p, "force-pre", "cut text as this pre-tokenizer does, by its `name`, whatever the model names")
}

func (p *forcedPre) String() string { return string(*p) }

func (p *forcedPre) Type() string { return "string" }

// Set refuses a name that is not known, with those that are.
func (p *forcedPre) Set(name string) error {
	if name != "" {
		if err := tokenizer.CheckPre(name); err != nil {
			return err
		}
	}
	*p = forcedPre(name)
	return nil
}

// load reads the vocabulary of a model.
func (p forcedPre) load(f *gguf.File) (*tokenizer.Tokenizer, error) {
	t, err := tokenizer.New(f, tokenizer.ForcePre(string(p)))
	var unknown *tokenizer.PreTokenizerError
	if errors.As(err, &unknown) {
		return nil, fmt.Errorf("%w; --force-pre NAME takes one of these instead", err)
	}
	return t, err
}
