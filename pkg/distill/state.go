package distill

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/routing"
)

// ErrMismatch says that a saved run has other options, data or base than the one that
// would continue it.
var ErrMismatch = errors.New("saved run does not match")

// Keys of a saved run, beside those of an adapter.
const (
	keyStep         = routing.KeyPrefix + "state.step"
	keyOptions      = routing.KeyPrefix + "state.options"
	keyData         = routing.KeyPrefix + "state.data.sha256"
	keyHeldOut      = routing.KeyPrefix + "state.held_out.sha256"
	keyBestDistance = routing.KeyPrefix + "state.best.distance"
	keyBest         = routing.KeyPrefix + "state.best.values"
	keyMoment       = routing.KeyPrefix + "state.moment."
)

// Save writes the whole state of the run to a side-car adapter, atomically: a run
// restored from it continues bit for bit.
func (t *Trainer) Save(path, dataHash string) error {
	w := gguf.NewWriter()
	if err := t.elastic.StoreAdapter(w); err != nil {
		return fmt.Errorf("distill: %w", err)
	}
	var failed error
	set := func(key string, value any) {
		if err := w.Set(key, value); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	set(keyStep, uint64(t.step))
	set(keyOptions, t.Options.String())
	set(keyData, dataHash)
	set(keyHeldOut, t.task.HeldOutHash())
	for i := range t.moments {
		set(fmt.Sprint(keyMoment, i+1), flatten(t.moments[i]))
	}
	if t.best != nil {
		set(keyBestDistance, t.best.distance)
		set(keyBest, flatten(t.best.values))
	}
	if failed != nil {
		return fmt.Errorf("distill: %w", failed)
	}
	if err := w.WriteFile(path, true); err != nil {
		return fmt.Errorf("distill: saving the run: %w", err)
	}
	return nil
}

// Restore continues a saved run. The error wraps ErrMismatch when it was another run,
// and the trainer is then unchanged.
func (t *Trainer) Restore(path, dataHash string) (err error) {
	f, err := gguf.Open(path)
	if err != nil {
		return fmt.Errorf("distill: saved run: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for _, want := range []struct{ what, key, value string }{
		{"options", keyOptions, t.Options.String()},
		{"data", keyData, dataHash},
		{"held-out data", keyHeldOut, t.task.HeldOutHash()},
		{"base", routing.KeyPrefix + "base.sha256", t.elastic.BaseHash},
	} {
		got, err := f.String(want.key)
		if err != nil {
			return fmt.Errorf("distill: saved run: %w", err)
		}
		if got != want.value {
			return fmt.Errorf("distill: %s: other %s (%s instead of %s): %w", path, want.what, got, want.value, ErrMismatch)
		}
	}
	return t.restore(f)
}

// restore reads parameters, moments and the best so far.
func (t *Trainer) restore(f *gguf.File) error {
	step, err := f.Uint(keyStep)
	if err == nil && step > uint64(t.Options.Steps) {
		err = fmt.Errorf("key %q: step %d of %d: %w", keyStep, step, t.Options.Steps, gguf.ErrKeyRange)
	}
	if err != nil {
		return fmt.Errorf("distill: saved run: %w", err)
	}
	values := make([][]float32, len(t.params))
	for i, p := range t.params {
		if values[i], err = t.values(f, p); err != nil {
			return err
		}
	}
	var moments [2][][]float32
	for i := range moments {
		if moments[i], err = t.split(f, fmt.Sprint(keyMoment, i+1)); err != nil {
			return err
		}
	}
	kept, err := t.restoreBest(f)
	if err != nil {
		return err
	}
	for i, p := range t.params {
		copy(p.Data, values[i])
	}
	t.moments, t.best, t.step = moments, kept, int(step)
	return nil
}

// restoreBest reads the best so far, nil if there is none.
func (t *Trainer) restoreBest(f *gguf.File) (*best, error) {
	if _, ok := f.Value(keyBestDistance); !ok {
		return nil, nil
	}
	var kept best
	var err error
	if kept.distance, err = f.Float(keyBestDistance); err != nil {
		return nil, fmt.Errorf("distill: saved run: %w", err)
	}
	if kept.values, err = t.split(f, keyBest); err != nil {
		return nil, err
	}
	return &kept, nil
}

// values reads one parameter. That it is missing or of another size means that other
// selectors were trained.
func (t *Trainer) values(f *gguf.File, p routing.Parameter) ([]float32, error) {
	key := routing.KeyPrefix + p.Name
	if _, ok := f.Value(key); !ok {
		return nil, fmt.Errorf("distill: saved run: no key %q: %w", key, ErrMismatch)
	}
	v, err := floats(f, key)
	if err == nil && len(v) != len(p.Data) {
		err = fmt.Errorf("distill: saved run: key %q: %d values instead of %d: %w", key, len(v), len(p.Data), ErrMismatch)
	}
	return v, err
}

// floats reads an array of finite numbers.
func floats(f *gguf.File, key string) ([]float32, error) {
	v, err := f.Floats(key)
	if err == nil && slices.ContainsFunc(v, func(x float32) bool { return !isFinite(float64(x)) }) {
		err = fmt.Errorf("key %q: not finite: %w", key, gguf.ErrKeyRange)
	}
	if err != nil {
		return nil, fmt.Errorf("distill: saved run: %w", err)
	}
	return v, nil
}

// split reads one array that holds a value for every parameter, in order.
func (t *Trainer) split(f *gguf.File, key string) ([][]float32, error) {
	all, err := floats(f, key)
	if err != nil {
		return nil, err
	}
	out := make([][]float32, len(t.params))
	for i, p := range t.params {
		n := len(p.Data)
		if len(all) < n {
			return nil, fmt.Errorf("distill: saved run: key %q is too short: %w", key, ErrMismatch)
		}
		out[i], all = append([]float32(nil), all[:n]...), all[n:]
	}
	if len(all) > 0 {
		return nil, fmt.Errorf("distill: saved run: key %q is too long: %w", key, ErrMismatch)
	}
	return out, nil
}

func flatten(values [][]float32) []float32 {
	var out []float32
	for _, v := range values {
		out = append(out, v...)
	}
	return out
}

// hashWindows is the SHA-256, in hexadecimal, of windows of token ids.
func hashWindows(windows [][]int32) string {
	h := sha256.New()
	for _, w := range windows {
		data := binary.LittleEndian.AppendUint32(nil, uint32(len(w)))
		for _, id := range w {
			data = binary.LittleEndian.AppendUint32(data, uint32(id))
		}
		h.Write(data)
	}
	return hex.EncodeToString(h.Sum(nil))
}
