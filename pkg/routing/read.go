package routing

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
)

// Read reads the elastic keys of a checkpoint or adapter for a model of the given
// shape and blockLen (as in Attach). The errors wrap ErrNotElastic or ErrStored, or
// come from the file's typed getters.
func Read(f *gguf.File, c model.Config, blockLen int) (*Elastic, error) {
	r, err := newReader(f)
	if err != nil {
		return nil, err
	}
	o := r.options()
	hash := r.string("base.sha256")
	if r.err != nil {
		return nil, fmt.Errorf("routing: %w", r.err)
	}
	e, err := Attach(c, blockLen, o)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStored, err)
	}
	e.BaseHash = hash
	for _, p := range e.Parameters() {
		copy(p.Data, r.floats(p.Name, len(p.Data)))
	}
	r.plan(e)
	r.calibration(e)
	e.Training = r.training()
	e.Table = r.table()
	if r.err != nil {
		return nil, fmt.Errorf("routing: %w", r.err)
	}
	return e, nil
}

// Summary is what a file says of its elastic part, whatever model it belongs to.
type Summary struct {
	Options
	BaseHash string
	Training *Training // nil while untrained
	Table    *Table    // nil before it was measured
}

// Summarise reads the elastic keys that need no model to be understood. The errors are
// those of Read.
func Summarise(f *gguf.File) (*Summary, error) {
	r, err := newReader(f)
	if err != nil {
		return nil, err
	}
	s := &Summary{Options: r.options(), BaseHash: r.string("base.sha256"), Training: r.training(), Table: r.table()}
	if r.err != nil {
		return nil, fmt.Errorf("routing: %w", r.err)
	}
	return s, nil
}

// newReader checks that a file has elastic keys of the version known here.
func newReader(f *gguf.File) (*reader, error) {
	if _, ok := f.Value(KeyPrefix + "version"); !ok {
		return nil, fmt.Errorf("routing: %s: %w", f.Path(), ErrNotElastic)
	}
	r := &reader{file: f}
	if v := r.uint("version"); r.err == nil && v != FormatVersion {
		return nil, fmt.Errorf("routing: %s: format version %d, this program reads %d: %w", f.Path(), v, FormatVersion, ErrStored)
	}
	return r, nil
}

// reader reads elastic keys and keeps the first error.
type reader struct {
	file *gguf.File
	err  error
}

func (r *reader) fail(key string, err error) {
	if r.err == nil {
		r.err = fmt.Errorf("key %q: %w", KeyPrefix+key, err)
	}
}

func (r *reader) has(key string) bool {
	_, ok := r.file.Value(KeyPrefix + key)
	return ok
}

// read fetches a key through one of the file's getters, whose errors name the key.
func read[T any](r *reader, key string, get func(string) (T, error)) T {
	v, err := get(KeyPrefix + key)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("%w: %w", ErrStored, err)
	}
	return v
}

func (r *reader) uint(key string) uint64   { return read(r, key, r.file.Uint) }
func (r *reader) string(key string) string { return read(r, key, r.file.String) }

// floats reads exactly n finite floats.
func (r *reader) floats(key string, n int) []float32 {
	v := read(r, key, r.file.Floats)
	if r.err != nil {
		return nil
	}
	if len(v) != n {
		r.fail(key, fmt.Errorf("%d values instead of %d: %w", len(v), n, ErrStored))
		return nil
	}
	if !finite(v) {
		r.fail(key, fmt.Errorf("not finite: %w", ErrStored))
	}
	return v
}

func (r *reader) options() Options {
	var o Options
	var err error
	if o.Selectors, err = ParseSelectors(read(r, "selectors", r.file.Strings)); err != nil {
		r.fail("selectors", errors.Join(err, ErrStored))
	}
	if o.LoRAOn, err = ParseProjections(read(r, "lora.projections", r.file.Strings)); err != nil {
		r.fail("lora.projections", errors.Join(err, ErrStored))
	}
	for _, l := range read(r, "layers", r.file.Uints) {
		o.Layers = append(o.Layers, int(min(l, 1<<31-1)))
	}
	if !slices.IsSorted(o.Layers) || len(slices.Compact(slices.Clone(o.Layers))) != len(o.Layers) {
		r.fail("layers", fmt.Errorf("not ascending: %w", ErrStored))
	}
	o.Experts = int(min(r.uint("experts"), 1<<31-1))
	if o.Experts == 0 && slices.Contains(o.Selectors, Experts) {
		r.fail("experts", fmt.Errorf("none to choose from: %w", ErrStored))
	}
	o.Compensation = read(r, "compensation", r.file.Bool)
	o.LoRARank = int(min(r.uint("lora.rank"), 1<<31-1))
	return o
}

