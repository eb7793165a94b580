package main

import "os"

// main maps errors to exit codes and does nothing else.
func main() {
	std := streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	args := os.Args[1:]
	err := execute(args, std)
	if err != nil {
		printError(std.err, err, wantsJSON(args))
	}
	os.Exit(kindOf(err).exitCode())
}
