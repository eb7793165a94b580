package simd

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/elastiformer/elastiformer/internal/blocktest"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// int8Formats calls f for the formats that products of integers take.
func int8Formats(f func(format Blocks, kind gguf.Type)) {
	for b := range blockFormats {
		if b.Int8() {
			f(b, blockTypes[b])
		}
	}
}

// vectorLevels are the levels above plain Go that this processor has.
func vectorLevels() []Level {
	var l []Level
	for level := AVX2; level <= Best(); level++ {
		l = append(l, level)
	}
	return l
}

// atLevel runs f at a level.
func atLevel(l Level, f func()) {
	defer Use(Use(l))
	f()
}

func normal(r *rand.Rand, n int) []float32 {
	x := make([]float32, n) // (n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// packed is a weight (outs, 32·blocks) in panels, and its values as the codec decodes them.
type packed struct {
	values []float32
	panels []byte
	blocks int
}

// encodeInt8 makes a random weight of at least so many blocks, and one that a product may
// leave out.
func encodeInt8(t testing.TB, r *rand.Rand, f Blocks, outs, blocks int) packed {
	t.Helper()
	codec, err := blockTypes[f].Codec()
	if err != nil {
		t.Fatal(err)
	}
	per := codec.BlockLen() / Int8Len
	w := packed{blocks: (blocks+per-1)/per*per + per}
	w.values = make([]float32, outs*w.blocks*Int8Len)
	raw := blocktest.Blocks(r, blockTypes[f], len(w.values))
	codec.Decode(w.values, raw)
	rowBytes := len(raw) / outs
	for o := 0; o < outs; o += PanelWidth {
		panel := make([]byte, f.Int8Bytes(w.blocks))
		f.PackInt8(panel, raw[o*rowBytes:min(outs, o+PanelWidth)*rowBytes], w.blocks)
		w.panels = append(w.panels, panel...)
	}
	return w
}

func quantiseRows(x []float32) []Int8Block {
	q := make([]Int8Block, len(x)/Int8Len)
	QuantiseInt8(q, x)
	return q
}

func equalFloat(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

// equalBlock compares bits, all NaN being one.
func equalBlock(a, b Int8Block) bool {
	return a.Q == b.Q && a.Offset == b.Offset && a.HalfOffsets == b.HalfOffsets && equalFloat(a.Scale, b.Scale) && equalFloat(a.Sum, b.Sum)
}

// Activations at the borders of what the quantisation distinguishes.
func TestQuantiseInt8(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	tests := []struct {
		name  string
		x     [Int8Len]float32
		scale float32
		q     [Int8Len]int8
	}{
		{name: "zero"},
		{name: "scale 1, halves to even", x: [Int8Len]float32{127, 0.5, -0.5, 1.5, -2.5, 2.51, -126.5, 31: -127}, scale: 1,
			q: [Int8Len]int8{127, 0, 0, 2, -2, 3, -126, 31: -127}},
		{name: "last is largest", x: [Int8Len]float32{0: 1, 15: -3, 16: 2, 31: -254}, scale: 2,
			q: [Int8Len]int8{0: 0, 15: -2, 16: 1, 31: -127}},
		{name: "too small to divide by", x: [Int8Len]float32{4: 1e-38}, scale: 1e-38 / float32(127)},
		{name: "largest", x: [Int8Len]float32{math.MaxFloat32, -math.MaxFloat32 / 4}, scale: math.MaxFloat32 / float32(127),
			q: [Int8Len]int8{127, -32}},
		{name: "infinite", x: [Int8Len]float32{7: 5, 9: -inf}, scale: nan},
		{name: "not a number", x: [Int8Len]float32{7: 5, 30: nan}, scale: nan},
	}
	for level := Generic; level <= Best(); level++ {
		atLevel(level, func() {
			for _, test := range tests {
				got := quantiseRows(test.x[:])[0]
				want := Int8Block{Q: test.q, Scale: test.scale}
				for i, q := range test.q {
					want.Offset -= 128 * int32(q)
					want.HalfOffsets[i/16] -= 128 * int32(q)
					want.Sum += float32(q)
				}
				if want.Sum != 0 {
					want.Sum *= want.Scale
				}
				if !equalBlock(got, want) {
					t.Errorf("%v: %s: got %v, want %v", level, test.name, got, want)
				}
			}
		})
	}
}

// Every level quantises to the same bits, writes its blocks and nothing beside them.
func TestQuantiseInt8Levels(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	guard := Int8Block{Scale: 42}
	for blocks := range 40 {
		x := normal(r, blocks*Int8Len+16)[blocks%16:][:blocks*Int8Len]
		for i := range x {
			x[i] *= float32(math.Exp(r.NormFloat64() * 20)) // some blocks hold infinities and subnormals
		}
		want := make([]Int8Block, blocks)
		quantiseInt8Generic(want, x)
		for _, level := range vectorLevels() {
			atLevel(level, func() {
				got := make([]Int8Block, blocks+2)
				got[0], got[blocks+1] = guard, guard
				QuantiseInt8(got[1:blocks+1], x)
				if got[0] != guard || got[blocks+1] != guard {
					t.Fatalf("%v: %d blocks: wrote outside", level, blocks)
				}
				for i, w := range want {
					g := got[i+1]
					if !equalBlock(g, w) {
						t.Fatalf("%v: block %d: got %v, want %v", level, i, g, w)
					}
				}
			})
		}
	}
}

// Dequantised activations are within half a step of the originals.
func TestQuantiseInt8Error(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	x := normal(r, 1000*Int8Len)
	for b, q := range quantiseRows(x) {
		for i, level := range q.Q {
			want := x[b*Int8Len+i]
			if got := q.Scale * float32(level); math.Abs(float64(got-want)) > 0.50001*float64(q.Scale) {
				t.Fatalf("block %d, element %d: got %v, want %v ± %v", b, i, got, want, q.Scale/2)
			}
		}
	}
}

// Packed weights are the tensor's, element by element, in at most 1/16 more bytes than in the file.
func TestPackInt8(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	int8Formats(func(f Blocks, kind gguf.Type) {
		l := &int8Layouts[f]
		for _, outs := range []int{1, 5, 16} {
			w := encodeInt8(t, r, f, outs, 3)
			if file := PanelWidth * w.blocks * Int8Len / int(kind.BlockLen()) * int(kind.BlockBytes()); len(w.panels) > file+file/16 {
				t.Errorf("%v: %d bytes for %d in the file", kind, len(w.panels), file)
			}
			for o := range PanelWidth {
				for i := range w.blocks * Int8Len {
					at, first := f.Int8At(i / Int8Len)
					super := w.panels[at:]
					block := super[l.superBytes()+first*l.blockBytes():]
					scale, offset := l.scales(super, block[l.levelBytes():], i%Int8Len*l.parts()/Int8Len, o)
					got := float32(scale*float32(l.weight(block, i%Int8Len, o))) + offset
					var want float32
					if o < outs {
						want = w.values[o*w.blocks*Int8Len+i]
					}
					if got != want {
						t.Fatalf("%v: output %d, input %d: got %v, want %v", kind, o, i, got, want)
					}
				}
			}
		}
	})
}

// The twin against the definition in float64, on values decoded by the codec.
func TestMulInt8Definition(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	const rows, outs, blocks = 3, 21, 13
	int8Formats(func(f Blocks, kind gguf.Type) {
		w := encodeInt8(t, r, f, outs, blocks)
		p := product(r, f, rows, outs, blocks, w)
		atLevel(Generic, func() { MulInt8(p) })
		for i := range rows {
			for o := range outs {
				var want, size float64
				for b, x := range p.X[i*p.XStride:][:blocks] {
					for j, q := range x.Q {
						v := float64(x.Scale) * float64(q) * float64(w.values[(o*w.blocks+p.First+b)*Int8Len+j])
						want, size = want+v, size+math.Abs(v)
					}
				}
				got := float64(p.Dst[p.Rows[i]+o])
				if math.Abs(got-want) > 2e-6*size {
					t.Errorf("%v: row %d, output %d: got %v, want %v", kind, i, o, got, want)
				}
			}
		}
	})
}

// product sets up a product with random activations, rows in a shuffled order, room around
// everything and a part of a super-block left out.
func product(r *rand.Rand, f Blocks, rows, outs, blocks int, w packed) *Int8Product {
	p := &Int8Product{Format: f, Blocks: blocks, XStride: blocks + 1, W: w.panels, WStride: f.Int8Bytes(w.blocks), Outputs: outs}
	p.First = r.IntN(f.int8SuperBlocks())
	p.X = quantiseRows(normal(r, rows*p.XStride*Int8Len))
	p.Dst = normal(r, 3+rows*(outs+2))
	for _, i := range r.Perm(rows) {
		p.Rows = append(p.Rows, 3+i*(outs+2))
	}
	return p
}

// Every level gives the twin's bits for every shape, from zero and from what is there, and
// writes nothing else.
func TestMulInt8Levels(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	int8Formats(func(f Blocks, kind gguf.Type) {
		for _, outs := range []int{0, 1, 15, 16, 17, 32, 33, 48, 64, 65, 79, 96, 144} {
			w := encodeInt8(t, r, f, max(1, outs), 20)
			for _, rows := range []int{0, 1, 2, 3, 4, 5, 6, 7, 11, 13} {
				blocks := []int{0, 1, 2, 7, 19}[r.IntN(5)]
				p := product(r, f, rows, outs, blocks, w)
				p.Add = r.IntN(2) == 0
				checkLevels(t, p, fmt.Sprintf("%v: %d rows, %d outputs, %d blocks from %d on", kind, rows, outs, blocks, p.First))
			}
		}
	})
}

// checkLevels compares the product at every level with the twin's.
func checkLevels(t *testing.T, p *Int8Product, name string) {
	t.Helper()
	before := p.Dst
	want := append([]float32(nil), before...)
	p.Dst = want
	atLevel(Generic, func() { MulInt8(p) })
	for _, level := range vectorLevels() {
		got := append([]float32(nil), before...)
		p.Dst = got
		atLevel(level, func() { MulInt8(p) })
		for i := range want {
			if !equalFloat(got[i], want[i]) {
				t.Fatalf("%v: %s: element %d: got %v, want %v", level, name, i, got[i], want[i])
			}
		}
	}
}

// The ends of both ranges meet: no sum of products may saturate.
func TestMulInt8Extremes(t *testing.T) {
	int8Formats(func(f Blocks, kind gguf.Type) {
		l := &int8Layouts[f]
		for _, bits := range []byte{0x00, 0xff} { // the lowest level and the highest
			panels := onePanel(f, bits)
			for _, q := range []int8{-127, 127} {
				half := -128 * Int8Len / 2 * int32(q)
				x := Int8Block{Scale: 1, Offset: 2 * half, HalfOffsets: [2]int32{half, half}, Sum: float32(q) * Int8Len}
				for i := range x.Q {
					x.Q[i] = q
				}
				p := &Int8Product{Format: f, Blocks: 2, X: []Int8Block{x, x}, W: panels,
					Dst: make([]float32, PanelWidth), Rows: []int{0}, Outputs: PanelWidth}
				checkLevels(t, p, fmt.Sprintf("%v: %#x by %d", kind, bits, q))
				level := int(bits) & (1<<l.bits() - 1)
				weight := level - int(l.centre())
				if l.table != nil {
					weight = int(l.table[level])
				}
				if want := 2 * Int8Len * float32(q) * float32(weight); p.Dst[0] != want {
					t.Errorf("%v: %#x by %d: got %v, want %v", kind, bits, q, p.Dst[0], want)
				}
			}
		}
	})
}

// onePanel is two blocks of a panel with all bits of levels as given, scales of 1 and offsets
// of 0.
func onePanel(f Blocks, bits byte) []byte {
	l := &int8Layouts[f]
	panel := make([]byte, f.Int8Bytes(2))
	halves := func(b []byte) {
		for o := range PanelWidth {
			b[2*o], b[2*o+1] = 0x00, 0x3c // 1
		}
	}
	if l.superBytes() > 0 {
		halves(panel)
	}
	for n := range 2 {
		block := panel[l.superBytes()+n*l.blockBytes():]
		for i := range l.levelBytes() {
			block[i] = bits
		}
		scales := block[l.levelBytes():]
		if l.superBytes() == 0 {
			halves(scales)
			continue
		}
		for i := range l.parts() * PanelWidth {
			scales[i] = 1
		}
	}
	return panel
}

// Scales that are not finite make the outputs they belong to so, and no others.
func TestMulInt8NotFinite(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	int8Formats(func(f Blocks, kind gguf.Type) {
		w := encodeInt8(t, r, f, 40, 2)
		scales := w.panels // of the first super-block, or the first block
		if int8Layouts[f].superBytes() == 0 {
			scales = scales[int8Layouts[f].levelBytes():]
		}
		scales[2*3], scales[2*3+1] = 0x00, 0x7e // a NaN for output 3
		scales[2*4], scales[2*4+1] = 0x00, 0x7c // an infinity for output 4
		p := product(r, f, 7, 40, 2, w)
		p.X[5*p.XStride].Scale = float32(math.NaN())
		checkLevels(t, p, kind.String())
		for i, at := range p.Rows {
			for o, v := range p.Dst[at:][:40] {
				finite := !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0)
				if want := i != 5 && o != 3 && o != 4; finite != want {
					t.Errorf("%v: row %d, output %d: got %v, want finite: %v", kind, i, o, v, want)
				}
			}
		}
	})
}

// Cut into pieces by rows, outputs or blocks, a product has the same bits.
func TestMulInt8Pieces(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	const rows, outs, blocks = 9, 80, 14
	int8Formats(func(f Blocks, kind gguf.Type) {
		whole := product(r, f, rows, outs, blocks, encodeInt8(t, r, f, outs, blocks))
		pieces := *whole
		pieces.Dst = make([]float32, len(whole.Dst))
		MulInt8(whole)
		for i := range rows {
			for o := 0; o < outs; o += 2 * PanelWidth {
				for b := 0; b < blocks; b += 4 {
					p := pieces
					p.Rows, p.X, p.Dst = p.Rows[i:i+1], p.X[i*p.XStride+b:], p.Dst[o:]
					at, first := f.Int8At(whole.First + b)
					p.W, p.First = p.W[o/PanelWidth*p.WStride+at:], first
					p.Outputs, p.Blocks, p.Add = min(2*PanelWidth, outs-o), min(4, blocks-b), b > 0
					MulInt8(&p)
				}
			}
		}
		for _, at := range whole.Rows {
			for o, want := range whole.Dst[at : at+outs] {
				if got := pieces.Dst[at+o]; got != want {
					t.Fatalf("%v: output %d: got %v, want %v", kind, o, got, want)
				}
			}
		}
	})
}

// Shapes that do not fit are refused before anything is read.
func TestInt8Refuses(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	for _, f := range []Blocks{Q8, Q4K} {
		w := encodeInt8(t, r, f, 32, 2)
		for name, change := range map[string]func(p *Int8Product){
			"short activations": func(p *Int8Product) { p.X = p.X[:len(p.X)-2] },
			"short weights":     func(p *Int8Product) { p.W = p.W[:p.WStride+f.Int8Bytes(p.First+p.Blocks)-1] },
			"short destination": func(p *Int8Product) { p.Dst = p.Dst[:len(p.Dst)-3] },
			"row before":        func(p *Int8Product) { p.Rows[1] = -1 },
			"row behind":        func(p *Int8Product) { p.Rows[0] = len(p.Dst) },
			"negative stride":   func(p *Int8Product) { p.XStride = -1 },
			"too many outputs":  func(p *Int8Product) { p.Outputs = 33 },
			"another block":     func(p *Int8Product) { p.First = f.int8SuperBlocks() },
			"a block before":    func(p *Int8Product) { p.First = -1 },
		} {
			p := product(r, f, 3, 32, 2, w)
			change(p)
			mustPanic(t, fmt.Sprint(f, name), func() { MulInt8(p) })
		}
	}
	mustPanic(t, "quantise", func() { QuantiseInt8(make([]Int8Block, 2), make([]float32, 63)) })
	mustPanic(t, "half a block", func() { Q8.PackInt8(make([]byte, 543), make([]byte, 34), 1) })
	mustPanic(t, "half a super-block", func() { Q4K.PackInt8(make([]byte, Q4K.Int8Bytes(4)), nil, 4) })
	mustPanic(t, "17 rows", func() { Q4.PackInt8(make([]byte, 288), make([]byte, 17*18), 1) })
}

func mustPanic(t *testing.T, name string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: accepted", name)
		}
	}()
	f()
}

