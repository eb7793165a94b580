package dataset

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// TestCheckFooter: what is written by the library passes, and every cut of it, or a list that claims more than there is,
// does not.
func TestCheckFooter(t *testing.T) {
	meta := format.FileMetaData{
		Schema:           []format.SchemaElement{{Name: "root"}, {Name: "text"}},
		RowGroups:        slices.Repeat([]format.RowGroup{{NumRows: math.MaxInt64, Columns: make([]format.ColumnChunk, 2)}}, 20),
		KeyValueMetadata: []format.KeyValue{{Key: "writer", Value: "test"}},
	}
	sound, err := thrift.Marshal(new(thrift.CompactProtocol), &meta)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkFooter(sound); err != nil {
		t.Errorf("sound metadata: %v", err)
	}
	for n := range sound {
		if err := checkFooter(sound[:n]); !errors.Is(err, errFooter) {
			t.Errorf("%d of %d bytes: got %v, want errFooter", n, len(sound), err)
		}
	}
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0x07} // 2³¹−1
	for name, b := range map[string][]byte{
		"list of 2³¹−1 structs": append(append([]byte{0x29, 0xfc}, huge...), 0),
		"list of 2³¹−1 bytes":   append(append([]byte{0x19, 0xf3}, huge...), 0),
		"string of 2³¹−1 bytes": append(append([]byte{0x18}, huge...), 0),
		"map of 2³¹−1 pairs":    append(append([]byte{0x1b}, huge...), 0x33, 0),
		"unknown type":          {0x1d, 0},
		"length without an end": {0x18, 0x80},
		"lists without an end":  append([]byte{0x19}, slices.Repeat([]byte{0x19}, 100)...),
		"nothing":               {},
	} {
		if err := checkFooter(b); !errors.Is(err, errFooter) {
			t.Errorf("%s: got %v, want errFooter", name, err)
		}
	}
}
