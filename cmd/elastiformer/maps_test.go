package main

import (
	"path/filepath"
	"testing"
)

func TestMapNames(t *testing.T) {
	taken := map[string]bool{}
	for _, c := range []struct{ path, want string }{
		{"data/cat/1.png", "cat-1"}, {"data/cat/1.jpg", "cat-1-2"}, {"other/cat/1.png", "cat-1-3"}, {"1.png", "1"}, {"./1.png", "1-2"},
		{"../x.y.webp", "x.y"}, {"/a/b/c.gif", "b-c"}, {"cat/1-2.png", "cat-1-2-2"},
	} {
		if got := mapName(filepath.FromSlash(c.path), taken); got != c.want {
			t.Errorf("%s: %s, want %s", c.path, got, c.want)
		}
	}
	for budget, want := range map[float64]string{0.6: "0.60", 0.65: "0.65", 0.655: "0.655", 0.6001: "0.6001", 1: "1.00", 1e-7: "0.0000001"} {
		if got := budgetName(budget); got != want {
			t.Errorf("budget %v: %s, want %s", budget, got, want)
		}
	}
}
