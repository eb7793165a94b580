package simd

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Assembly for AVX2 must not use what only AVX-512 has: a generator runs out of registers
// without a word, and the processors that tests run on would not notice.
func TestAssemblyKeepsToItsLevel(t *testing.T) {
	files, err := filepath.Glob("*_amd64.s")
	if err != nil || len(files) == 0 {
		t.Fatal("no assembly", err)
	}
	wider := regexp.MustCompile(`\b([XY](1[6-9]|2\d|3[01])|Z\d+|K[0-7])\b`)
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		function := ""
		for i, line := range strings.Split(string(text), "\n") {
			if strings.HasPrefix(line, "TEXT ") {
				function = line
			}
			if strings.Contains(function, "AVX2") && wider.MatchString(line) {
				t.Errorf("%s:%d: %s: %s", name, i+1, function, strings.TrimSpace(line))
				break
			}
		}
	}
}
