package simd

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// int8Types are the formats beside the GGUF types they are packed from.
var int8Types = []struct {
	format Int8Format
	kind   gguf.Type
}{{Int8Q8, gguf.TypeQ8_0}, {Int8Q4, gguf.TypeQ4_0}}

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

// encodeInt8 makes a random weight (outs, 32·blocks): its values as the codec decodes them,
// and its panels.
func encodeInt8(t testing.TB, r *rand.Rand, f Int8Format, kind gguf.Type, outs, blocks int) (values []float32, panels []byte) {
	t.Helper()
	codec, err := kind.Codec()
	if err != nil {
		t.Fatal(err)
	}
	values = normal(r, outs*blocks*Int8Len)
	values[0] = -1e3 // a level at the end of the range: -127 of Q8_0, -8 of Q4_0
	raw := make([]byte, outs*blocks*codec.BlockBytes())
	codec.Encode(raw, values)
	if kind == gguf.TypeQ8_0 {
		raw[2] = 0x80 // -128, which no encoder writes but a file may hold
	}
	codec.Decode(values, raw)
	size, rowBytes := blocks*f.BlockBytes(), blocks*codec.BlockBytes()
	for o := 0; o < outs; o += PanelWidth {
		panel := make([]byte, size)
		PackInt8(f, panel, raw[o*rowBytes:min(outs, o+PanelWidth)*rowBytes])
		panels = append(panels, panel...)
	}
	return values, panels
}

func quantiseRows(x []float32) []Int8Block {
	q := make([]Int8Block, len(x)/Int8Len)
	QuantiseInt8(q, x)
	return q
}