// The fused multiply-add against exact arithmetic, at sums just beside a tie above all.
func TestFusedMulAdd(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 18))
	exact := func(v float32) *big.Float { return new(big.Float).SetPrec(2000).SetFloat64(float64(v)) }
	check := func(x, y, z float32) {
		t.Helper()
		product := new(big.Float).SetPrec(2000).Mul(exact(x), exact(y))
		want, _ := product.Add(product, exact(z)).Float32()
		if got := fusedMulAdd(x, y, z); got != want {
			t.Fatalf("%v·%v + %v: got %v, want %v", x, y, z, got, want)
		}
	}
	for range 100_000 {
		x, y := float32(r.IntN(1<<24))*0x1p-20, float32(r.IntN(1<<24)-1<<23)
		z := float32(r.NormFloat64() * math.Pow(2, float64(r.IntN(80)-40)))
		check(x, y, z)
		check(x, y, -float32(float64(x)*float64(y)))
	}
	tie := float32(1 + 0x1p-23)
	check(0x1p-12, 0x1p-12, 1)                // a tie: down to even
	check(0x1p-12, 0x1p-12, tie)              // a tie: up to even
	check(0x1p-12, 0x1p-12*(1+0x1p-23), 1)    // just above it
	check(0x1.000002p-30, -0x1p-30, tie)      // far below the last bit
	check(0x1.fffffep-25, 0x1.fffffep-1, 1)   // just below a tie
	check(-0x1.fffffep-60, 0x1p-60, 0x1p-149) // subnormal
}
