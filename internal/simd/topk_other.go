//go:build !amd64

package simd

func orderKeys(keys []int32, x []float32) { orderKeysGeneric(keys, x) }

func keyBound(keys []int32, k int) int32 { return keyBoundGeneric(keys, k) }
