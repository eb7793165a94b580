package tokenizer

import (
	"errors"
	"fmt"
	"runtime/metrics"
	"strings"
	"time"

	"github.com/ardanlabs/jinja"
)

// keyChatTemplate holds the Jinja template that writes a conversation as the model has seen them in training.
const keyChatTemplate = "tokenizer.chat_template"

// ErrChat is wrapped by the error for a vocabulary without a chat template or with one that does not render.
var ErrChat = errors.New("chat template")

// Message is one turn of a conversation. Role is system, user or assistant.
type Message struct{ Role, Content string }

// Bounds of what a template, which comes from whoever made the file, may take. The longest templates known have some
// 30 KB and render in milliseconds.
const (
	maxTemplate   = 1 << 20
	maxRendered   = 16 << 20
	maxRenderTime = 5 * time.Second
	maxRenderHeap = 256 << 20 // bytes of heap and stack beyond those at the start
)

// Chat writes a conversation as the template of the file says, up to where the assistant's answer begins. The text
// holds special tokens by name, BOS often among them: [Tokenizer.EncodeChat] reads it.
//
// A template sees messages, bos_token, eos_token and add_generation_prompt, no files and no other templates. One that
// asks for the date (strftime_now) gets today's. One that takes too long or too much memory is abandoned with an error;
// it runs on, so the program should end then.
func (t *Tokenizer) Chat(messages []Message) (string, error) {
	source := t.vocab.ChatTemplate
	switch {
	case source == "":
		return "", fmt.Errorf("tokenizer: %w: key %q is missing", ErrChat, keyChatTemplate)
	case len(source) > maxTemplate:
		return "", fmt.Errorf("tokenizer: %w: key %q: %d bytes are too many", ErrChat, keyChatTemplate, len(source))
	}
	list := make([]any, len(messages))
	for i, m := range messages {
		list[i] = map[string]any{"role": m.Role, "content": m.Content}
	}
	text, err := bounded(func() (string, error) {
		return render(source, map[string]any{
			"messages":              list,
			"add_generation_prompt": true,
			"bos_token":             t.Piece(t.vocab.BOS),
			"eos_token":             t.Piece(t.vocab.EOS),
		})
	})
	if err != nil {
		return "", fmt.Errorf("tokenizer: %w: key %q: %w", ErrChat, keyChatTemplate, err)
	}
	return text, nil
}

// EncodeChat returns the tokens of what Chat writes: special tokens are parsed, and a BOS that the vocabulary wants is
// put in front unless the template has done so.
func (t *Tokenizer) EncodeChat(text string) []int32 {
	bos, ok := t.BOS()
	written := ok && strings.HasPrefix(text, t.Piece(bos))
	return t.Encode(text, EncodeOptions{BOS: !written, ParseSpecial: true})
}

func render(source string, data map[string]any) (text string, err error) {
	defer func() { // the library is careful with its indices; a template must not end the program if it is not
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	template, err := jinja.Compile(source)
	if err != nil {
		return "", err
	}
	return template.Render(data)
}

// bounded runs f until it takes too long or too much memory.
func bounded(f func() (string, error)) (string, error) {
	type result struct {
		text string
		err  error
	}
	done := make(chan result, 1)
	start := memoryInUse()
	go func() {
		text, err := f()
		done <- result{text, err}
	}()
	deadline := time.After(maxRenderTime)
	watch := time.NewTicker(time.Millisecond)
	defer watch.Stop()
	for {
		select {
		case r := <-done:
			if len(r.text) > maxRendered {
				return "", fmt.Errorf("%d bytes are too many for a prompt", len(r.text))
			}
			return r.text, r.err
		case <-deadline:
			return "", fmt.Errorf("takes more than %v", maxRenderTime)
		case <-watch.C:
			if used := memoryInUse(); used > start+maxRenderHeap {
				return "", fmt.Errorf("takes more than %d MB", maxRenderHeap>>20)
			}
		}
	}
}

// memoryInUse returns the bytes of heap and stacks. Unlike runtime.ReadMemStats, it stops nothing.
func memoryInUse() uint64 {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
	}
	metrics.Read(samples)
	return samples[0].Value.Uint64() + samples[1].Value.Uint64()
}
