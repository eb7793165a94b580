package eval

import "syscall"

// peakRSS is the most memory the process has had resident, in bytes, 0 if that is not
// known. macOS counts in bytes.
func peakRSS() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return usage.Maxrss
}