func equalFloat(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
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
				for _, q := range test.q {
					want.Offset -= 128 * int32(q)
				}
				if got.Q != want.Q || got.Offset != want.Offset || !equalFloat(got.Scale, want.Scale) {
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
					if g.Q != w.Q || g.Offset != w.Offset || !equalFloat(g.Scale, w.Scale) {
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

// Packed weights are the tensor's, element by element.
func TestPackInt8(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const blocks = 3
	for _, kind := range int8Types {
		for _, outs := range []int{1, 5, 16} {
			values, panel := encodeInt8(t, r, kind.format, kind.kind, outs, blocks)
			if len(panel) != PanelWidth*blocks*int(kind.kind.BlockBytes()) {
				t.Fatalf("%v: %d bytes are not those of the file's blocks", kind.kind, len(panel))
			}
			for o := range PanelWidth {
				for i := range blocks * Int8Len {
					var x Int8Block
					x.Q[i%Int8Len], x.Offset = 1, -128
					dot, scale := int8Dot(kind.format, &x, panel[i/Int8Len*kind.format.BlockBytes():], o)
					var want float32
					if o < outs {
						want = values[o*blocks*Int8Len+i]
					}
					if got := float32(dot) * scale; got != want {
						t.Fatalf("%v: output %d, input %d: got %v, want %v", kind.kind, o, i, got, want)
					}
				}
			}
		}
	}
}

// The twin against the definition in float64, on values decoded by the codec.
func TestMulInt8Definition(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	const rows, outs, blocks = 3, 21, 5
	for _, kind := range int8Types {
		values, panels := encodeInt8(t, r, kind.format, kind.kind, outs, blocks)
		p := product(r, kind.format, rows, outs, blocks, panels)
		atLevel(Generic, func() { MulInt8(p) })
		for i := range rows {
			for o := range outs {
				var want, size float64
				for b, x := range p.X[i*p.XStride:][:blocks] {
					for j, q := range x.Q {
						v := float64(x.Scale) * float64(q) * float64(values[(o*blocks+b)*Int8Len+j])
						want, size = want+v, size+math.Abs(v)
					}
				}
				got := float64(p.Dst[p.Rows[i]+o])
				if math.Abs(got-want) > 1e-6*size {
					t.Errorf("%v: row %d, output %d: got %v, want %v", kind.kind, i, o, got, want)
				}
			}
		}
	}
}

// product sets up a product with random activations, rows in a shuffled order and room
// around everything.
func product(r *rand.Rand, f Int8Format, rows, outs, blocks int, panels []byte) *Int8Product {
	p := &Int8Product{Format: f, Blocks: blocks, XStride: blocks + 1, W: panels, WStride: blocks * f.BlockBytes(), Outputs: outs}
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
	for _, kind := range int8Types {
		for _, rows := range []int{0, 1, 2, 3, 4, 5, 6, 7, 11, 13} {
			for _, outs := range []int{0, 1, 15, 16, 17, 32, 33, 48, 64, 65, 79, 96, 144} {
				for _, blocks := range []int{0, 1, 2, 7} {
					_, panels := encodeInt8(t, r, kind.format, kind.kind, max(1, outs), max(1, blocks))
					p := product(r, kind.format, rows, outs, blocks, panels)
					p.Add = r.IntN(2) == 0
					checkLevels(t, p, fmt.Sprintf("%v: %d rows, %d outputs, %d blocks", kind.kind, rows, outs, blocks))
				}
			}
		}
	}
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
	for _, kind := range int8Types {
		for _, w := range []byte{0x00, 0xff} { // -128 and 127, -8 and 7
			panels := make([]byte, 2*kind.format.BlockBytes())
			for i := range panels {
				panels[i] = w
			}
			for b := range 2 {
				scales := panels[(b+1)*kind.format.BlockBytes()-int8ScaleBytes:]
				for o := range PanelWidth {
					scales[2*o], scales[2*o+1] = 0x00, 0x3c // 1
				}
			}
			for _, q := range []int8{-127, 127} {
				x := Int8Block{Scale: 1, Offset: -128 * Int8Len * int32(q)}
				for i := range x.Q {
					x.Q[i] = q
				}
				p := &Int8Product{Format: kind.format, Blocks: 2, X: []Int8Block{x, x}, W: panels,
					Dst: make([]float32, PanelWidth), Rows: []int{0}, Outputs: PanelWidth}
				checkLevels(t, p, fmt.Sprintf("%v: %#x by %d", kind.kind, w, q))
				weight := float32(int8(w ^ 0x80))
				if kind.format == Int8Q4 {
					weight = float32(int(w&15) - 8)
				}
				if want := 2 * Int8Len * float32(q) * weight; p.Dst[0] != want {
					t.Errorf("%v: %#x by %d: got %v, want %v", kind.kind, w, q, p.Dst[0], want)
				}
			}
		}
	}
}

// Scales that are not finite make the outputs they belong to so, and no others.
func TestMulInt8NotFinite(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for _, kind := range int8Types {
		_, panels := encodeInt8(t, r, kind.format, kind.kind, 40, 2)
		scales := panels[kind.format.weightBytes():]
		scales[2*3], scales[2*3+1] = 0x00, 0x7e // a NaN for output 3
		scales[2*4], scales[2*4+1] = 0x00, 0x7c // an infinity for output 4
		p := product(r, kind.format, 7, 40, 2, panels)
		p.X[5*p.XStride].Scale = float32(math.NaN())
		checkLevels(t, p, kind.kind.String())
		for i, at := range p.Rows {
			for o, v := range p.Dst[at:][:40] {
				finite := !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0)
				if want := i != 5 && o != 3 && o != 4; finite != want {
					t.Errorf("%v: row %d, output %d: got %v, want finite: %v", kind.kind, i, o, v, want)
				}
			}
		}
	}
}

// Cut into pieces by rows, outputs or blocks, a product has the same bits.
func TestMulInt8Pieces(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	const rows, outs, blocks = 9, 80, 6
	for _, kind := range int8Types {
		_, panels := encodeInt8(t, r, kind.format, kind.kind, outs, blocks)
		whole := product(r, kind.format, rows, outs, blocks, panels)
		pieces := *whole
		pieces.Dst = make([]float32, len(whole.Dst))
		MulInt8(whole)
		for i := range rows {
			for o := 0; o < outs; o += 2 * PanelWidth {
				for b := 0; b < blocks; b += 4 {
					p := pieces
					p.Rows, p.X, p.Dst = p.Rows[i:i+1], p.X[i*p.XStride+b:], p.Dst[o:]
					p.W = p.W[o/PanelWidth*p.WStride+b*p.Format.BlockBytes():]
					p.Outputs, p.Blocks, p.Add = min(2*PanelWidth, outs-o), min(4, blocks-b), b > 0
					MulInt8(&p)
				}
			}
		}
		for _, at := range whole.Rows {
			for o, want := range whole.Dst[at : at+outs] {
				if got := pieces.Dst[at+o]; got != want {
					t.Fatalf("%v: output %d: got %v, want %v", kind.kind, o, got, want)
				}
			}
		}
	}
}

// Shapes that do not fit are refused before anything is read.
func TestInt8Refuses(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	_, panels := encodeInt8(t, r, Int8Q8, gguf.TypeQ8_0, 32, 2)
	for name, change := range map[string]func(p *Int8Product){
		"short activations": func(p *Int8Product) { p.X = p.X[:len(p.X)-2] },
		"short weights":     func(p *Int8Product) { p.W = p.W[:len(p.W)-1] },
		"short destination": func(p *Int8Product) { p.Dst = p.Dst[:len(p.Dst)-3] },
		"row before":        func(p *Int8Product) { p.Rows[1] = -1 },
		"row behind":        func(p *Int8Product) { p.Rows[0] = len(p.Dst) },
		"negative stride":   func(p *Int8Product) { p.XStride = -1 },
		"too many outputs":  func(p *Int8Product) { p.Outputs = 33 },
	} {
		p := product(r, Int8Q8, 3, 32, 2, panels)
		change(p)
		mustPanic(t, name, func() { MulInt8(p) })
	}
	mustPanic(t, "quantise", func() { QuantiseInt8(make([]Int8Block, 2), make([]float32, 63)) })
	mustPanic(t, "half a block", func() { PackInt8(Int8Q8, make([]byte, 543), nil) })
	mustPanic(t, "17 rows", func() { PackInt8(Int8Q4, make([]byte, 288), make([]byte, 17*18)) })
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