// set reads a set of selectors, each attached.
func (r *reader) set(key, name string, e *Elastic) []Selector {
	on, err := ParseSelectors(strings.Split(name, ","))
	if err != nil || slices.ContainsFunc(on, func(s Selector) bool { return !slices.Contains(e.Selectors, s) }) {
		r.fail(key, errors.Join(fmt.Errorf("set %q: %w", name, ErrStored), err))
	}
	return on
}

func (r *reader) plan(e *Elastic) {
	if r.err != nil || !r.has("plan.budgets") {
		return
	}
	budgets := read(r, "plan.budgets", r.file.Floats)
	sets := read(r, "plan.selectors", r.file.Strings)
	if r.err == nil && len(sets) != len(budgets) {
		r.fail("plan.selectors", fmt.Errorf("%d sets for %d budgets: %w", len(sets), len(budgets), ErrStored))
	}
	for i, set := range sets {
		if r.err != nil {
			return
		}
		on := r.set("plan.selectors", set, e)
		if b := budgets[i]; !(b > 0 && b < 1) || i > 0 && b <= budgets[i-1] {
			r.fail("plan.budgets", fmt.Errorf("not ascending within (0, 1): %w", ErrStored))
			return
		}
		e.Plan.Add(decimal(budgets[i]), on)
	}
	if r.has("plan.capacities") {
		r.learned(e)
	}
}

// learned reads what each layer keeps at each budget of the plan.
func (r *reader) learned(e *Elastic) {
	values := r.floats("plan.capacities", len(e.Plan.Budgets)*e.Config.Layers*int(Selectors))
	if r.err != nil {
		return
	}
	if !e.CanLearn() {
		r.fail("plan.capacities", fmt.Errorf("for a language model: %w", ErrStored))
	}
	for range e.Plan.Budgets {
		layers := make([][Selectors]float64, e.Config.Layers)
		for l := range layers {
			for sel := range Selectors {
				v := values[0]
				values = values[1:]
				if !(v > 0 && v <= 1) || v < 1 && e.layers[l].routers[sel] == nil {
					r.fail("plan.capacities", fmt.Errorf("%v for %v in layer %d: %w", v, sel, l, ErrStored))
				}
				layers[l][sel] = decimal(v)
			}
		}
		e.Plan.Learned = append(e.Plan.Learned, layers)
	}
}

func (r *reader) calibration(e *Elastic) {
	if r.err != nil || !r.has("threshold.capacities") {
		return
	}
	capacities := read(r, "threshold.capacities", r.file.Floats)
	sets := read(r, "threshold.selectors", r.file.Strings)
	values := r.floats("threshold.values", len(capacities)*e.Config.Layers*2)
	if r.err == nil && len(sets) != len(capacities) {
		r.fail("threshold.selectors", fmt.Errorf("%d sets for %d capacities: %w", len(sets), len(capacities), ErrStored))
	}
	if r.err != nil {
		return
	}
	for i, v := range capacities {
		on := r.set("threshold.selectors", sets[i], e)
		if !(v > 0 && v < 1) || i > 0 && sets[i] == sets[i-1] && v <= capacities[i-1] {
			r.fail("threshold.capacities", fmt.Errorf("not ascending within (0, 1): %w", ErrStored))
			return
		}
		layers := make([][2]float32, e.Config.Layers)
		for l := range layers {
			at := (i*e.Config.Layers + l) * 2
			layers[l] = [2]float32{values[at], values[at+1]}
		}
		e.Calibration.add(on, decimal(v), layers)
	}
}

func (r *reader) training() *Training {
	if !r.has("train.steps") {
		return nil
	}
	return &Training{
		Steps:          int(min(r.uint("train.steps"), 1<<31-1)),
		Seed:           r.uint("train.seed"),
		Options:        r.string("train.options"),
		DataHash:       r.string("train.data.sha256"),
		InstructionSet: r.string("train.instruction_set"),
	}
}

func (r *reader) table() *Table {
	if !r.has("table.context") {
		return nil
	}
	t := &Table{Context: int(min(r.uint("table.context"), 1<<31-1))}
	t.Rows = make([]TableRow, len(read(r, "table.budget", r.file.Floats)))
	for i, v := range r.floats("table.budget", len(t.Rows)) {
		t.Rows[i].Budget = decimal(v)
	}
	for i, v := range r.floats("table.compute", len(t.Rows)) {
		t.Rows[i].Compute = decimal(v)
	}
	for i, column := range tableColumns {
		// A model without classes has neither KL nor agreement, but a cosine.
		if !r.has("table."+column) && (column == "cosine" || !r.has("table.kl") && !r.has("table.agreement") && r.has("table.cosine")) {
			continue
		}
		for j, v := range r.floats("table."+column, len(t.Rows)) {
			measured := decimal(v)
			*t.Rows[j].column(i) = &measured
		}
	}
	return t
}

// decimal is the float64 that prints as v does: 0.6 comes back as 0.6.
func decimal(v float32) float64 {
	f, err := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
	if err != nil {
		return float64(v)
	}
	return f
}
