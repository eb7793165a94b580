package main

import (
	"github.com/spf13/pflag"

	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

// chatOptions are the flags of generate that have the prompt answered rather than continued.
type chatOptions struct {
	chat   bool
	system string
}

func (o *chatOptions) addFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&o.chat, "chat", false, "answer the prompt as a user's message, written as the model's chat template says")
	fs.StringVar(&o.system, "system", "", "system message before it, a `text`; needs --chat")
	commandLineOnly(fs, "system")
}

// encode returns the tokens of a prompt.
func (o chatOptions) encode(vocab *tokenizer.Tokenizer, prompt string) ([]int32, error) {
	if !o.chat {
		if o.system != "" {
			return nil, usageErrorf("--system needs --chat")
		}
		return vocab.Encode(prompt, tokenizer.EncodeOptions{BOS: true, ParseSpecial: true}), nil
	}
	messages := []tokenizer.Message{{Role: "user", Content: prompt}}
	if o.system != "" {
		messages = append([]tokenizer.Message{{Role: "system", Content: o.system}}, messages...)
	}
	text, err := vocab.Chat(messages)
	if err != nil {
		return nil, err
	}
	return vocab.EncodeChat(text), nil
}
