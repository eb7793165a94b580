package distill

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

const dataHash = "hash of the data"

// elasticFile writes a converted checkpoint of the tiny model.
func elasticFile(tb testing.TB) string {
	tb.Helper()
	f, m := modeltest.Open(tb, tiny)
	path := tempFile(tb, "elastic.gguf")
	if err := attach(tb, f, m, allSelectors(m.Config.Layers, 6)).WriteCheckpoint(path, f, false); err != nil {
		tb.Fatal(err)
	}
	return path
}

// openRun starts a run on an elastic file as a new process would.
func openRun(tb testing.TB, path string, heldOut [][]int32, o Options) *Trainer {
	tb.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.Close() })
	m, err := model.Load(f)
	if err != nil {
		tb.Fatal(err)
	}
	e, err := routing.Read(f, m.Config, m.ExpertBlock())
	if err != nil {
		tb.Fatal(err)
	}
	return newTrainer(tb, m, e, heldOut, o)
}

// heldOutWindows are of the vocabulary of the tiny model.
func heldOutWindows(seed uint64) [][]int32 { return randomWindows(newRand(seed), 70, 24, 24, 24) }

func TestResumedRunIsTheUnbrokenRun(t *testing.T) {
	path := elasticFile(t)
	for _, heldOut := range [][][]int32{nil, heldOutWindows(1)} {
		o := runOptions()
		o.Validate = 2
		unbroken := openRun(t, path, heldOut, o)
		want := doSteps(t, unbroken, o.Steps)
		wantEnd := snapshot(unbroken)
		wantFile := finished(t, unbroken)
		for _, stop := range []int{0, 1, 2, 5, 8, 9} {
			name := fmt.Sprintf("%d held-out windows, stopped after step %d", len(heldOut), stop)
			first := openRun(t, path, heldOut, o)
			got := doSteps(t, first, stop)
			saved := tempFile(t, "run")
			if err := first.Save(saved, dataHash); err != nil {
				t.Fatal(err)
			}
			second := openRun(t, path, heldOut, o)
			if err := second.Restore(saved, dataHash); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			same(t, name+": restored", snapshot(second), snapshot(first))
			got = append(got, doSteps(t, second, o.Steps-stop)...)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: metrics %+v, want %+v", name, got, want)
			}
			same(t, name+": at the end", snapshot(second), wantEnd)
			if stop == 5 && finished(t, second) != wantFile {
				t.Errorf("%s: the result is not the same file", name)
			}
		}
	}
}

// finished is the bytes of a run's result.
func finished(t *testing.T, tr *Trainer) string {
	t.Helper()
	if err := tr.Finish(t.Context(), dataHash); err != nil {
		t.Fatal(err)
	}
	path := tempFile(t, "result")
	if err := tr.elastic.WriteAdapter(path, false); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Saving does not disturb a run, and the same state gives the same bytes.
func TestSaveIsRepeatable(t *testing.T) {
	tr := openRun(t, elasticFile(t), heldOutWindows(1), runOptions())
	doSteps(t, tr, 3)
	before, path := snapshot(tr), tempFile(t, "run")
	var files []string
	for range 2 {
		if err := tr.Save(path, dataHash); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, string(data))
	}
	if files[0] != files[1] {
		t.Error("saving twice gave different bytes")
	}
	same(t, "after saving", snapshot(tr), before)
}

// refused checks that a trainer does not take a saved run and stays as it was.
func refused(t *testing.T, name string, tr *Trainer, path, hash string, want error) {
	t.Helper()
	before := snapshot(tr)
	err := tr.Restore(path, hash)
	switch {
	case err == nil:
		t.Errorf("%s: restored", name)
	case want != nil && !errors.Is(err, want):
		t.Errorf("%s: got error %v, want %v", name, err, want)
	case !strings.HasPrefix(err.Error(), "distill: "):
		t.Errorf("%s: the error %q does not say where it comes from", name, err)
	}
	same(t, name+": after the refusal", snapshot(tr), before)
}

