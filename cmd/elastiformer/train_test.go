package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

// bench is a folder with a model, its elastic self and texts, and the way to run the program there.
type bench struct{ t *testing.T }

// newBench makes the folder and goes there. No configuration is in reach. The arguments are those of convert.
func newBench(t *testing.T, convert ...string) bench {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", dir)
	b := bench{t}
	if err := modeltest.Writer(t, modeltest.Shape{Vocabulary: 360}).WriteFile("model.gguf", false); err != nil {
		t.Fatal(err)
	}
	b.write("text.txt", stories(80))
	b.write("valid.txt", stories(20))
	b.write("other.txt", "the dog and the cat. "+stories(21))
	b.must(append([]string{"convert", "model.gguf", "-o", "elastic.gguf"}, convert...)...)
	return b
}

func (b bench) write(file, text string) {
	b.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b bench) read(file string) []byte {
	b.t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		b.t.Fatal(err)
	}
	return data
}

// run runs the program in this process and returns what it printed and its error.
func (b bench) run(ctx context.Context, args ...string) (stdout string, err error) {
	var out bytes.Buffer
	_, root := newRoot(streams{in: strings.NewReader(""), out: &out, err: io.Discard})
	root.SetArgs(args)
	err = root.ExecuteContext(ctx)
	return out.String(), err
}

// must runs the program, which must succeed, and returns what it printed.
func (b bench) must(args ...string) string {
	b.t.Helper()
	out, err := b.run(b.t.Context(), args...)
	if err != nil {
		b.t.Fatalf("%q: %v", args, err)
	}
	return out
}

// refuses runs the program, which must fail with the given kind and a message that holds text.
func (b bench) refuses(want kind, text string, args ...string) {
	b.t.Helper()
	_, err := b.run(b.t.Context(), args...)
	if kindOf(err) != want || !strings.Contains(err.Error(), text) {
		b.t.Errorf("%q: got %v error %v, want %v with %q", args, kindOf(err), err, want, text)
	}
}

// same demands that two files hold the same bytes.
func (b bench) same(got, want string) {
	b.t.Helper()
	if !bytes.Equal(b.read(got), b.read(want)) {
		b.t.Errorf("%s and %s differ", got, want)
	}
}

func (b bench) exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// remove removes files that may be there.
func (b bench) remove(files ...string) {
	b.t.Helper()
	for _, f := range files {
		if err := os.RemoveAll(f); err != nil {
			b.t.Fatal(err)
		}
	}
}

// skipLong leaves out what takes many times as long under the race detector.
func skipLong(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("trains for seconds")
	}
}

// interruptedAfter is a context that is cancelled when it is asked for the n-th time, so that a test interrupts a run at
// every place that heeds interrupts.
type interruptedAfter struct {
	context.Context
	left *atomic.Int64
}

func newInterruptedAfter(parent context.Context, n int64) interruptedAfter {
	c := interruptedAfter{parent, &atomic.Int64{}}
	c.left.Store(n)
	return c
}

func (c interruptedAfter) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// trainArgs trains everything there is, in a few steps.
func trainArgs(output string, more ...string) []string {
	args := []string{"train", "elastic.gguf", "--data", "text.txt", "--val", "valid.txt", "--val-every", "2",
		"--steps", "5", "--batch", "2", "--context", "24", "--warmup", "2", "--budgets", "0.5..1", "--checkpoint-every", "2", "-o", output, "--log", output + ".jsonl"}
	return append(args, more...)
}

