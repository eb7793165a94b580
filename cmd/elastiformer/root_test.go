package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// eachCommand calls f for every command of the tree.
func eachCommand(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, sub := range cmd.Commands() {
		eachCommand(sub, f)
	}
}

// TestHelpIsComplete demands of every command, present and future, what the house style asks for.
func TestHelpIsComplete(t *testing.T) {
	_, root := newRoot(streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard})
	eachCommand(root, func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: the short help is %q, want a phrase without a full stop", path, cmd.Short)
		}
		if !strings.HasPrefix(cmd.Example, "  ") || !strings.Contains(cmd.Example, "elastiformer ") {
			t.Errorf("%s: there is no example indented by two spaces", path)
		}
		if !strings.HasPrefix(cmd.Annotations[exitStatusKey], "  0  ") {
			t.Errorf("%s: the exit statuses are not listed", path)
		}
		if cmd.RunE == nil || cmd.Run != nil {
			t.Errorf("%s: must have RunE and not Run", path)
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: flag --%s has no usage text", path, f.Name)
			}
			if strings.Contains(f.DefValue, "Inf") {
				t.Errorf("%s: flag --%s shows the default %s", path, f.Name, f.DefValue)
			}
		})
	})
}

// TestSettingsAreUnique: two settings with one environment variable could not be told apart ("a-b" and "a.b").
func TestSettingsAreUnique(t *testing.T) {
	_, root := newRoot(streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard})
	seen := map[string]string{}
	for _, s := range collectSettings(root) {
		if other, ok := seen[s.env]; ok {
			t.Errorf("%s and %s are both %s", s.key, other, s.env)
		}
		seen[s.env] = s.key
		if s.key != strings.ToLower(s.key) {
			t.Errorf("%s: viper would look for it in lower case", s.key)
		}
	}
	if len(seen) == 0 {
		t.Error("no settings found")
	}
}

// TestLoadListFromFile: lists in YAML reach both kinds of flags that take several values.
func TestLoadListFromFile(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("elastiformer.yaml", []byte("job:\n  words: [\"a,b\", c]\n  one: [0.5, 1, 2]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	root := &cobra.Command{Use: "elastiformer"}
	job := &cobra.Command{Use: "job"}
	words := job.Flags().StringSlice("words", nil, "")
	one := job.Flags().String("one", "", "")
	root.AddCommand(job)
	s, err := loadSettings(root, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(*words) != 2 || (*words)[0] != "a,b" || (*words)[1] != "c" {
		t.Errorf("words = %q, want [a,b and c]", *words)
	}
	if *one != "0.5,1,2" {
		t.Errorf("one = %q, want 0.5,1,2", *one)
	}
	var out bytes.Buffer
	if err := showConfigJSON(&out, s); err != nil {
		t.Fatal(err)
	}
	if want := `{"key":"job.words","value":["a,b","c"],"origin":"file","source":"elastiformer.yaml"}`; !strings.Contains(out.String(), want) {
		t.Errorf("config show printed %s, which lacks %s", out.String(), want)
	}
}

func TestReadTextStopsWithContext(t *testing.T) {
	r, w := io.Pipe() // never gives anything
	defer w.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	if _, err := readText(ctx, r); !errors.Is(err, errInterrupted) {
		t.Errorf("got error %v, want %v", err, errInterrupted)
	}
}

// TestInterrupt sends the program the signals a user would, while it reads its standard input.
func TestInterrupt(t *testing.T) {
	skipWithoutSignals(t)
	model := t.TempDir() + "/tiny.gguf"
	w := gguf.NewWriter()
	for _, key := range vocabularyKeys() {
		if err := w.Set(key.name, key.value); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WriteFile(model, false); err != nil {
		t.Fatal(err)
	}
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			p := startProgram(t, "elastiformer", "tokenize", "--json", "-m", model, "-")
			// More than a pipe holds: when all of it is written, the program has begun to read.
			if _, err := io.WriteString(p.stdin, strings.Repeat("x", 1<<20)); err != nil {
				t.Fatal(err)
			}
			p.signal(sig)
			stderr, code := p.wait()
			if code != 130 {
				t.Errorf("exit status %d, want 130 (standard error: %s)", code, stderr)
			}
			if want := `{"schema":1,"error":{"kind":"interrupted","message":"interrupted"}}` + "\n"; stderr != want {
				t.Errorf("standard error is %q, want %q", stderr, want)
			}
		})
	}
}

// TestSecondInterrupt: a program that does not stop at the first signal says so after a while and ends at the second.
func TestSecondInterrupt(t *testing.T) {
	skipWithoutSignals(t)
	p := startProgram(t, "stubborn")
	for _, want := range []string{"waiting", "cancelled: interrupted"} {
		if !p.stdout.Scan() || p.stdout.Text() != want {
			t.Fatalf("the program printed %q, want %q", p.stdout.Text(), want)
		}
		if want == "waiting" {
			p.signal(os.Interrupt)
		}
	}
	time.Sleep(2 * saveNotice)
	p.signal(syscall.SIGTERM)
	stderr, code := p.wait()
	if code != 130 {
		t.Errorf("exit status %d, want 130", code)
	}
	if !strings.Contains(stderr, "interrupt again") {
		t.Errorf("standard error is %q, want a hint to interrupt again", stderr)
	}
}

// stubborn is a program that notes that it was interrupted and goes on for ever. TestMain makes it a program.
func stubborn() {
	ctx, _ := interruptible(context.Background(), os.Stderr, false)
	fmt.Println("waiting")
	<-ctx.Done()
	fmt.Println("cancelled:", context.Cause(ctx))
	select {}
}

func skipWithoutSignals(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no way to interrupt one other process")
	}
}

