//go:build !unix

package gguf

import (
	"errors"
	"os"
)

// mapFile is for systems with a map; here files are read.
func mapFile(*os.File, int64) (source, error) { return nil, errors.ErrUnsupported }
