//go:build unix

package gguf

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncDir makes a new name in dir survive a crash. Some file systems cannot sync a directory and say so with EINVAL or
// ENOTSUP; a directory that may not be listed cannot be opened. In these cases there is nothing to be done.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, os.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, d.Close())
}
