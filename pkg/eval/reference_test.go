package eval_test

import (
	"maps"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/reference"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/dataset"
	"github.com/elastiformer/elastiformer/pkg/eval"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

// textReference is the part of models/*.reference.json about whole texts: negative log
// likelihoods of the first stories of a file, each as BOS and tokens cut to 512 ids, of
// the model and of other files of it. They come from an independent float64
// implementation.
type textReference struct {
	Model  string
	Corpus struct {
		File   string
		Tokens int
		NLL    float64 `json:"mean_nll"`
	} `json:"corpus_nll"`
	Variants struct {
		File   string
		Tokens int
		Files  map[string]struct {
			NLL  float64 `json:"mean_nll"`
			KL   float64 `json:"mean_kl_vs_F32"`
			Top1 float64 `json:"same_top1_as_F32"`
		}
	}
}

// storyTokens is where a story is cut.
const storyTokens = 512

// llamaPerplexityText is the SHA-256 of the text below.
const llamaPerplexityText = "e78faf6f11c1af3d7c6a876ea0af08e05589647ef140da9b4785fa36c1856fd1"

// llamaPerplexity lists what llama-perplexity prints for windows of 256 tokens of
// text/tinystories-valid.txt, and how near to it a file must come.
var llamaPerplexity = []struct {
	file            string
	want, tolerance float64
	integers, slow  bool
}{
	{"stories260K-F32.gguf", 6.7098, 0.002, false, false},
	{"stories260K-F16.gguf", 6.7101, 0.005 * 6.7101, false, false},
	{"stories260K-Q8_0.gguf", 6.7379, 0.005 * 6.7379, false, false}, // it rounds activations to 8 bits
	{"stories260K-Q8_0.gguf", 6.7379, 0.002, true, false},
	{"gsm-stories-6M-F32.gguf", 24.1742, 0.01, false, true},
}

// opened is a language model with its vocabulary.
type opened struct {
	model *model.Model
	vocab *tokenizer.Tokenizer
}

// open loads a model; a file that is absent is reported and skipped.
func open(t *testing.T, path string) (opened, bool) {
	t.Helper()
	f, ok := reference.Open(t, path)
	if !ok {
		return opened{}, false
	}
	m, err := model.Load(f)
	if err != nil {
		t.Fatal(err)
	}
	vocab, err := tokenizer.New(f)
	if err != nil {
		t.Fatal(err)
	}
	return opened{m, vocab}, true
}

// stories encodes the documents of a text, in order, until the reference's number of
// predicted tokens is reached.
func (o *opened) stories(t *testing.T, path string, tokens int) [][]int32 {
	t.Helper()
	source, err := dataset.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var stories [][]int32
	for _, d := range source.Documents() {
		if tokens <= 0 {
			break
		}
		ids := o.vocab.Encode(d, tokenizer.EncodeOptions{BOS: true})
		ids = ids[:min(len(ids), storyTokens)]
		stories = append(stories, ids)
		tokens -= len(ids) - 1
	}
	if tokens != 0 {
		t.Errorf("%s: %d predicted tokens too many in %d stories", path, -tokens, len(stories))
	}
	return stories
}

// predictions is the logits that predict each token of a story but the first, (n−1, V).
func (o *opened) predictions(tp *tape.Tape, ids []int32) kernel.Mat {
	tp.Reset()
	h := o.model.Hidden(tp, ids, tape.NewLayout(len(ids)), nil, nil)
	return o.model.Logits(tp, h).Mat().RowRange(0, len(ids)-1)
}

// nll adds the negative log likelihoods of a story.
func nll(logits kernel.Mat, ids []int32) (sum float64) {
	for i := range logits.Rows {
		sum += kernel.LogSumExp(logits.Row(i)) - float64(logits.Row(i)[ids[i+1]])
	}
	return sum
}

// readReferences lists the references about texts that are there.
func readReferences(t *testing.T) []textReference {
	t.Helper()
	var all []textReference
	for _, path := range reference.Files(t, "models/*.reference.json") {
		var r textReference
		reference.ReadJSON(t, path, &r)
		if r.Corpus.Tokens == 0 && len(r.Variants.Files) == 0 {
			t.Logf("skipped: %s has no text sections", filepath.Base(path))
			continue
		}
		all = append(all, r)
	}
	return all
}

func TestReferenceCorpus(t *testing.T) {
	root := reference.Folder(t)
	var files, tokens int
	for _, r := range readReferences(t) {
		if r.Corpus.Tokens == 0 {
			t.Logf("skipped: %s has no corpus", r.Model)
			continue
		}
		text := filepath.Join(root, "models", r.Corpus.File)
		if reference.Absent(t, text) {
			continue
		}
		o, ok := open(t, filepath.Join(root, "models", r.Model))
		if !ok {
			continue
		}
		var sum float64
		tp := tape.New(false)
		for _, ids := range o.stories(t, text, r.Corpus.Tokens) {
			sum += nll(o.predictions(tp, ids), ids)
		}
		got := sum / float64(r.Corpus.Tokens)
		t.Logf("%s: mean NLL %.6f, reference %.6f", r.Model, got, r.Corpus.NLL)
		if !(math.Abs(got-r.Corpus.NLL) <= 1e-4) {
			t.Errorf("%s: mean NLL %v, want %v", r.Model, got, r.Corpus.NLL)
		}
		files++
		tokens += r.Corpus.Tokens
	}
	t.Logf("compared %d files over %d tokens", files, tokens)
}

// Other files of a model: their likelihoods, and how far they are from it.
func TestReferenceVariants(t *testing.T) {
	root := reference.Folder(t)
	var files, skipped int
	for _, r := range readReferences(t) {
		base, ok := open(t, filepath.Join(root, "models", r.Model))
		if !ok || len(r.Variants.Files) == 0 {
			t.Logf("skipped: %s has no variants", r.Model)
			continue
		}
		text := filepath.Join(root, "models", r.Variants.File)
		if reference.Absent(t, text) {
			skipped += len(r.Variants.Files)
			continue
		}
		stories := base.stories(t, text, r.Variants.Tokens)
		for _, name := range slices.Sorted(maps.Keys(r.Variants.Files)) {
			want := r.Variants.Files[name]
			o, ok := open(t, filepath.Join(root, "models", name))
			if !ok {
				skipped++
				continue
			}
			files++
			var loss, divergence float64
			var same int
			teacher, student := tape.New(false), tape.New(false)
			for _, ids := range stories {
				p, q := base.predictions(teacher, ids), o.predictions(student, ids)
				loss += nll(q, ids)
				kl, agree := eval.Divergence(p, q)
				same += agree
				for _, v := range kl {
					divergence += v
				}
			}
			n := float64(r.Variants.Tokens)
			t.Logf("%s: mean NLL %.6f (%.6f), KL %.3g (%.3g), top-1 %.5f (%.5f)", name, loss/n, want.NLL, divergence/n, want.KL, float64(same)/n, want.Top1)
			if !(math.Abs(loss/n-want.NLL) <= 1e-4) {
				t.Errorf("%s: mean NLL %v, want %v", name, loss/n, want.NLL)
			}
			if !(math.Abs(divergence/n-want.KL) <= 1e-6+0.01*want.KL) {
				t.Errorf("%s: mean KL %v, want %v", name, divergence/n, want.KL)
			}
			// A handful of close calls may go either way.
			if !(math.Abs(float64(same)-want.Top1*n) <= 5) {
				t.Errorf("%s: same most likely token at %v, want %v", name, float64(same)/n, want.Top1)
			}
		}
	}
	t.Logf("compared %d files, %d skipped", files, skipped)
}

// The whole text through Language, as the command does it. The 6M model is left out
// with -short: it takes a minute.
func TestReferencePerplexity(t *testing.T) {
	root := reference.Folder(t)
	text := filepath.Join(root, "text", "tinystories-valid.txt")
	if reference.Absent(t, text) {
		t.Skip("nothing to compare")
	}
	source, err := dataset.Open(text)
	if err != nil {
		t.Fatal(err)
	}
	if source.SHA256() != llamaPerplexityText {
		t.Skipf("%s is another text (SHA-256 %s)", text, source.SHA256())
	}
	var files, tokens int
	for _, c := range llamaPerplexity {
		if c.slow && testing.Short() {
			t.Logf("skipped: %s is slow", c.file)
			continue
		}
		o, ok := open(t, filepath.Join(root, "models", c.file))
		if !ok {
			continue
		}
		if c.integers {
			o.model.Pack(true)
		}
		bos, _ := o.vocab.BOS()
		windows, err := dataset.EvalWindows(o.vocab.Encode(source.Text(), tokenizer.EncodeOptions{BOS: true}), 256, bos, o.vocab.AddBOS())
		if err != nil {
			t.Fatal(err)
		}
		r := language(t, o.model, nil, windows, eval.Options{})
		t.Logf("%s: perplexity %.4f ± %.4f over %d windows, llama-perplexity %.4f", c.file, r.Teacher.Perplexity, r.Teacher.PerplexityError, r.Windows, c.want)
		if !(math.Abs(r.Teacher.Perplexity-c.want) <= c.tolerance) {
			t.Errorf("%s: perplexity %v, want %v ± %v", c.file, r.Teacher.Perplexity, c.want, c.tolerance)
		}
		files++
		tokens += r.Tokens
	}
	t.Logf("compared %d files over %d tokens", files, tokens)
}
