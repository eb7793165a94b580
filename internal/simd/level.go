package simd

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
)

// Level is a set of instructions the package has code for. Higher includes lower.
type Level int32

// The levels.
const (
	Generic Level = iota // plain Go
	AVX2                 // AVX2 and FMA3: 8 floats at a time
	AVX512               // AVX-512 F, BW, DQ, VL and VNNI: 16 floats at a time
)

var levelNames = [...]string{Generic: "generic", AVX2: "avx2", AVX512: "avx512"}

// String is the name the environment variable takes.
func (l Level) String() string { return levelNames[l] }

// Name is the architecture with the level in use, such as amd64-avx512.
func Name() string { return runtime.GOARCH + "-" + Current().String() }

// environment lowers the level.
const environment = "ELASTIFORMER_SIMD"

var (
	best    = detect()
	current atomic.Int32
)

func init() {
	l, err := requested(os.Getenv(environment))
	if err != nil {
		fmt.Fprintln(os.Stderr, "warning:", err)
	}
	current.Store(int32(l))
}

// requested is the level named by the environment, never above the best. An unknown
// name is an error beside the best level.
func requested(name string) (Level, error) {
	if name == "" {
		return best, nil
	}
	for l, known := range levelNames {
		if name == known {
			return min(Level(l), best), nil
		}
	}
	return best, fmt.Errorf("%s=%s is not known (one of %v): using %s", environment, name, levelNames, best)
}

// Best is the highest level of this processor.
func Best() Level { return best }

// Current is the level in use.
func Current() Level { return Level(current.Load()) }

// Use changes the level, for tests and benchmarks that compare them, and returns the one
// before. It must not run beside other calls of the package, and takes none above Best.
func Use(l Level) (before Level) { return Level(current.Swap(int32(min(l, best)))) }
