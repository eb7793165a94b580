package gguf

import (
	"testing"

	parser "github.com/gpustack/gguf-parser-go"
)

// The table of block formats against the one of another reader, which was copied from ggml separately.
func TestLayouts(t *testing.T) {
	removed := map[Type]bool{4: true, 5: true, 31: true, 32: true, 33: true, 36: true, 37: true, 38: true}
	for typ := range Type(64) {
		l, ok := typ.layout()
		trait, known := parser.GGMLType(typ).Trait()
		if removed[typ] {
			known = false
		}
		if ok != known {
			t.Errorf("type %d: known %v, by the other reader %v", typ, ok, known)
			continue
		}
		if ok && (l.elems != trait.BlockSize || l.bytes != trait.TypeSize || l.name != parser.GGMLType(typ).String()) {
			t.Errorf("type %d: got %+v, other reader %v %+v", typ, l, parser.GGMLType(typ), trait)
		}
		if typ.BlockLen() != l.elems || typ.BlockBytes() != l.bytes {
			t.Errorf("type %d: BlockLen %d, BlockBytes %d, want %d, %d", typ, typ.BlockLen(), typ.BlockBytes(), l.elems, l.bytes)
		}
	}
	for typ, want := range map[Type]string{TypeQ8_0: "Q8_0", 5: "type 5", 1 << 31: "type 2147483648"} {
		if got := typ.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