func TestRestoreRefusesAnotherRun(t *testing.T) {
	path, saved := elasticFile(t), tempFile(t, "run")
	o := runOptions()
	o.Validate, o.BudgetLow = 2, 0.7 // within reach of one layer's selectors
	tr := openRun(t, path, heldOutWindows(1), o)
	doSteps(t, tr, 3)
	if err := tr.Save(saved, dataHash); err != nil {
		t.Fatal(err)
	}
	for name, set := range map[string]func(o *Options){
		"steps": func(o *Options) { o.Steps++ }, "batch": func(o *Options) { o.Batch++ }, "context": func(o *Options) { o.Context++ },
		"rate": func(o *Options) { o.LearningRate *= 2 }, "warm-up": func(o *Options) { o.Warmup++ }, "decay": func(o *Options) { o.WeightDecay++ },
		"clip": func(o *Options) { o.Clip++ }, "loss": func(o *Options) { o.Loss = ForwardKL }, "temperature": func(o *Options) { o.Temperature++ },
		"least budget": func(o *Options) { o.BudgetLow = 0.8 }, "highest budget": func(o *Options) { o.BudgetHigh = 0.9 },
		"weight of budgets": func(o *Options) { o.BudgetWeight++ }, "gradient": func(o *Options) { o.Dense = !o.Dense }, "balance": func(o *Options) { o.Balance++ }, "BCE": func(o *Options) { o.BCE++ },
		"validation": func(o *Options) { o.Validate++ }, "seed": func(o *Options) { o.Seed++ }, "precision": func(o *Options) { o.Precision = "bf16" },
	} {
		other := o
		set(&other)
		refused(t, "other "+name, openRun(t, path, heldOutWindows(1), other), saved, dataHash, ErrMismatch)
	}
	if fields := reflect.TypeFor[Options]().NumField(); fields != 19 {
		t.Errorf("%d options are stored, 19 of them are tested here and in TestRestoreRefusesOtherAugmentation", fields)
	}
	refused(t, "other data", openRun(t, path, heldOutWindows(1), o), saved, "another hash", ErrMismatch)
	refused(t, "other held-out data", openRun(t, path, heldOutWindows(2), o), saved, dataHash, ErrMismatch)
	refused(t, "no held-out data", openRun(t, path, nil, o), saved, dataHash, ErrMismatch)

	shape := tiny
	shape.Seed = 1
	f, m := modeltest.Open(t, shape)
	refused(t, "other base", newTrainer(t, m, attach(t, f, m, allSelectors(2, 6)), heldOutWindows(1), o), saved, dataHash, ErrMismatch)

	f, m = modeltest.Open(t, tiny)
	for name, set := range map[string]func(a *routing.Options){
		"fewer selectors": func(a *routing.Options) { a.Selectors = a.Selectors[:2] },
		"more experts":    func(a *routing.Options) { a.Experts = 12 },
		"one layer":       func(a *routing.Options) { a.Layers = a.Layers[:1] },
		"no compensation": func(a *routing.Options) { a.Compensation = false },
		"another rank":    func(a *routing.Options) { a.LoRARank = 3 },
		"less LoRA":       func(a *routing.Options) { a.LoRAOn = a.LoRAOn[1:] },
	} {
		a := allSelectors(2, 6)
		set(&a)
		lesser := newTrainer(t, m, attach(t, f, m, a), heldOutWindows(1), o)
		refused(t, name, lesser, saved, dataHash, ErrMismatch)
		ofLesser := tempFile(t, "run")
		if err := lesser.Save(ofLesser, dataHash); err != nil {
			t.Fatal(err)
		}
		refused(t, "a run of "+name, openRun(t, path, heldOutWindows(1), o), ofLesser, dataHash, ErrMismatch)
	}
}

