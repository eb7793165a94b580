package main

import (
	"testing"

	"github.com/spf13/pflag"
	"pgregory.net/rapid"
)

func TestBounded(t *testing.T) {
	var steps int
	var rate float64
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	boundedVar(fs, &steps, "steps", "", 600, 1, 1000, "steps")
	boundedVar(fs, &rate, "lr", "", 3e-3, 0, 1, "rate")
	if steps != 600 || rate != 3e-3 {
		t.Fatalf("defaults are %d and %v, want 600 and 0.003", steps, rate)
	}
	tests := []struct {
		flag, value string
		ok          bool
	}{
		{"steps", "1", true}, {"steps", "1000", true}, {"steps", "0", false}, {"steps", "1001", false},
		{"steps", "1.5", false}, {"steps", "1e3", false}, {"steps", "", false}, {"steps", "99999999999999999999", false},
		{"lr", "0", true}, {"lr", "1", true}, {"lr", "1e-3", true}, {"lr", "-1e-9", false}, {"lr", "1.0001", false},
		{"lr", "nan", false}, {"lr", "inf", false}, {"lr", "-inf", false}, {"lr", "x", false}, {"lr", "1e999", false},
	}
	for _, tt := range tests {
		before := fs.Lookup(tt.flag).Value.String()
		err := fs.Lookup(tt.flag).Value.Set(tt.value)
		if (err == nil) != tt.ok {
			t.Errorf("--%s %s: error %v, want ok %v", tt.flag, tt.value, err, tt.ok)
		}
		if after := fs.Lookup(tt.flag).Value.String(); err != nil && after != before {
			t.Errorf("--%s %s: refused, yet the value went from %s to %s", tt.flag, tt.value, before, after)
		}
	}
}

func TestEnum(t *testing.T) {
	var form string
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	enumVar(fs, &form, "progress", "p", "auto", []string{"auto", "none"}, "form")
	for value, ok := range map[string]bool{"none": true, "auto": true, "": false, "NONE": false, "non": false} {
		if err := fs.Set("progress", value); (err == nil) != ok {
			t.Errorf("--progress %q: error %v, want ok %v", value, err, ok)
		}
	}
	if form != "auto" && form != "none" {
		t.Errorf("value is %q after refused ones", form)
	}
	if err := fs.Parse([]string{"-p", "none"}); err != nil || form != "none" {
		t.Errorf("-p none: value %q, error %v", form, err)
	}
}

func TestEditDistance(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0},
		{"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"steps", "step", 1}, {"seed", "esed", 2},
	}
	for _, tt := range tests {
		if got := editDistance(tt.a, tt.b); got != tt.want {
			t.Errorf("editDistance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

// TestEditDistanceIsMetric checks what makes a distance: it is 0 for equals only, symmetric, and a detour is never shorter.
func TestEditDistanceIsMetric(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[ab.]{0,6}`)
		a, b, c := word.Draw(t, "a"), word.Draw(t, "b"), word.Draw(t, "c")
		ab, ba, bc, ac := editDistance(a, b), editDistance(b, a), editDistance(b, c), editDistance(a, c)
		if (ab == 0) != (a == b) {
			t.Fatalf("distance of %q and %q is %d", a, b, ab)
		}
		if ab != ba {
			t.Fatalf("distance of %q and %q is %d there and %d back", a, b, ab, ba)
		}
		if ac > ab+bc {
			t.Fatalf("%q to %q is %d, by way of %q only %d", a, c, ac, b, ab+bc)
		}
	})
}

func TestNearest(t *testing.T) {
	words := []string{"train.steps", "train.batch", "eval.context"}
	for name, want := range map[string]string{"train.step": "train.steps", "tran.bacth": "train.batch", "context": "eval.context"} {
		if got := nearest(name, words); got != want {
			t.Errorf("nearest(%q) = %q, want %q", name, got, want)
		}
	}
}
