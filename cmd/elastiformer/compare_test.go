package main

import (
	"io"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

// quietly runs the command line without showing anything.
func quietly(args ...string) error {
	return execute(args, streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard})
}

// rewritten is a copy of a file with one key of another value, beside it.
func rewritten(t *testing.T, path, key string, value any) string {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := gguf.NewWriter()
	w.CopyKeys(f, func(name string) bool { return name != key })
	if err := w.Set(key, value); err != nil {
		t.Fatal(err)
	}
	for _, tensor := range f.Tensors() {
		data, err := f.Data(tensor)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.AddTensor(tensor.Name, tensor.Type, tensor.Dims, data); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(t.TempDir(), key+".gguf")
	if err := w.WriteFile(out, false); err != nil {
		t.Fatal(err)
	}
	return out
}

// Equal tensors are not yet the same model: with another key they are run in another way.
func TestCompareRefusesOtherHyperparameters(t *testing.T) {
	dir := t.TempDir()
	elastic := filepath.Join(dir, "elastic.gguf")
	data := filepath.Join(dir, "data.txt")
	if err := writeFileAtomically(data, func(w io.Writer) error { _, err := io.WriteString(w, stories(40)); return err }); err != nil {
		t.Fatal(err)
	}
	if err := quietly("convert", modeltest.Write(t, modeltest.Shape{Vocabulary: 360}), "-o", elastic, "--layers", "0"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key   string
		value any
		want  kind
		says  string
	}{
		{"general.name", "another name", kindNone, ""},
		{"llama.attention.layer_norm_rms_epsilon", float32(1e-3), kindInput, "hyperparameters differ"},
		{"llama.rope.freq_base", float32(5000), kindInput, "hyperparameters differ"},
		{"llama.block_count", uint32(1), kindInput, ""},
	} {
		other := rewritten(t, elastic, c.key, c.value)
		for _, pair := range [][]string{{elastic, other}, {other, elastic}} {
			err := quietly("compare", pair[0], pair[1], "--data", data, "--context", "16", "--limit", "1", "--budget", "0.9")
			if kindOf(err) != c.want || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: got %v, want %v: %q", c.key, err, c.want, c.says)
			}
		}
	}
}

func TestDomains(t *testing.T) {
	for _, c := range []struct {
		name          string
		data, classes []string
		want          []domain
	}{
		{"paths", []string{"a.txt", "b/*.jsonl"}, nil, []domain{{name: "a.txt", path: "a.txt"}, {name: "b/*.jsonl", path: "b/*.jsonl"}}},
		{"names", []string{"tales=a.txt", "zwölf_2-b=x=y", "=z"}, nil, []domain{{name: "tales", path: "a.txt"}, {name: "zwölf_2-b", path: "x=y"}, {name: "=z", path: "=z"}}},
		{"paths with an equals sign", []string{"./year=2024", "data/a=b.txt"}, nil, []domain{{name: "./year=2024", path: "./year=2024"}, {name: "data/a=b.txt", path: "data/a=b.txt"}}},
		{"classes", []string{"test"}, []string{"cat,dog", "van"}, []domain{{"cat,dog", "test", []string{"cat", "dog"}}, {"van", "test", []string{"van"}}}},
		{"named classes", []string{"p=test"}, []string{"animals=cat,dog"}, []domain{{"animals", "test", []string{"cat", "dog"}}}},
		{"a class with a comma", []string{"test"}, []string{`"tench, Tinca",eel`}, []domain{{"tench, Tinca,eel", "test", []string{"tench, Tinca", "eel"}}}},
		{"both", []string{"x", "y=z"}, []string{"a=cat", "dog"}, []domain{
			{"x: a", "x", []string{"cat"}}, {"x: dog", "x", []string{"dog"}}, {"y: a", "z", []string{"cat"}}, {"y: dog", "z", []string{"dog"}},
		}},
	} {
		var o compareOptions
		o.data = c.data
		for _, list := range c.classes {
			if err := o.classes.Set(list); err != nil {
				t.Fatal(err)
			}
		}
		if got := o.domains(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestClassListRefuses(t *testing.T) {
	for _, list := range []string{"", "a,,b", `"a`, `a"b`, "a\nb,"} {
		var c classList
		if err := c.Set(list); err == nil {
			t.Errorf("%q: got %q, want an error", list, c.sets)
		}
	}
}
