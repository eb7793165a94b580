package eval

import (
	"bytes"
	"os"
	"strconv"
)

// peakRSS is the most memory the process has had resident, in bytes, 0 if that is not
// known. The line is "VmHWM:   12345 kB". Unlike getrusage it does not count what the
// parent had when it started this process.
func peakRSS() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		if fields := bytes.Fields(line); len(fields) == 3 && string(fields[0]) == "VmHWM:" {
			kb, err := strconv.ParseInt(string(fields[1]), 10, 64)
			if err != nil {
				return 0
			}
			return kb << 10
		}
	}
	return 0
}
