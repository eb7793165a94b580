package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// inspection is what inspect tells about a file, in the shape of its JSON document.
type inspection struct {
	Schema    int           `json:"schema"`
	File      string        `json:"file"`
	Version   uint32        `json:"version"`
	Alignment uint64        `json:"alignment"`
	Bytes     int64         `json:"bytes"`
	Parts     []partEntry   `json:"parts,omitempty"` // only of a set of files
	Keys      []keyEntry    `json:"keys"`
	Types     []typeEntry   `json:"types"`
	Model     *modelEntry   `json:"model,omitempty"`
	Plan      *planEntry    `json:"plan,omitempty"` // only if asked for
	Elastic   *elasticEntry `json:"elastic,omitempty"`
	Verify    *verifyEntry  `json:"verify,omitempty"`  // only if asked for
	Tensors   []tensorEntry `json:"tensors,omitempty"` // only if asked for
}

// keyEntry is one key. Length is there for arrays; Value is the whole value, Head the start of a long array instead.
type keyEntry struct {
	Key    string `json:"key"`
	Type   string `json:"type"`
	Length *int   `json:"length,omitempty"`
	Value  any    `json:"value,omitempty"`
	Head   any    `json:"head,omitempty"`

	text string // for people
}

// typeEntry sums up the tensors of one type.
type typeEntry struct {
	Type     string `json:"type"`
	Tensors  int    `json:"tensors"`
	Elements uint64 `json:"elements"`
	Bytes    uint64 `json:"bytes"`
}

// partEntry is one file of a set.
type partEntry struct {
	File    string `json:"file"`
	Bytes   int64  `json:"bytes"`
	Tensors int    `json:"tensors"`
}

// tensorEntry is one tensor. Dims are as stored, the fastest first; Offset counts from the start of the data section of its
// file, which is number Part of a set, from 1, or 0 if there is but one.
type tensorEntry struct {
	Name   string   `json:"name"`
	Type   string   `json:"type"`
	Dims   []uint64 `json:"dims"`
	Bytes  uint64   `json:"bytes"`
	Offset uint64   `json:"offset"`
	Part   int      `json:"part,omitempty"`
}

// describeFile collects everything inspect shows.
func describeFile(f *gguf.File, tensors bool) inspection {
	doc := inspection{
		Schema:    schemaVersion,
		File:      f.Path(),
		Version:   f.Version(),
		Alignment: f.Alignment(),
		Bytes:     f.Size(),
		Keys:      describeKeys(f),
		Types:     describeTypes(f),
	}
	parts := f.Parts()
	for i, p := range parts {
		number := 0
		if len(parts) > 1 {
			number = i + 1
			doc.Parts = append(doc.Parts, partEntry{p.Path(), p.Size(), len(p.Tensors())})
		}
		if !tensors {
			continue
		}
		for _, t := range p.Tensors() {
			doc.Tensors = append(doc.Tensors, tensorEntry{t.Name, t.Type.String(), t.Dims, t.Bytes, t.Offset, number})
		}
	}
	return doc
}

func describeKeys(f *gguf.File) []keyEntry {
	entries := []keyEntry{}
	for _, key := range f.Keys() {
		v, _ := f.Value(key)
		entries = append(entries, describeKey(key, v))
	}
	return entries
}

// Arrays of more than longArray elements (a vocabulary) show only headElements of them in JSON.
const (
	longArray    = 64
	headElements = 8
)

func describeKey(key string, v gguf.Value) keyEntry {
	e := keyEntry{Key: key, Type: v.Type.String(), text: v.String()}
	if v.Type != gguf.ValueArray {
		e.Value = jsonable(v.Any(), v.Type)
		return e
	}
	e.Type = fmt.Sprintf("array of %v", v.Elem)
	length := v.Len()
	e.Length = &length
	switch all := v.Any().(type) {
	case []string:
		setElements(&e, all, v.Elem)
	case []any:
		setElements(&e, all, v.Elem)
	}
	return e
}

func setElements[T any](e *keyEntry, all []T, t gguf.ValueType) {
	if len(all) > longArray {
		e.Head = jsonable(all[:headElements], t)
		return
	}
	e.Value = jsonable(all, t)
}

