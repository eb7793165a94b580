//go:build linux

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestMemoryOfLargeFile measures, as the system counts it, how much memory the program takes with a file of 1.1 billion
// parameters in llama.cpp's Q4_K_M: no more than the file and 15 % of it, and what passes over many tokens hold. The file is
// made for it and takes minutes and two gigabytes: only with ELASTIFORMER_LARGE set (make memory).
func TestMemoryOfLargeFile(t *testing.T) {
	if os.Getenv("ELASTIFORMER_LARGE") == "" {
		t.Skip("ELASTIFORMER_LARGE is not set: it takes minutes and 2 GB")
	}
	dir := t.TempDir()
	model, elastic, text := filepath.Join(dir, "model.gguf"), filepath.Join(dir, "elastic.gguf"), filepath.Join(dir, "text.txt")
	if err := os.WriteFile(text, []byte(stories(400)), 0o600); err != nil {
		t.Fatal(err)
	}
	peakOf(t, "go", "run", "../../testdata/random", "-o", model, "-type", "q4_k_m", "-D", "2048", "-L", "22", "-H", "32", "-KV", "4", "-F", "5632")
	for _, c := range []struct {
		name, file string
		args       []string
	}{
		{"inspect", model, []string{"inspect", "--plan", model}},
		{"convert", elastic, []string{"convert", model, "-o", elastic}},
		{"generate", model, []string{"generate", model, "-p", "once", "-n", "4"}},
		{"generate, float32", model, []string{"generate", model, "-p", "once", "-n", "2", "--precision", "f32"}},
		{"generate at 0.6", elastic, []string{"generate", elastic, "-p", "once", "-n", "4", "--budget", "0.6"}},
		{"eval", elastic, []string{"eval", elastic, "--data", text, "--context", "64", "--limit", "1", "--budget", "0.6", "--select", "topk"}},
		{"train", elastic, []string{"train", elastic, "--data", text, "-o", filepath.Join(dir, "trained.gguf"), "--context", "64", "--batch", "1", "--dry-run", "--json"}},
	} {
		peak, out := peakOf(t, "elastiformer", c.args...)
		info, err := os.Stat(c.file)
		if err != nil {
			t.Fatal(err)
		}
		size := info.Size()
		var held struct {
			Heap int64 `json:"heap_bytes"` // of what is trained, and of activations
		}
		if c.name == "train" {
			if err := json.Unmarshal(out, &held); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("%s: peak of %d MB, the file has %d MB, %d MB are activations and what is trained: %.3f of the file",
			c.name, peak/1e6, size/1e6, held.Heap/1e6, float64(peak-held.Heap)/float64(size))
		if float64(peak-held.Heap) > 1.15*float64(size) {
			t.Errorf("%s: more than 1.15 of the file", c.name)
		}
	}
}

// peakOf runs a program and returns its peak of resident memory in bytes and its output.
func peakOf(t *testing.T, program string, args ...string) (peak int64, out []byte) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v", program, args, err)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		t.Fatal("the system does not say how much memory was used")
	}
	return usage.Maxrss << 10, out
}
