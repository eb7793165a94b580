package dataset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/elastiformer/elastiformer/pkg/picture"
)

// plain is a preprocessing that keeps the values of pictures of 4×4.
var plain = &picture.Preprocessing{
	Channels: 3, Size: 4, Mode: picture.ModeExact, ResizeSize: 4, Filter: picture.Bilinear,
	Mean: []float32{0, 0, 0}, Std: []float32{1, 1, 1},
}

// sixPictures makes a set of six pictures, of which the first value is their index / 255.
func sixPictures(t testing.TB) *Images {
	t.Helper()
	var paths []string
	for i := range 6 {
		paths = append(paths, fmt.Sprintf("%d.png", i))
	}
	pictures(t, paths...)
	s, err := ImageOptions{}.Open(t.Context(), ".")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// reds returns which pictures a batch holds.
func reds(batch [][]float32) (indices []int) {
	for _, pixels := range batch {
		indices = append(indices, int(pixels[0]*255+0.5))
	}
	return indices
}

func pairs(step int) []int { return []int{(2 * step) % 6, (2*step + 1) % 6} }

func TestLoaderBatches(t *testing.T) {
	l := NewLoader(t.Context(), sixPictures(t), plain, pairs)
	defer l.Close()
	for _, step := range []int{0, 1, 2, 3, 1, 1, 7, 0} { // on, back, again, ahead
		batch, err := l.Batch(step)
		if err != nil {
			t.Fatal(err)
		}
		if got := reds(batch); !slices.Equal(got, pairs(step)) {
			t.Errorf("step %d holds pictures %d, want %d", step, got, pairs(step))
		}
		if len(batch[0]) != 3*4*4 {
			t.Errorf("step %d: a picture has %d values, want 48", step, len(batch[0]))
		}
	}
}

// The next batch is complete before anybody asks for it, and no further one is begun.
func TestLoaderDecodesAhead(t *testing.T) {
	var asked []int
	l := NewLoader(t.Context(), sixPictures(t), plain, func(step int) []int {
		asked = append(asked, step)
		return pairs(step)
	})
	defer l.Close()
	if _, err := l.Batch(0); err != nil {
		t.Fatal(err)
	}
	select { // this goroutine computes on the batch meanwhile
	case <-l.ahead.done:
	case <-time.After(10 * time.Second):
		t.Fatal("the next batch is not decoded in the background")
	}
	ahead := l.ahead.pixels
	if !slices.Equal(asked, []int{0, 1}) {
		t.Errorf("after step 0 the pictures of steps %d were asked for, want 0 and 1", asked)
	}
	batch, err := l.Batch(1)
	if err != nil {
		t.Fatal(err)
	}
	if &batch[0][0] != &ahead[0][0] {
		t.Error("the batch that was decoded ahead is not the one returned")
	}
}

func TestLoaderErrors(t *testing.T) {
	s := sixPictures(t)
	for _, name := range []string{"3.png", "2.png"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := NewLoader(t.Context(), s, plain, pairs)
	defer l.Close()
	if _, err := l.Batch(0); err != nil {
		t.Fatal(err)
	}
	for range 2 { // decoded ahead and on demand
		_, err := l.Batch(1)
		var bad *ImageError
		if !errors.As(err, &bad) || bad.File != "2.png" {
			t.Errorf("Batch = %v, want an error of the first bad picture, 2.png", err)
		}
	}
	if batch, err := l.Batch(2); err != nil || !slices.Equal(reds(batch), []int{4, 5}) {
		t.Errorf("after an error: %d, %v, want pictures 4 and 5", reds(batch), err)
	}
}

func TestLoaderStops(t *testing.T) {
	s := sixPictures(t)
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancelCause(t.Context())
	many := func(int) []int { return slices.Repeat([]int{0, 1, 2, 3, 4, 5}, 50) }
	for range 3 {
		l := NewLoader(ctx, s, plain, many)
		if _, err := l.Batch(0); err != nil {
			t.Fatal(err)
		}
		l.Close()
		l.Close()
	}
	stop := errors.New("stop")
	l := NewLoader(ctx, s, plain, many)
	cancel(stop)
	if _, err := l.Batch(0); !errors.Is(err, stop) {
		t.Errorf("Batch = %v, want the cause why the context ended", err)
	}
	l.Close()
	for until := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(until) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

func TestShuffled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed, n := rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 20).Draw(t, "n")
		batch, epochs := rapid.IntRange(1, 30).Draw(t, "batch"), 3
		order := Shuffled(seed, n, batch)
		var all []int
		for step := 0; len(all) < epochs*n; step++ {
			indices := order(step)
			if len(indices) != batch {
				t.Fatalf("step %d has %d pictures, want %d", step, len(indices), batch)
			}
			if again := Shuffled(seed, n, batch)(step); !slices.Equal(again, indices) {
				t.Fatalf("step %d is %d and then %d", step, indices, again)
			}
			all = append(all, indices...)
		}
		for epoch := range epochs {
			for i, index := range slices.Sorted(slices.Values(all[epoch*n : (epoch+1)*n])) {
				if i != index {
					t.Fatalf("epoch %d is %d, no permutation", epoch, all[epoch*n:(epoch+1)*n])
				}
			}
		}
	})
	if a, b := Shuffled(1, 100, 100)(0), Shuffled(2, 100, 100)(0); slices.Equal(a, b) {
		t.Error("the seed does not change the order")
	}
	if order := Shuffled(1, 100, 100); slices.Equal(order(0), order(1)) {
		t.Error("both epochs have the same order")
	}
}
