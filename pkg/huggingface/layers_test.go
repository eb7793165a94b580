package huggingface

import (
	"fmt"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// What config.json says about each layer against the pattern of a family, and the period that is written; 0 for none.
func TestLayerPattern(t *testing.T) {
	window, free, rope := layerPattern{period: 2}, layerPattern{period: 3, free: true}, layerPattern{period: 4, withoutRope: true}
	for _, r := range []struct {
		pattern layerPattern
		layers  uint64
		config  string
		want    string
	}{
		{layerPattern{}, 3, ``, ""},
		{layerPattern{}, 3, `"layer_types": "FFF"`, ""},
		{layerPattern{}, 3, `"layer_types": "SSS"`, ""},
		{layerPattern{}, 3, `"layer_types": "SSF"`, "several kinds are not supported"},
		{layerPattern{}, 3, `"layer_types": "FF"`, "2 kinds of layers for 3 layers"},
		{window, 4, ``, ""},
		{window, 4, `"layer_types": "SFSF"`, ""},
		{window, 4, `"layer_types": "FSFS"`, "layer 0 is not supported"},
		{window, 4, `"layer_types": "FFFF"`, "layer 0 is not supported"},
		{window, 4, `"layer_types": "SSSF"`, "layer 1 is not supported"},
		{window, 4, `"sliding_window_pattern": 3`, "a pattern of 3 layers is not supported"},
		{free, 4, ``, ""},
		{free, 4, `"sliding_window_pattern": 3`, ""},
		{free, 4, `"sliding_window_pattern": 2`, "2"},
		{free, 4, `"sliding_window_pattern": 1`, "a pattern of 1 layers is not supported"},
		{free, 6, `"layer_types": "SSFSSF"`, ""},
		{free, 6, `"layer_types": "SFSFSF"`, "2"},
		{free, 2, `"layer_types": "SS"`, ""},
		{free, 4, `"layer_types": "SSSS"`, "0"},
		{free, 4, `"layer_types": "FFFF"`, "a pattern of 1 layers is not supported"},
		{free, 4, `"layer_types": "SFSS"`, "layer 3 is not supported"},
		{rope, 5, `"no_rope_layers": [1, 1, 1, 0, 1]`, ""},
		{rope, 5, `"no_rope_layers": [1, 1, 0, 1, 1]`, "layer 2 is not supported"},
		{rope, 4, `"no_rope_layers": [1, 1, 1, 1]`, "layer 3 is not supported"},
	} {
		config := r.config
		for _, word := range []string{"SSS", "SSF", "SFSF", "SFSFSF", "SSFSSF", "FFF", "FFFF", "FF", "FSFS", "SSSF", "SS", "SSSS", "SFSS"} {
			kinds := strings.NewReplacer("S", `"sliding_attention", `, "F", `"full_attention", `).Replace(word)
			config = strings.Replace(config, `"`+word+`"`, "["+strings.TrimSuffix(kinds, ", ")+"]", 1)
		}
		c := testConfig(t, config)
		v := &conversion{family: &family{architecture: "x"}, writer: gguf.NewWriter(), layers: r.layers}
		r.pattern.write(v, c)
		got := writtenPattern(t, v.writer)
		if *c.err != nil {
			got = (*c.err).Error()
		}
		if got != r.want && (*c.err == nil || r.want == "" || !strings.Contains(got, r.want)) {
			t.Errorf("%+v, %d layers, %s: got %q, want %q", r.pattern, r.layers, r.config, got, r.want)
		}
	}
}

// testConfig is a configuration of a few members.
func testConfig(t *testing.T, members string) *config {
	t.Helper()
	r, err := openRoot(writeFolder(t, map[string]any{"config.json": "{" + members + "}"}))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := newConfig(nil, nil)
	if err := r.readJSON("config.json", &c.values); err != nil {
		t.Fatal(err)
	}
	return c
}

// writtenPattern returns the period among the keys of a file without tensors, "" for none.
func writtenPattern(t *testing.T, w *gguf.Writer) string {
	t.Helper()
	path := t.TempDir() + "/keys.gguf"
	if err := w.WriteFile(path, false); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v, ok := f.Value("x.attention.sliding_window_pattern")
	if !ok {
		return ""
	}
	return fmt.Sprint(v.Any())
}