// jsonable makes a value of type t, or a slice of them, fit for JSON: what JSON has no number for becomes null, and a
// float32 is printed with the digits it needs, not with those of a float64.
func jsonable(v any, t gguf.ValueType) any {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		if t == gguf.ValueFloat32 {
			return float32(v)
		}
	case []any:
		out := make([]any, len(v))
		for i, element := range v {
			out[i] = jsonable(element, t)
		}
		return out
	}
	return v
}

// describeTypes sums up the tensors by type, the largest share of the file first.
func describeTypes(f *gguf.File) []typeEntry {
	types := []typeEntry{}
	for _, t := range f.Tensors() {
		name := t.Type.String()
		i := slices.IndexFunc(types, func(e typeEntry) bool { return e.Type == name })
		if i < 0 {
			i = len(types)
			types = append(types, typeEntry{Type: name})
		}
		types[i].Tensors++
		types[i].Elements += t.Elements()
		types[i].Bytes += t.Bytes
	}
	slices.SortStableFunc(types, func(a, b typeEntry) int {
		switch {
		case a.Bytes > b.Bytes:
			return -1
		case a.Bytes < b.Bytes:
			return 1
		}
		return 0
	})
	return types
}

// writeText prints the report for people, one part after the other.
func (d inspection) writeText(w io.Writer) error {
	buffered := bufio.NewWriter(w) // keeps the first error until Flush
	for i, part := range []func(io.Writer){d.writeHead, d.writeKeys, d.writeTypes, d.writeModel, d.writePlan, d.writeElastic, d.writeVerify, d.writeTensors} {
		var b strings.Builder
		part(&b)
		if i > 0 && b.Len() > 0 {
			fmt.Fprintln(buffered)
		}
		_, _ = buffered.WriteString(b.String())
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	return nil
}

func (d inspection) writeHead(w io.Writer) {
	fmt.Fprintf(w, "%s: GGUF version %d, alignment %d, %s\n", printable(d.File), d.Version, d.Alignment, byteSize(uint64(d.Bytes)))
	if len(d.Parts) == 0 {
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range d.Parts {
		fmt.Fprintf(table, "  %s\t%d tensors\t%s\n", printable(p.File), p.Tensors, byteSize(uint64(p.Bytes)))
	}
	_ = table.Flush()
}

func (d inspection) writeKeys(w io.Writer) {
	fmt.Fprintf(w, "KEYS (%d)\n", len(d.Keys))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, k := range d.Keys {
		fmt.Fprintf(table, "  %s\t%s\t%s\n", printable(k.Key), k.Type, k.text)
	}
	_ = table.Flush() // w keeps its own errors
}

func (d inspection) writeTypes(w io.Writer) {
	var total typeEntry
	for _, t := range d.Types {
		total.Tensors += t.Tensors
		total.Elements += t.Elements
		total.Bytes += t.Bytes
	}
	fmt.Fprintf(w, "TENSORS (%d)\n", total.Tensors)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "  type\ttensors\telements\tbytes\t\n")
	for _, t := range d.Types {
		fmt.Fprintf(table, "  %s\t%d\t%d\t%d\t\n", t.Type, t.Tensors, t.Elements, t.Bytes)
	}
	fmt.Fprintf(table, "  total\t%d\t%d\t%d\t\n", total.Tensors, total.Elements, total.Bytes)
	_ = table.Flush()
}

func (d inspection) writeTensors(w io.Writer) {
	if len(d.Tensors) == 0 {
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "NAME\tTYPE\tDIMENSIONS\tBYTES\tOFFSET")
	if len(d.Parts) > 0 {
		fmt.Fprintf(table, "\tPART")
	}
	fmt.Fprintln(table)
	for _, t := range d.Tensors {
		dims := strings.Trim(strings.ReplaceAll(fmt.Sprint(t.Dims), " ", " × "), "[]")
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d", printable(t.Name), t.Type, dims, t.Bytes, t.Offset)
		if len(d.Parts) > 0 {
			fmt.Fprintf(table, "\t%d", t.Part)
		}
		fmt.Fprintln(table)
	}
	_ = table.Flush()
}

// byteSize rounds a size to the unit in which it has one to four digits before the point.
func byteSize(n uint64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	value, unit := float64(n), 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}
