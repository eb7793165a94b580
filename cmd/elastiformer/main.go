package main

import (
	"os"
	"runtime/debug"
)

// garbage is how many percent of what is in use may be garbage before it is collected. What is in use is mostly weights
// and activations, a few arrays without pointers: looking through them costs next to nothing, twice their memory much.
const garbage = 20

// main maps errors to exit codes.
func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	std := streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	args := os.Args[1:]
	err := execute(args, std)
	if err != nil {
		printError(std.err, err, wantsJSON(args))
	}
	os.Exit(kindOf(err).exitCode())
}