// TestTrainInterruptedAnywhere interrupts a run at each place that heeds interrupts; continued, it gives the bytes of the
// unbroken run, the log too.
func TestTrainInterruptedAnywhere(t *testing.T) {
	b := newBench(t, "--lora-rank", "1")
	b.must(trainArgs("whole")...)
	interrupted := 0
	for n := int64(0); ; n++ {
		_, err := b.run(newInterruptedAfter(t.Context(), n), trainArgs("out")...)
		if err == nil {
			break
		}
		interrupted++
		if kindOf(err) != kindInterrupted || !strings.Contains(err.Error(), "out.train, --resume goes on") {
			t.Fatalf("interrupted after %d: got %v error %v", n, kindOf(err), err)
		}
		if b.exists("out") || !b.exists("out.train") {
			t.Fatalf("interrupted after %d: result there %v, saved run there %v, want only the latter", n, b.exists("out"), b.exists("out.train"))
		}
		b.must(trainArgs("out", "--resume")...)
		b.same("out", "whole")
		b.same("out.jsonl", "whole.jsonl")
		if b.exists("out.train") {
			t.Fatalf("interrupted after %d: the saved run is still there after the end", n)
		}
		b.remove("out", "out.jsonl")
	}
	if interrupted < 6 { // before each of 5 steps, and while the table is measured
		t.Errorf("the run heeded an interrupt at %d places, want 6 or more", interrupted)
	}
}

// TestTrainResumeTokens: thresholds are found anew from the parameters at the end, so a continued run has the same.
func TestTrainResumeTokens(t *testing.T) {
	skipLong(t)
	b := newBench(t, "--routers", "attn-tokens,heads,mlp-tokens,experts")
	b.must(trainArgs("whole")...)
	if _, err := b.run(newInterruptedAfter(t.Context(), 3), trainArgs("out")...); kindOf(err) != kindInterrupted {
		t.Fatalf("got %v, want an interrupted run", err)
	}
	b.must(trainArgs("out", "--resume", "--threads", "1")...)
	b.same("out", "whole")
	b.same("out.jsonl", "whole.jsonl")
}

// TestTrainResumeMismatch: a saved run continues with nothing but its own options, data and base.
func TestTrainResumeMismatch(t *testing.T) {
	b := newBench(t)
	b.must(trainArgs("whole")...)
	if _, err := b.run(newInterruptedAfter(t.Context(), 3), trainArgs("out")...); kindOf(err) != kindInterrupted {
		t.Fatalf("got %v, want an interrupted run", err)
	}
	saved := b.read("out.train")
	const text = "saved run"
	b.refuses(kindUsage, "out.train holds a saved run (--resume continues it, --force drops it)", trainArgs("out")...)
	b.refuses(kindUsage, text, trainArgs("out", "--resume", "--steps", "6")...)
	b.refuses(kindUsage, text, trainArgs("out", "--resume", "--lr", "0.004")...)
	b.refuses(kindUsage, text, trainArgs("out", "--resume", "--seed", "1")...)
	b.refuses(kindUsage, text, trainArgs("out", "--resume", "--loss", "kl")...)
	b.refuses(kindUsage, text, trainArgs("out", "--resume", "--data", "other.txt")...)
	b.refuses(kindUsage, text, trainArgs("out", "--resume", "--val", "other.txt")...)

	b.must("convert", "model.gguf", "-o", "elastic.gguf", "--force", "--routers", "heads,experts,mlp-tokens")
	b.refuses(kindUsage, text, trainArgs("out", "--resume")...)
	b.must("convert", "model.gguf", "-o", "elastic.gguf", "--force", "--experts", "8")
	b.refuses(kindUsage, text, trainArgs("out", "--resume")...)
	b.must("convert", "model.gguf", "-o", "elastic.gguf", "--force", "--compensation=false")
	b.refuses(kindUsage, text, trainArgs("out", "--resume")...)
	if err := modeltest.Writer(t, modeltest.Shape{Vocabulary: 360, Seed: 1}).WriteFile("other.gguf", false); err != nil {
		t.Fatal(err)
	}
	b.must("convert", "other.gguf", "-o", "elastic.gguf", "--force")
	b.refuses(kindUsage, "other base", trainArgs("out", "--resume")...)
	b.must("convert", "model.gguf", "-o", "elastic.gguf", "--force")

	b.write("out.train", string(saved[:len(saved)-8]))
	b.refuses(kindInput, "out.train", trainArgs("out", "--resume")...)
	b.write("out.train", string(saved))
	if b.exists("out") {
		t.Error("a refused run wrote a result")
	}

	// What does not change the result may change. The saved run was kept through all refusals.
	b.must(trainArgs("out", "--resume", "--threads", "1", "--checkpoint-every", "1")...)
	b.same("out", "whole")
	b.same("out.jsonl", "whole.jsonl")
	b.refuses(kindUsage, "out exists", trainArgs("out", "--resume")...)

	// --force drops a saved run.
	b.write("out.train", string(saved))
	b.must(trainArgs("out", "--force")...)
	b.same("out", "whole")
	b.same("out.jsonl", "whole.jsonl")
}

