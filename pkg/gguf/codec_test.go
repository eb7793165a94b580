package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// All 65,536 half-precision numbers against the definition ±(1+f/1024)·2^(e-15), ±f/1024·2^-14 for e = 0.
func TestFloat16Decode(t *testing.T) {
	for h := range 1 << 16 {
		sign, e, f := 1-2*float64(h>>15), h>>10&31, float64(h&1023)
		var want float64
		switch {
		case e == 31 && f == 0:
			want = math.Inf(int(sign))
		case e == 31:
			want = math.NaN()
		case e == 0:
			want = sign * math.Ldexp(f, -24)
		default:
			want = sign * math.Ldexp(1024+f, e-25)
		}
		got := float64(Float16ToFloat32(uint16(h)))
		if got != want && !(math.IsNaN(got) && math.IsNaN(want)) || math.Signbit(got) != (h>>15 == 1) {
			t.Fatalf("%#04x: got %v, want %v", h, got, want)
		}
	}
}

// All 65,536 numbers of both 16-bit formats come back from their widened form; NaNs come back quiet.
func TestFloat16RoundTrip(t *testing.T) {
	for h := range 1 << 16 {
		want := uint16(h)
		if x := Float16ToFloat32(want); math.IsNaN(float64(x)) {
			want |= 1 << 9
		}
		if got := Float32ToFloat16(Float16ToFloat32(uint16(h))); got != want {
			t.Fatalf("F16 %#04x: got %#04x, want %#04x", h, got, want)
		}
		want = uint16(h)
		if x := BFloat16ToFloat32(want); math.IsNaN(float64(x)) {
			want |= 1 << 6
		}
		if got := Float32ToBFloat16(BFloat16ToFloat32(uint16(h))); got != want {
			t.Fatalf("BF16 %#04x: got %#04x, want %#04x", h, got, want)
		}
	}
}

// Between each two neighbours of a 16-bit format lies a midpoint: it goes to the even one, what is just beside it to the
// nearer one.
func TestFloat16Rounding(t *testing.T) {
	formats := []struct {
		name     string
		infinity uint16
		widen    func(uint16) float32
		narrow   func(float32) uint16
	}{
		{"F16", 0x7c00, Float16ToFloat32, Float32ToFloat16},
		{"BF16", 0x7f80, BFloat16ToFloat32, Float32ToBFloat16},
	}
	for _, format := range formats {
		for h := range format.infinity {
			low, high := float64(format.widen(h)), float64(format.widen(h+1))
			if h+1 == format.infinity { // rounds as if the next binade went on
				high = 2*low - float64(format.widen(h-1))
			}
			mid := float32((low + high) / 2)
			even := h + h&1
			for x, want := range map[float32]uint16{
				mid: even, math.Nextafter32(mid, 0): h, math.Nextafter32(mid, float32(math.Inf(1))): h + 1,
			} {
				if got := format.narrow(x); got != want {
					t.Fatalf("%s: %v between %#04x and %#04x: got %#04x, want %#04x", format.name, x, h, h+1, got, want)
				}
				if got := format.narrow(-x); got != want|0x8000 {
					t.Fatalf("%s: %v: got %#04x, want %#04x", format.name, -x, got, want|0x8000)
				}
			}
		}
	}
	if got := Float32ToFloat16(math.MaxFloat32); got != 0x7c00 {
		t.Errorf("F16 of the largest float32: got %#04x, want infinity", got)
	}
	if got := Float32ToFloat16(math.SmallestNonzeroFloat32); got != 0 {
		t.Errorf("F16 of the smallest float32: got %#04x, want 0", got)
	}
	if got := Float32ToBFloat16(math.Float32frombits(0x7fffffff)); got != 0x7fff {
		t.Errorf("BF16 of a NaN with a full payload: got %#04x, want 0x7fff", got)
	}
}

