package model

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/tape"
)

// Positions of patches at other sizes are those of PyTorch, see testdata/README.md; those of
// special tokens stay what they are, and registers have none.
func TestPositionsInterpolated(t *testing.T) {
	data, err := os.ReadFile("testdata/bicubic.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Side, Height, Width int
		Table               []float32 // (Side², 2)
		Want                []float64 // (Height·Width, 2)
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Fatal("no cases")
	}
	const width = 2
	class := []float32{100, -100}
	var worst float64
	for _, c := range cases {
		for _, registers := range []int{0, 2} {
			m := Encoder{Vision: VisionConfig{ImageSize: c.Side, PatchSize: 1, Registers: registers}}
			m.Width, m.Special = width, 1+registers
			m.Positions = tape.NewConst(1+c.Side*c.Side, width, slices.Concat(class, c.Table))
			got := m.Vision.positions(tape.New(false), m.Positions, m.Special, c.Height, c.Width)
			if want := m.Special + c.Height*c.Width; got.Rows != want || got.Cols != width {
				t.Fatalf("%+v: %d rows of %d, want %d of %d", c, got.Rows, got.Cols, want, width)
			}
			special := slices.Concat(class, make([]float32, registers*width))
			if !slices.Equal(got.Data[:len(special)], special) {
				t.Errorf("special tokens: got %v, want %v", got.Data[:len(special)], special)
			}
			for i, want := range c.Want {
				worst = max(worst, math.Abs(float64(got.Data[len(special)+i])-want))
			}
		}
	}
	if !(worst < 2e-6) { // values up to 5 in float32
		t.Errorf("off by %v", worst)
	}
	t.Logf("off by %.2g at most", worst)
}

// At the size they were trained for, positions are those of the file to the last bit.
func TestPositionsUnchanged(t *testing.T) {
	table := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	m := Encoder{Vision: VisionConfig{ImageSize: 2, PatchSize: 1}}
	m.Width, m.Special = 2, 1
	m.Positions = tape.NewConst(5, 2, table)
	if got := m.Vision.positions(tape.New(false), m.Positions, m.Special, 2, 2); !slices.Equal(got.Data, table) {
		t.Errorf("got %v, want %v", got.Data, table)
	}
	m.Special, m.Vision.Registers = 2, 1
	if got, want := m.Vision.positions(tape.New(false), m.Positions, m.Special, 2, 2).Data, slices.Concat(table[:2], []float32{0, 0}, table[2:]); !slices.Equal(got, want) {
		t.Errorf("with a register: got %v, want %v", got, want)
	}
}