// TestTrainUnsaved: a run that is interrupted and cannot be saved has failed, for nobody can continue it.
func TestTrainUnsaved(t *testing.T) {
	b := newBench(t)
	if err := os.Mkdir("out.train", 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := b.run(newInterruptedAfter(t.Context(), 1), trainArgs("out", "--force")...)
	if kindOf(err) != kindFailed || !strings.Contains(err.Error(), "the run is lost") {
		t.Errorf("got %v error %v, want failed because the run is lost", kindOf(err), err)
	}
}

// longArgs is a run that takes long enough to be met in the middle.
func longArgs(output string, more ...string) []string {
	return append([]string{"train", "elastic.gguf", "--data", "text.txt", "--steps", "150", "--batch", "2", "--context", "32",
		"--checkpoint-every", "1", "-o", output, "--log", output + ".jsonl", "--progress", "none"}, more...)
}

// waitForSteps returns once the log of a run has that many lines, or the program has come to its end.
func (b bench) waitForSteps(p *program, log string, lines int) {
	b.t.Helper()
	ended := make(chan struct{})
	go func() {
		for p.stdout.Scan() { // to its end
		}
		close(ended)
	}()
	for {
		data, err := os.ReadFile(log)
		if (err == nil || lines == 0) && bytes.Count(data, []byte("\n")) >= lines {
			return
		}
		select {
		case <-ended:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// TestTrainSignals stops a run as a user does and as a power cut does, and continues it each time. Whatever moment a
// signal hits, nothing half-written is left, and the end is that of the unbroken run.
func TestTrainSignals(t *testing.T) {
	skipWithoutSignals(t)
	skipLong(t)
	b := newBench(t)
	b.must(longArgs("whole")...)
	for _, steps := range []int{0, 1, 20, 37, 60, 61} {
		p := startProgram(t, "elastiformer", longArgs("out", "--resume")...)
		b.waitForSteps(p, "out.jsonl", steps)
		p.signal(os.Kill)
		stderr, code := p.wait()
		if code == 0 {
			t.Fatalf("the run came to its end before step %d", steps)
		}
		if code != -1 || stderr != "" {
			t.Fatalf("killed at step %d: exit status %d, standard error %q", steps, code, stderr)
		}
		if b.exists("out") {
			t.Fatalf("killed at step %d: there is a result", steps)
		}
	}
	p := startProgram(t, "elastiformer", longArgs("out", "--resume", "--json")...)
	b.waitForSteps(p, "out.jsonl", 90)
	p.signal(os.Interrupt)
	stderr, code := p.wait()
	if want := `{"schema":1,"error":{"kind":"interrupted","message":"interrupted (step `; code != 130 || !strings.HasPrefix(stderr, want) {
		t.Errorf("interrupted: exit status %d, standard error %q, want 130 and %s", code, stderr, want)
	}
	if b.exists("out") || !b.exists("out.train") {
		t.Errorf("interrupted: result there %v, saved run there %v, want only the latter", b.exists("out"), b.exists("out.train"))
	}
	b.must(longArgs("out", "--resume")...)
	b.same("out", "whole")
	b.same("out.jsonl", "whole.jsonl")
	if b.exists("out.train") {
		t.Error("the saved run is still there after the end")
	}
}
