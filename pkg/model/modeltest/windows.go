package modeltest

import (
	"math/rand/v2"

	"github.com/elastiformer/elastiformer/pkg/model"
)

// Windows draws token ids: n windows of the given length.
func Windows(r *rand.Rand, m *model.Model, n, length int) [][]int32 {
	out := make([][]int32, n)
	for i := range out {
		for range length {
			out[i] = append(out[i], int32(r.IntN(m.Vocabulary)))
		}
	}
	return out
}
