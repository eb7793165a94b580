package main

import (
	"context"
	"io"
	"strings"
	"testing"
)

// TestTrainResumeInput: a run on standard input continues with the same bytes there, read in the same way, and with no
// others.
func TestTrainResumeInput(t *testing.T) {
	b := newBench(t)
	rows := strings.Repeat(`{"text":"the cat sat on the dog and she had one little day.","more":"the dog was in the big cat."}`+"\n", 40)
	train := func(ctx context.Context, input, output string, more ...string) error {
		_, root := newRoot(streams{in: strings.NewReader(input), out: io.Discard, err: io.Discard})
		root.SetArgs(append([]string{"train", "elastic.gguf", "--data", "-", "--data-format", "jsonl", "--steps", "4", "--batch", "1",
			"--context", "24", "--budgets", "0.5..1", "-o", output}, more...))
		return root.ExecuteContext(ctx)
	}
	if err := train(t.Context(), rows, "whole"); err != nil {
		t.Fatal(err)
	}
	if err := train(newInterruptedAfter(t.Context(), 3), rows, "out"); kindOf(err) != kindInterrupted {
		t.Fatalf("got %v, want an interrupted run", err)
	}
	for _, other := range []error{
		train(t.Context(), rows+"\n", "out", "--resume"),
		train(t.Context(), rows, "out", "--resume", "--text-field", "more"),
		train(t.Context(), rows, "out", "--resume", "--template", "{text}"),
		train(t.Context(), rows, "out", "--resume", "--skip-bad-rows"),
	} {
		if kindOf(other) != kindUsage || !strings.Contains(other.Error(), "saved run") {
			t.Errorf("other data: got %v error %v, want the saved run to be refused", kindOf(other), other)
		}
	}
	if err := train(t.Context(), rows, "out", "--resume"); err != nil {
		t.Fatal(err)
	}
	b.same("out", "whole")
}

// endless is standard input on which nothing comes.
type endless struct{}

func (endless) Read([]byte) (int, error) { select {} }

// TestInterruptedInput: waiting for standard input can be interrupted.
func TestInterruptedInput(t *testing.T) {
	newBench(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	_, root := newRoot(streams{in: endless{}, out: io.Discard, err: io.Discard})
	root.SetArgs([]string{"eval", "elastic.gguf", "--data", "-"})
	if err := root.ExecuteContext(ctx); kindOf(err) != kindInterrupted {
		t.Errorf("got %v error %v, want an interrupted run", kindOf(err), err)
	}
}
