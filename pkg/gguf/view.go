package gguf

import (
	"encoding/binary"
	"unsafe"
)

// littleEndian tells whether this machine stores numbers as GGUF files do.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// Float32s returns the elements of F32 tensor data. Where the machine allows it the result is a view of b itself and
// costs nothing; it must then not be written to (b may be a read-only map) nor used after b's file is closed. Where it
// does not, because of byte order or because b does not start at a multiple of four bytes, the result is a decoded copy.
// len(b) must be a multiple of 4.
func Float32s(b []byte) []float32 {
	if len(b)%4 != 0 {
		panic("gguf: Float32s: length is not a multiple of 4")
	}
	if len(b) == 0 {
		return nil
	}
	start := unsafe.Pointer(unsafe.SliceData(b))
	if littleEndian && uintptr(start)%unsafe.Alignof(float32(0)) == 0 {
		// The one place where bytes are reinterpreted. It is sound because the memory holds len(b)/4 whole float32 in
		// this machine's byte order, starts at an address a float32 may have, and every bit pattern is a float32. The
		// slice made here keeps b's memory alive if the garbage collector owns it.
		return unsafe.Slice((*float32)(start), len(b)/4)
	}
	x := make([]float32, len(b)/4)
	codecF32{}.Decode(x, b)
	return x
}