func mustCodec(t testing.TB, typ Type) Codec {
	t.Helper()
	c, err := typ.Codec()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A block by hand: the scale 0x3400 is 2^-2, so byte q stands for q/4.
func TestQ8DecodeByHand(t *testing.T) {
	block := make([]byte, q8Bytes)
	block[0], block[1] = 0x00, 0x34
	block[2], block[3], block[4], block[33] = 1, 0xff, 127, 0x80
	var got [q8Len]float32
	mustCodec(t, TypeQ8_0).Decode(got[:], block)
	want := [q8Len]float32{0: 0.25, 1: -0.25, 2: 31.75, 31: -32}
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Blocks by hand: the scale is the largest magnitude over 127 and halves go away from zero.
func TestQ8EncodeByHand(t *testing.T) {
	tests := []struct {
		name  string
		src   [q8Len]float32
		scale uint16 // half precision
		want  [q8Len]int8
	}{
		{name: "zero"},
		{
			name: "scale 1, halves away from zero", src: [q8Len]float32{127, 0.5, -0.5, 1.5, -2.5, 0.49, -126.5},
			scale: 0x3c00, want: [q8Len]int8{127, 1, -1, 2, -3, 0, -127},
		},
		{
			name: "largest is negative", src: [q8Len]float32{-254, 2, 3, 0, 253}, scale: 0x4000,
			want: [q8Len]int8{-127, 1, 2, 0, 127}, // 253/2 = 126.5 → 127
		},
		{
			// 1/127 = 0.00787402 is no half-precision number, the nearest is 0x2008, 0.00787354. Elements are divided by
			// the exact scale: 0.011811 / 0.00787402 = 1.499997 → 1, where the rounded one would give 1.500088 → 2.
			name: "scale rounded afterwards", src: [q8Len]float32{1, 0.011811, -1}, scale: 0x2008,
			want: [q8Len]int8{127, 1, -127},
		},
		{name: "too small for a scale", src: [q8Len]float32{1e-40, -1e-40}},
	}
	for _, test := range tests {
		got := make([]byte, q8Bytes)
		mustCodec(t, TypeQ8_0).Encode(got, test.src[:])
		want := binary.LittleEndian.AppendUint16(nil, test.scale)
		for _, q := range test.want {
			want = append(want, byte(q))
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got % x, want % x", test.name, got, want)
		}
	}
}

// A block by hand: the scale 0x3400 is 2^-2; byte 0 is element 0 (lower half) and element 16 (upper half).
func TestQ4DecodeByHand(t *testing.T) {
	block := make([]byte, q4Bytes)
	for i := range block {
		block[i] = 0x88 // eight above the least level: zero
	}
	block[0], block[1] = 0x00, 0x34
	block[2], block[3], block[17] = 0x0f, 0x98, 0x17
	var got [q4Len]float32
	mustCodec(t, TypeQ4_0).Decode(got[:], block)
	want := [q4Len]float32{0: 1.75, 16: -2, 17: 0.25, 15: -0.25, 31: -1.75}
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Blocks by hand: the value of largest magnitude becomes level 0, halves go up, and nothing lies above level 15.
func TestQ4EncodeByHand(t *testing.T) {
	tests := []struct {
		name  string
		src   [q4Len]float32
		scale uint16      // half precision
		want  [q4Len]byte // levels; 8 wherever the source is 0
	}{
		{name: "zero", scale: 0x8000}, // 0 / -8 is -0
		{
			name: "largest is negative", src: [q4Len]float32{-8, 7, 7.5, 8, 1, 0.5, -0.5, -0.51, -7.5, -7.51},
			scale: 0x3c00, want: [q4Len]byte{0, 15, 15, 15, 9, 9, 8, 7, 1, 0},
		},
		{
			name: "largest is positive: the scale is negative", src: [q4Len]float32{3: 16, 4: -16, 31: -14},
			scale: 0xc000, want: [q4Len]byte{4: 15, 31: 15},
		},
		{
			// 1.001/-8 = -0.125125 is no half-precision number, the nearest is 0xb001, -0.125122. Elements are divided by the
			// exact scale: 0.31281 / 0.125125 + 8.5 = 10.99998 → 10, where the rounded one would give 11.00004 → 11.
			name: "scale rounded afterwards", src: [q4Len]float32{1.001, -0.31281}, scale: 0xb001,
			want: [q4Len]byte{0, 10},
		},
		{name: "too small for a scale", src: [q4Len]float32{1e-40, -1e-40}, scale: 0x8000, want: [q4Len]byte{8, 8}},
	}
	for _, test := range tests {
		got := make([]byte, q4Bytes)
		mustCodec(t, TypeQ4_0).Encode(got, test.src[:])
		want := binary.LittleEndian.AppendUint16(nil, test.scale)
		level := func(i int) byte {
			if test.src[i] == 0 {
				return 8
			}
			return test.want[i]
		}
		for i := range q4Len / 2 {
			want = append(want, level(i)|level(i+q4Len/2)<<4)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got % x, want % x", test.name, got, want)
		}
	}
}

// Decoding what was encoded is within half a step (a whole one where 8 steps above zero are cut to 7, so beyond 7.5 each
// bit further counts), plus what rounding the scale to half precision costs: 8 steps' worth of 1/2048 of a step, or of
// half the smallest subnormal. Rounding on the way to the level moves where it changes by 2⁻²⁰ + 2⁻²¹ steps: 8 steps by
// the reciprocal and the product, the sum below 16.
func TestQ4Error(t *testing.T) {
	codec := mustCodec(t, TypeQ4_0)
	rapid.Check(t, func(t *rapid.T) {
		blocks := rapid.IntRange(0, 3).Draw(t, "blocks")
		src := rapid.SliceOfN(rapid.Float32Range(-1000, 1000), blocks*q4Len, blocks*q4Len).Draw(t, "src") // [blocks, 32]
		data := make([]byte, blocks*q4Bytes)
		codec.Encode(data, src)
		got := make([]float32, len(src)) // [blocks, 32]
		codec.Decode(got, data)
		for i, x := range src {
			var largest float64
			for _, y := range src[i/q4Len*q4Len:][:q4Len] {
				largest = max(largest, math.Abs(float64(y)))
			}
			step := largest / 8
			level := step/2 + max(0, math.Abs(float64(x))-7.5*step) + math.Ldexp(step, -19)
			scale := math.Ldexp(largest, -11) + 8*math.Ldexp(1, -25)
			bound := level + scale
			if d := math.Abs(float64(got[i]) - float64(x)); d > bound {
				t.Fatalf("element %d: got %v, want %v ± %v", i, got[i], x, bound)
			}
		}
	})
}

// Decoding what was encoded is within half a step, plus what rounding the scale to half precision costs.
func TestQ8Error(t *testing.T) {
	codec := mustCodec(t, TypeQ8_0)
	rapid.Check(t, func(t *rapid.T) {
		blocks := rapid.IntRange(0, 3).Draw(t, "blocks")
		src := rapid.SliceOfN(rapid.Float32Range(-1000, 1000), blocks*q8Len, blocks*q8Len).Draw(t, "src") // [blocks, 32]
		data := make([]byte, blocks*q8Bytes)
		codec.Encode(data, src)
		got := make([]float32, len(src)) // [blocks, 32]
		codec.Decode(got, data)
		for i, x := range src {
			var largest float64
			for _, y := range src[i/q8Len*q8Len:][:q8Len] {
				largest = max(largest, math.Abs(float64(y)))
			}
			bound := largest/254*1.0001 + largest/2048 + 127*math.Ldexp(1, -25)
			if d := math.Abs(float64(got[i]) - float64(x)); d > bound {
				t.Fatalf("element %d: got %v, want %v ± %v", i, got[i], x, bound)
			}
		}
	})
}

// What a codec decodes it encodes to the same bytes, for formats without a scale.
func TestCodecRoundTrip(t *testing.T) {
	for _, typ := range []Type{TypeF32, TypeF16, TypeBF16} {
		codec := mustCodec(t, typ)
		rapid.Check(t, func(t *rapid.T) {
			src := rapid.SliceOf(rapid.Uint16()).Draw(t, "src")
			x := make([]float32, len(src)) // [len(src)]
			for i, h := range src {
				x[i] = BFloat16ToFloat32(h &^ 0x4000) // below 2 in magnitude, so no NaN
				if typ == TypeF16 {
					x[i] = Float16ToFloat32(h &^ 0x4000)
				}
			}
			data := make([]byte, len(src)*codec.BlockBytes())
			codec.Encode(data, x)
			got := make([]float32, len(src)) // [len(src)]
			codec.Decode(got, data)
			for i := range x {
				if math.Float32bits(got[i]) != math.Float32bits(x[i]) {
					t.Fatalf("%v: got %v, want %v", typ, got[i], x[i])
				}
			}
		})
	}
}

func TestCodecMissing(t *testing.T) {
	for _, typ := range []Type{TypeQ8_K, TypeI32, 4, 999} {
		if _, err := typ.Codec(); !errors.Is(err, ErrUnsupportedType) || !strings.Contains(err.Error(), typ.String()) {
			t.Errorf("%v: got %v, want ErrUnsupportedType naming it", typ, err)
		}
	}
}

func TestCodecLengths(t *testing.T) {
	for typ, codec := range codecs {
		if l, _ := typ.layout(); uint64(codec.BlockLen()) != l.elems || uint64(codec.BlockBytes()) != l.bytes {
			t.Errorf("%v: codec has blocks of %d elements, %d bytes, table has %d, %d", typ, codec.BlockLen(),
				codec.BlockBytes(), l.elems, l.bytes)
		}
		elems, size := 2*codec.BlockLen(), 2*codec.BlockBytes()
		mustPanic(t, typ, func() { codec.Decode(make([]float32, elems), make([]byte, size-1)) })
		if codec.CanEncode() {
			mustPanic(t, typ, func() { codec.Encode(make([]byte, size+1), make([]float32, elems)) })
		} else {
			mustPanic(t, typ, func() { codec.Encode(make([]byte, size), make([]float32, elems)) })
		}
		if codec.BlockLen() > 1 {
			mustPanic(t, typ, func() { codec.Decode(make([]float32, elems-1), make([]byte, size)) })
		}
	}
}

func mustPanic(t *testing.T, what any, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%v: wrong lengths accepted", what)
		}
	}()
	f()
}

func TestFloat32s(t *testing.T) {
	want := []float32{1, -2.5, float32(math.Inf(1)), math.SmallestNonzeroFloat32} // [4]
	data := make([]byte, 4*len(want)+4)
	for shift := range 4 {
		b := data[shift:][:4*len(want)]
		codecF32{}.Encode(b, want)
		got := Float32s(b)
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("shift %d, element %d: got %v, want %v", shift, i, got[i], want[i])
			}
		}
		before := got[0]
		codecF32{}.Encode(b[:4], []float32{7})
		if isView := got[0] != before; isView != (shift == 0 && littleEndian) {
			t.Errorf("shift %d: is a view: %v", shift, isView)
		}
	}
	if got := Float32s(nil); got != nil {
		t.Errorf("of nothing: got %v", got)
	}
	mustPanic(t, "Float32s", func() { Float32s(data[:5]) })
}
