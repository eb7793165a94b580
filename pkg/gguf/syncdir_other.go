//go:build !unix

package gguf

// syncDir is for systems where directories can be synced; elsewhere the file system keeps them in order itself.
func syncDir(string) error { return nil }