// program is a running child with its streams.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Scanner
	stderr bytes.Buffer
}

// startProgram runs this test binary as one of the programs of TestMain.
func startProgram(t *testing.T, name string, args ...string) *program {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, cmd: exec.CommandContext(t.Context(), exe)}
	p.cmd.Args = append([]string{name}, args...)
	p.cmd.Stderr = &p.stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdout = bufio.NewScanner(stdout)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *program) signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

func (p *program) wait() (stderr string, exitCode int) {
	_ = p.cmd.Wait() // the exit status tells
	return p.stderr.String(), p.cmd.ProcessState.ExitCode()
}

func TestDescribeBuild(t *testing.T) {
	info := &debug.BuildInfo{
		Main:     debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "GOOS", Value: "plan9"}},
	}
	if b := describeBuild(info); b.Version != "v1.2.3" || b.Commit != "abc" {
		t.Errorf("from the Go tool: version %s, commit %s, want v1.2.3 and abc", b.Version, b.Commit)
	}
	if b := describeBuild(nil); b.Version != "unknown" || b.Commit != "unknown" {
		t.Errorf("from nowhere: version %s, commit %s, want unknown", b.Version, b.Commit)
	}
	version, commit = "v9", "def"
	defer func() { version, commit = "", "" }()
	if b := describeBuild(info); b.Version != "v9" || b.Commit != "def" {
		t.Errorf("from the linker: version %s, commit %s, want v9 and def", b.Version, b.Commit)
	}
}

// TestInspectJSONNeverNaN: JSON has no NaN, and a key may hold one.
func TestInspectJSONNeverNaN(t *testing.T) {
	path := t.TempDir() + "/nan.gguf"
	w := gguf.NewWriter()
	for key, value := range map[string]any{
		"a.scalar": float32(math.NaN()),
		"a.array":  []float32{0.1, float32(math.Inf(1))},
		"a.double": 0.1,
	} {
		if err := w.Set(key, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WriteFile(path, false); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	opts := inspectOptions{globalOptions: globalOptions{json: true}, file: path}
	if err := runInspect(t.Context(), opts, streams{out: &out}); err != nil {
		t.Fatal(err)
	}
	if !json.Valid(out.Bytes()) {
		t.Fatalf("not JSON: %s", out.String())
	}
	for _, want := range []string{`"value":[0.1,null]`, `{"key":"a.scalar","type":"float32"}`, `"type":"float64","value":0.1`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s lacks %s", out.String(), want)
		}
	}
}

func TestByteSize(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 bytes", 1023: "1023 bytes", 1024: "1.0 KiB", 1536: "1.5 KiB", 5 << 30: "5.0 GiB", math.MaxUint64: "16777216.0 TiB"} {
		if got := byteSize(n); got != want {
			t.Errorf("byteSize(%d) = %s, want %s", n, got, want)
		}
	}
}