// savedRun saves a run of a few steps and starts another like it.
func savedRun(t *testing.T) (saved string, done, fresh *Trainer) {
	t.Helper()
	path := elasticFile(t)
	o := runOptions()
	o.Validate = 1
	done, fresh = openRun(t, path, heldOutWindows(1), o), openRun(t, path, heldOutWindows(1), o)
	doSteps(t, done, 2)
	saved = tempFile(t, "run")
	if err := done.Save(saved, dataHash); err != nil {
		t.Fatal(err)
	}
	return saved, done, fresh
}

func TestRestoreRefusesDamagedFiles(t *testing.T) {
	saved, done, fresh := savedRun(t)
	dir := t.TempDir()
	refused(t, "no file", fresh, filepath.Join(dir, "none"), dataHash, fs.ErrNotExist)
	refused(t, "a checkpoint", fresh, elasticFile(t), dataHash, gguf.ErrKeyMissing)

	data, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 3, 20, 300, len(data) / 2, len(data) - 40} {
		cut := filepath.Join(dir, "cut")
		if err := os.WriteFile(cut, data[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, fmt.Sprintf("%d of %d bytes", n, len(data)), fresh, cut, dataHash, gguf.ErrFormat)
	}
	if err := fresh.Restore(saved, dataHash); err != nil {
		t.Errorf("the sound file: %v", err)
	}
	same(t, "restored", snapshot(fresh), snapshot(done))
}

func TestRestoreRefusesDamagedKeys(t *testing.T) {
	saved, done, fresh := savedRun(t)
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	weight := routing.KeyPrefix + key(0, routing.Heads, "weight")
	all := 0
	for _, p := range done.params {
		all += len(p.Data)
	}
	with := func(bad float32, n int) []float32 {
		x := make([]float32, n)
		x[n-1] = bad
		return x
	}
	for _, tt := range []struct {
		key   string
		value any // nil: without the key
		want  error
	}{
		{keyStep, nil, gguf.ErrKeyMissing},
		{keyStep, "two", gguf.ErrKeyType},
		{keyStep, int32(-1), gguf.ErrKeyRange},
		{keyStep, uint64(done.Options.Steps + 1), gguf.ErrKeyRange},
		{keyStep, uint64(math.MaxUint64), gguf.ErrKeyRange},
		{keyOptions, nil, gguf.ErrKeyMissing},
		{keyOptions, uint32(1), gguf.ErrKeyType},
		{keyData, nil, gguf.ErrKeyMissing},
		{keyHeldOut, nil, gguf.ErrKeyMissing},
		{keyMoment + "1", nil, gguf.ErrKeyMissing},
		{keyMoment + "2", with(0, all-1), ErrMismatch},
		{keyMoment + "2", with(0, all+1), ErrMismatch},
		{keyMoment + "1", with(nan, all), gguf.ErrKeyRange},
		{keyBestDistance, "good", gguf.ErrKeyType},
		{keyBest, nil, gguf.ErrKeyMissing},
		{keyBest, with(inf, all), gguf.ErrKeyRange},
		{weight, nil, ErrMismatch},
		{weight, with(0, 3), ErrMismatch},
		{weight, []string{"a"}, gguf.ErrKeyType},
		{weight, with(nan, 4*16), gguf.ErrKeyRange},
	} {
		bad := altered(t, saved, tt.key, tt.value)
		refused(t, fmt.Sprintf("%s set to %.20s", tt.key, fmt.Sprint(tt.value)), fresh, bad, dataHash, tt.want)
	}
}

// altered copies a file with another value of one key, or without it.
func altered(t *testing.T, path, key string, value any) string {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, ok := f.Value(key); !ok {
		t.Fatalf("the saved run has no key %q", key)
	}
	w := gguf.NewWriter()
	w.CopyKeys(f, func(k string) bool { return k != key })
	if value != nil {
		if err := w.Set(key, value); err != nil {
			t.Fatal(err)
		}
	}
	bad := tempFile(t, "altered")
	if err := w.WriteFile(bad, false); err != nil {
		t.Fatal(err)
	}
	return bad
}

