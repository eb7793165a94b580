package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/elastiformer/elastiformer/pkg/distill"
)

// trainLog writes one JSON document per step. A nil log writes nothing.
type trainLog struct{ file *os.File }

// openTrainLog starts a log, or continues one behind the given step: what an interrupted run wrote after its last saving
// is dropped, because those steps are done again.
func openTrainLog(path string, step int) (*trainLog, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	old, err := io.ReadAll(f)
	kept := int64(len(upToStep(old, step)))
	if err == nil {
		err = f.Truncate(kept)
	}
	if err == nil {
		_, err = f.Seek(kept, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("log: %w", err), f.Close())
	}
	return &trainLog{f}, nil
}

// isTrainLog tells whether a file is a log of steps, or empty: what a run that continues may write over.
func isTrainLog(path string) bool {
	data, err := os.ReadFile(path)
	return err == nil && (len(data) == 0 || len(upToStep(data, math.MaxInt)) > 0)
}

// upToStep returns the leading lines of a log that are whole and belong to the first steps.
func upToStep(log []byte, step int) []byte {
	kept := 0
	for line := range bytes.Lines(log) {
		var m distill.Metrics
		if json.Unmarshal(line, &m) != nil || m.Step < 1 || m.Step > step || !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		kept += len(line)
	}
	return log[:kept]
}

func (l *trainLog) write(m distill.Metrics) error {
	if l == nil {
		return nil
	}
	return writeJSON(l.file, m)
}

// Close ends the log.
func (l *trainLog) Close() error { return l.file.Close() }
