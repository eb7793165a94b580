package dataset

import (
	"fmt"
	"slices"
)

// checkContext refuses windows in which there is nothing to predict.
func checkContext(context int) error {
	if context < 2 {
		return fmt.Errorf("dataset: context of %d: a window needs at least two tokens", context)
	}
	return nil
}

// EvalWindows cuts the ids of a text into consecutive windows of context tokens,
// without overlap, and drops the rest. With addBOS the first token of each window is
// overwritten with bos, as llama-perplexity does: its prediction is not scored
// anyway. (llama-perplexity refuses a text of fewer than two windows; here one is
// enough.) Fewer tokens than one window are a [TooShortError].
//
// The windows are copies, shape (windows, context).
func EvalWindows(ids []int32, context int, bos int32, addBOS bool) ([][]int32, error) {
	if err := checkContext(context); err != nil {
		return nil, err
	}
	if len(ids) < context {
		return nil, fmt.Errorf("dataset: %w", &TooShortError{Tokens: len(ids), Needed: context})
	}
	windows := make([][]int32, 0, len(ids)/context)
	for ; len(ids) >= context; ids = ids[context:] {
		window := slices.Clone(ids[:context])
		if addBOS {
			window[0] = bos
		}
		windows = append(windows, window)
	}
	return windows, nil
}
