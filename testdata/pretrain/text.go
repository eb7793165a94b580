package main

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/dataset"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
	"github.com/elastiformer/elastiformer/testdata/grammar"
)

// makeText makes the texts and the language model in the folder out.
func makeText(log io.Writer, out string, n llama, r recipe) error {
	train := grammar.New(trainSeed).Text(trainBytes)
	valid := grammar.New(validSeed).Text(validBytes)
	vocabulary := trainVocabulary(train)
	tok, err := tokenizer.Build(vocabulary)
	if err != nil {
		return err
	}
	weights := n.initial(len(vocabulary.Tokens), rand.New(rand.NewPCG(weightSeed, 0)))
	m, trained, err := n.load(vocabulary, weights)
	if err != nil {
		return err
	}
	if err := r.train(log, trained, func(t *tape.Tape, step int) (float64, int) {
		return scoreWindows(t, m, r.windows(step, m.Context, tok)).loss, r.batch * m.Context
	}); err != nil {
		return err
	}
	const context = 128
	held, err := evaluate(m, tok, valid, context)
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "held out, windows of %d: loss %.4f, perplexity %.4f, accuracy %.4f\n",
		context, held.loss, math.Exp(held.loss), held.accuracy)
	for name, text := range map[string]string{"tiny-train.txt": train, "tiny-valid.txt": valid} {
		if err := os.WriteFile(filepath.Join(out, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return n.checkpoint(vocabulary, trained).write(filepath.Join(out, "tiny-llama.gguf"))
}

// windows writes the batch of a step, (batch, context), each window beginning with
// BOS. Of four windows two begin where a document begins, as generated text does, and
// two anywhere. One of these separates documents as evaluation reads them in a text
// file, by the separator as plain text, the other three as training does, by BOS.
func (r recipe) windows(step, context int, tok *tokenizer.Tokenizer) [][]int32 {
	bos, _ := tok.BOS()
	list := make([][]int32, r.batch)
	for i := range list {
		random := rand.New(rand.NewPCG(r.seed, uint64(step*r.batch+i)))
		w := grammar.New(random.Uint64())
		plain, skip := i%4 == 3, 0
		if i%4 >= 2 {
			skip = 1 + random.IntN(context)
		}
		ids := []int32{bos}
		for len(ids) < skip+context {
			if plain {
				ids = append(ids, tok.Encode(w.Text(16*context), tokenizer.EncodeOptions{})...)
				continue
			}
			ids = append(ids, tok.Encode(w.Document(), tokenizer.EncodeOptions{})...)
			ids = append(ids, bos)
		}
		list[i] = ids[skip : skip+context]
		list[i][0] = bos
	}
	return list
}

// scoreWindows scores windows (S, T) of equal length; on a tape that records it leaves the
// gradient of the loss in the logits.
func scoreWindows(t *tape.Tape, m *model.Model, windows [][]int32) score {
	ids, l := tape.Join(windows)
	logits := m.Logits(t, m.Hidden(t, ids, l, nil, nil))
	var s score
	for i := range l.Sequences() {
		for r := l.Start[i]; r < l.Start[i+1]-1; r++ {
			s.predict(logits, r, int(ids[r+1]), len(ids)-len(windows))
		}
	}
	return s
}

// evaluate scores a text in windows of the given length, cut as pkg/eval cuts them.
func evaluate(m *model.Model, tok *tokenizer.Tokenizer, text string, context int) (score, error) {
	bos, _ := tok.BOS()
	windows, err := dataset.EvalWindows(tok.Encode(text, tokenizer.EncodeOptions{BOS: true}), context, bos, true)
	if err != nil {
		return score{}, err
	}
	t := tape.New(false)
	var mean score
	for i := range windows {
		t.Reset()
		mean.add(scoreWindows(t, m, windows[i:i+1]), len(windows))
	}
	return mean, nil
}
