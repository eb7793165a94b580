package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows how far a long command has come. It is called from one goroutine; the forms differ in how often and how
// they print, never in what they are told.
type progress interface {
	// Begin starts a task of total steps, done of which were finished before (a resumed run).
	Begin(task string, done, total int)
	// Step says that done steps are finished, with what was measured lately.
	Step(done int, measures ...measure)
	// Warn prints a line at once, whatever the form (the silent one too: a warning is not progress).
	Warn(text string)
	// End closes the task, finished or not.
	End()
}

// measure is a named number shown beside the progress, "loss" 1.25 for example.
type measure struct {
	name  string
	value float64
}

// progressForms are the values of --progress.
var progressForms = []string{"auto", "bar", "text", "json", "none"}

// How often each form prints. The last step is always printed.
const (
	barInterval  = 100 * time.Millisecond
	jsonInterval = time.Second
	textInterval = 10 * time.Second
)

// newProgress makes the form asked for, writing to w: auto is a bar on a terminal and lines of text elsewhere. Where the
// result is asked for in JSON and nobody watches, auto is silent, so that an error is all that a program finds there.
func newProgress(form string, asJSON bool, w io.Writer) progress {
	if form == "auto" {
		switch {
		case isTerminal(w) && os.Getenv("TERM") != "dumb":
			form = "bar"
		case asJSON:
			form = "none"
		default:
			form = "text"
		}
	}
	switch form {
	case "bar":
		return &barProgress{w: w, colour: isTerminal(w) && os.Getenv("NO_COLOR") == "", clock: clock{now: time.Now}}
	case "text":
		return &lineProgress{w: w, every: textInterval, format: textLine, warn: textWarning, clock: clock{now: time.Now}}
	case "json":
		return &lineProgress{w: w, every: jsonInterval, format: jsonLine, warn: jsonWarning, clock: clock{now: time.Now}}
	default:
		if asJSON {
			return silentProgress{w, jsonWarning}
		}
		return silentProgress{w, textWarning}
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// clock measures a task and foresees its end. Steps finished before the task began do not count towards its speed.
type clock struct {
	now         func() time.Time
	began       time.Time
	first, done int
	total       int
}

func (c *clock) start(done, total int) {
	c.began, c.first, c.done, c.total = c.now(), done, done, total
}

func (c *clock) elapsed() time.Duration { return c.now().Sub(c.began) }

// left is the time the remaining steps take at the speed so far; false as long as there is no speed.
func (c *clock) left() (time.Duration, bool) {
	if c.done <= c.first {
		return 0, false
	}
	perStep := float64(c.elapsed()) / float64(c.done-c.first)
	return time.Duration(perStep * float64(max(0, c.total-c.done))), true
}

// lineProgress prints a line now and then. It is both the text and the JSON form.
type lineProgress struct {
	clock
	w       io.Writer
	every   time.Duration
	format  func(task string, c *clock, measures []measure) string
	warn    func(text string) string
	task    string
	printed time.Time
}

func (p *lineProgress) Begin(task string, done, total int) {
	p.task = task
	p.start(done, total)
	p.printed = p.began
}

func (p *lineProgress) Step(done int, measures ...measure) {
	p.done = done
	now := p.now()
	if done < p.total && now.Sub(p.printed) < p.every {
		return
	}
	p.printed = now
	writeLine(p.w, p.format(p.task, &p.clock, measures))
}

func (p *lineProgress) Warn(text string) { writeLine(p.w, p.warn(text)) }

func (p *lineProgress) End() {}

// writeLine drops the error: a command must not fail because nobody reads its progress.
func writeLine(w io.Writer, line string) { _, _ = io.WriteString(w, line+"\n") }

// textLine: "train 120/600 (20%)  loss 1.251  kl 0.5  1m30s left".
func textLine(task string, c *clock, measures []measure) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d/%d", task, c.done, c.total)
	if c.total > 0 {
		fmt.Fprintf(&b, " (%d%%)", 100*c.done/c.total)
	}
	b.WriteString(textMeasures(measures))
	if left, ok := c.left(); ok {
		fmt.Fprintf(&b, "  %v left", left.Round(time.Second))
	}
	return b.String()
}

// textMeasures shows four digits of each number: enough to see it move.
func textMeasures(measures []measure) string {
	var b strings.Builder
	for _, m := range measures {
		fmt.Fprintf(&b, "  %s %s", m.name, strconv.FormatFloat(m.value, 'g', 4, 64))
	}
	return b.String()
}

func textWarning(text string) string { return "warning: " + text }

// jsonLine prints numbers in full precision and leaves out those JSON cannot hold.
func jsonLine(task string, c *clock, measures []measure) string {
	type body struct {
		Task        string             `json:"task"`
		Done        int                `json:"done"`
		Total       int                `json:"total"`
		Seconds     float64            `json:"seconds"`
		SecondsLeft *float64           `json:"seconds_left,omitempty"`
		Measures    map[string]float64 `json:"measures,omitempty"`
	}
	doc := body{Task: task, Done: c.done, Total: c.total, Seconds: c.elapsed().Seconds()}
	if left, ok := c.left(); ok {
		seconds := left.Seconds()
		doc.SecondsLeft = &seconds
	}
	doc.Measures = make(map[string]float64, len(measures))
	for _, m := range measures {
		if !math.IsNaN(m.value) && !math.IsInf(m.value, 0) {
			doc.Measures[m.name] = m.value
		}
	}
	return jsonText(struct {
		Schema   int  `json:"schema"`
		Progress body `json:"progress"`
	}{schemaVersion, doc})
}

func jsonWarning(text string) string {
	return jsonText(struct {
		Schema  int    `json:"schema"`
		Warning string `json:"warning"`
	}{schemaVersion, text})
}

// jsonText is for documents made of strings and finite numbers, which always encode.
func jsonText(document any) string {
	var b strings.Builder
	if err := writeJSON(&b, document); err != nil {
		panic("elastiformer: progress does not encode: " + err.Error())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// barProgress draws a bar on a terminal.
type barProgress struct {
	clock
	w      io.Writer
	colour bool
	task   string
	bar    *progressbar.ProgressBar
}

func (p *barProgress) Begin(task string, done, total int) {
	p.task = task
	p.start(done, total)
	filled := "="
	if p.colour {
		filled = "[green]=[reset]"
	}
	p.bar = progressbar.NewOptions(total,
		progressbar.OptionSetWriter(p.w), // its own default is standard output
		progressbar.OptionThrottle(barInterval),
		progressbar.OptionSetWidth(24),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(false), // clock knows of steps finished before
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionShowDescriptionAtLineEnd(),
		progressbar.OptionEnableColorCodes(p.colour),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: filled, SaucerHead: ">", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}),
	)
	p.bar.Describe(task)
	_ = p.bar.Set(done) // see writeLine
}

func (p *barProgress) Step(done int, measures ...measure) {
	p.done = done
	text := p.task + textMeasures(measures)
	if left, ok := p.left(); ok {
		text += fmt.Sprintf("  %v left", left.Round(time.Second))
	}
	p.bar.Describe(text)
	_ = p.bar.Set(done)
}

func (p *barProgress) Warn(text string) {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	writeLine(p.w, textWarning(text))
}

// End leaves the bar where it stands and goes to a new line.
func (p *barProgress) End() { writeLine(p.w, "") }

// silentProgress shows nothing but warnings.
type silentProgress struct {
	w    io.Writer
	warn func(text string) string
}

func (silentProgress) Begin(string, int, int) {}

func (silentProgress) Step(int, ...measure) {}

func (p silentProgress) Warn(text string) { writeLine(p.w, p.warn(text)) }

func (silentProgress) End() {}
