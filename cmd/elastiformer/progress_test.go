package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

// fakeClock is a time that moves when told.
type fakeClock struct{ t time.Time }

func (c *fakeClock) now() time.Time { return c.t }

func (c *fakeClock) pass(d time.Duration) { c.t = c.t.Add(d) }

func TestTextProgress(t *testing.T) {
	var b bytes.Buffer
	clock := &fakeClock{time.Unix(0, 0)}
	p := newProgress("text", false, &b).(*lineProgress)
	p.now = clock.now
	p.Begin("train", 100, 600)
	for done := 101; done <= 600; done++ {
		clock.pass(100 * time.Millisecond) // a line every 100 steps
		p.Step(done, measure{"loss", 1.23456}, measure{"kl", 0.5})
	}
	p.Warn("expert 3 of layer 2 is never chosen")
	p.End()
	want := `train 200/600 (33%)  loss 1.235  kl 0.5  40s left
train 300/600 (50%)  loss 1.235  kl 0.5  30s left
train 400/600 (66%)  loss 1.235  kl 0.5  20s left
train 500/600 (83%)  loss 1.235  kl 0.5  10s left
train 600/600 (100%)  loss 1.235  kl 0.5  0s left
warning: expert 3 of layer 2 is never chosen
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestJSONProgress(t *testing.T) {
	var b bytes.Buffer
	clock := &fakeClock{time.Unix(0, 0)}
	p := newProgress("json", false, &b).(*lineProgress)
	p.now = clock.now
	p.Begin("eval", 0, 4)
	p.Step(0)
	clock.pass(2 * time.Second)
	p.Step(1, measure{"kl", 0.1}, measure{"loss", math.NaN()})
	clock.pass(time.Millisecond)
	p.Step(2)
	p.Step(4, measure{"kl", 0.25})
	p.Warn("slow")
	p.End()
	want := `{"schema":1,"progress":{"task":"eval","done":1,"total":4,"seconds":2,"seconds_left":6,"measures":{"kl":0.1}}}
{"schema":1,"progress":{"task":"eval","done":4,"total":4,"seconds":2.001,"seconds_left":0,"measures":{"kl":0.25}}}
{"schema":1,"warning":"slow"}
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
	for line := range strings.Lines(b.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

func TestBarProgress(t *testing.T) {
	var b bytes.Buffer
	p := newProgress("bar", false, &b)
	p.Begin("train", 2, 4)
	p.Step(3, measure{"loss", 1.5})
	p.Warn("careful")
	p.Step(4, measure{"loss", 1.25})
	p.End()
	got := b.String()
	for _, want := range []string{"train", "100%", "(4/4)", "loss 1.25", "warning: careful\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the bar printed %q, which lacks %q", got, want)
		}
	}
	if strings.Contains(got, "\x1b[32m") {
		t.Errorf("the bar printed %q, coloured, though it is no terminal", got)
	}
	if !strings.HasSuffix(got, "\n") {
		t.Errorf("the bar printed %q, which leaves the cursor in the line", got)
	}
}

func TestSilentProgress(t *testing.T) {
	var b bytes.Buffer
	p := newProgress("none", false, &b)
	p.Begin("train", 0, 2)
	p.Step(1, measure{"loss", 1})
	p.Step(2)
	p.End()
	if b.Len() != 0 {
		t.Errorf("printed %q, want nothing", b.String())
	}
	p.Warn("careful")
	if got, want := b.String(), "warning: careful\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}

// TestAutoProgress: a buffer or a file is no terminal and gets lines.
func TestAutoProgress(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if p, ok := newProgress("auto", false, f).(*lineProgress); !ok || p.every != textInterval {
		t.Errorf("on a file auto is %T, want lines of text", newProgress("auto", false, f))
	}
	if _, ok := newProgress("auto", false, &bytes.Buffer{}).(*lineProgress); !ok {
		t.Error("on a buffer auto is not lines of text")
	}
}

// TestAutoProgressWithJSON: where the result is JSON for a program, standard error is silent but for JSON warnings.
func TestAutoProgressWithJSON(t *testing.T) {
	var b bytes.Buffer
	p := newProgress("auto", true, &b)
	p.Begin("train", 0, 1)
	p.Step(1, measure{"loss", 1})
	p.Warn("careful")
	p.End()
	if got, want := b.String(), `{"schema":1,"warning":"careful"}`+"\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
	if _, ok := newProgress("text", true, &b).(*lineProgress); !ok {
		t.Error("lines of text are not printed where they are asked for")
	}
}