// Saving where it cannot be done leaves what was there, and nothing beside it.
func TestFailedSave(t *testing.T) {
	tr := openRun(t, elasticFile(t), nil, runOptions())
	dir := t.TempDir()
	if err := tr.Save(filepath.Join(dir, "none", "run"), dataHash); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("into no directory: got error %v, want %v", err, fs.ErrNotExist)
	}
	if err := os.Mkdir(filepath.Join(dir, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := tr.Save(filepath.Join(dir, "run"), dataHash); err == nil {
		t.Error("a directory was replaced")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// Variables that make the test binary a process to be killed.
const (
	envElastic = "DISTILL_TEST_ELASTIC"
	envRun     = "DISTILL_TEST_RUN"
)

// killedOptions are a run of many steps, saved after each.
func killedOptions() Options {
	o := runOptions()
	o.Steps, o.Batch, o.Context, o.Validate = 60, 2, 8, 5
	return o
}

// TestKilledProcess is not a test of its own: TestKilledRun starts it. It continues the
// run, saves after every step and says so, until it is killed.
func TestKilledProcess(t *testing.T) {
	path, run := os.Getenv(envElastic), os.Getenv(envRun)
	if path == "" {
		t.Skip("started by TestKilledRun alone")
	}
	tr := openRun(t, path, heldOutWindows(1), killedOptions())
	if err := tr.Restore(run, dataHash); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for !tr.Done() {
		doSteps(t, tr, 1)
		// Most of the time goes into saving, so that is where most kills fall.
		for range 20 {
			if err := tr.Save(run, dataHash); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Println("saved", tr.Steps())
	}
}

// A run killed again and again, mostly in the middle of saving, loses no step that was
// saved and ends as the unbroken run does.
func TestKilledRun(t *testing.T) {
	path, run := elasticFile(t), tempFile(t, "run")
	unbroken := openRun(t, path, heldOutWindows(1), killedOptions())
	doSteps(t, unbroken, killedOptions().Steps)

	reached := 0
	for range 6 {
		saved := runAndKill(t, path, run, time.Duration(rand.IntN(30_000))*time.Microsecond)
		tr := openRun(t, path, heldOutWindows(1), killedOptions())
		if err := tr.Restore(run, dataHash); err != nil {
			t.Fatalf("killed after step %d was saved: %v", saved, err)
		}
		if tr.Steps() < saved || tr.Steps() < reached {
			t.Fatalf("killed after step %d was saved: restored step %d after %d", saved, tr.Steps(), reached)
		}
		reached = tr.Steps()
	}
	tr := openRun(t, path, heldOutWindows(1), killedOptions())
	if err := tr.Restore(run, dataHash); err != nil {
		t.Fatal(err)
	}
	t.Logf("killed six times, the last time at step %d", tr.Steps())
	doSteps(t, tr, killedOptions().Steps-tr.Steps())
	same(t, "at the end", snapshot(tr), snapshot(unbroken))
}

// runAndKill continues the run in another process and kills it some time after its
// first step. It returns the last step that the process said it had saved.
func runAndKill(t *testing.T, path, run string, after time.Duration) (saved int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledProcess$")
	cmd.Env = append(slices.Clone(os.Environ()), envElastic+"="+path, envRun+"="+run)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if n, err := fmt.Sscanf(lines.Text(), "saved %d", &saved); n != 1 || err != nil {
			continue
		}
		if !killed {
			killed = true
			time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		}
	}
	if err := cmd.Wait(); err == nil && saved < killedOptions().Steps {
		t.Errorf("the process ended by itself after step %d", saved)
	}
	if !killed {
		t.Fatal("the process never saved")
	}
	return saved
}
