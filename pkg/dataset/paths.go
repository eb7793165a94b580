package dataset

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// standardInput is the path that stands for it, inputName what errors call it.
const (
	standardInput = "-"
	inputName     = "standard input"
)

// meta are the characters that make a pattern of a path.
const meta = `*?[`

// expand returns the files that a path stands for, and those in a folder that are left
// out. A file that exists stands for itself, whatever characters its name has; a folder
// for all files below it whose name is a known one; a pattern for the files it matches.
// Both are sorted by the whole path, byte by byte.
func expand(path string, known func(name string) bool) (files, leftOut []string, err error) {
	if path == standardInput {
		return []string{path}, nil, nil
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		files, leftOut, err = walk(path, known)
	case err == nil:
		return []string{path}, nil, nil
	case strings.ContainsAny(path, meta):
		if files, err = glob(path); err == nil && len(files) == 0 {
			err = fmt.Errorf("%s: no file matches: %w", path, fs.ErrNotExist)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	slices.Sort(files)
	return slices.Compact(files), leftOut, nil
}

// walk lists the files below a folder. Hidden ones, those whose name is not known, what
// is no file and links to folders are left out: links may lead round in a circle. (Links to
// files are followed, as caches of downloads are full of them.)
func walk(folder string, known func(name string) bool) (files, leftOut []string, err error) {
	tree := os.DirFS(folder)
	err = fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path := filepath.Join(folder, filepath.FromSlash(name))
		hidden := name != "." && strings.HasPrefix(entry.Name(), ".")
		switch {
		case hidden && entry.IsDir():
			leftOut = append(leftOut, path)
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		if !hidden && known(name) && isFile(path) {
			files = append(files, path)
		} else {
			leftOut = append(leftOut, path)
		}
		return nil
	})
	return files, leftOut, err
}

// isFile tells whether a path is a regular file or a link to one.
func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// glob returns the files that match a pattern, in no particular order: * ? and [a-z] as
// in path.Match within a name, ** for any number of folders, none included. As in a
// shell, they match no dot at the beginning of a name, and ** follows no links.
func glob(pattern string) ([]string, error) {
	if _, err := filepath.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("%s: %w", pattern, err)
	}
	volume := filepath.VolumeName(pattern)
	rest := filepath.ToSlash(pattern[len(volume):])
	folder := volume
	if strings.HasPrefix(rest, "/") {
		folder += string(filepath.Separator)
	}
	var parts []string
	for part := range strings.SplitSeq(rest, "/") {
		// Two ** in a row say no more than one.
		if part != "" && (part != "**" || len(parts) == 0 || parts[len(parts)-1] != "**") {
			parts = append(parts, part)
		}
	}
	return match(folder, parts)
}

// match returns the files below a folder, "" for the current one, that the parts of a
// pattern match.
func match(folder string, parts []string) ([]string, error) {
	part, rest := parts[0], parts[1:]
	if !strings.ContainsAny(part, meta) {
		return matchOne(filepath.Join(folder, part), rest)
	}
	entries, err := os.ReadDir(cmp.Or(folder, "."))
	if err != nil {
		return nil, err
	}
	var files []string
	if part == "**" && len(rest) > 0 {
		if files, err = match(folder, rest); err != nil {
			return nil, err
		}
	}
	for _, entry := range entries {
		below, err := matchEntry(folder, entry, parts)
		if err != nil {
			return nil, err
		}
		files = append(files, below...)
	}
	return files, nil
}

// matchEntry returns the files that match in an entry of a folder.
func matchEntry(folder string, entry fs.DirEntry, parts []string) ([]string, error) {
	part, rest := parts[0], parts[1:]
	name := entry.Name()
	if strings.HasPrefix(name, ".") && !strings.HasPrefix(part, ".") {
		return nil, nil
	}
	path := filepath.Join(folder, name)
	if part == "**" {
		switch {
		case entry.IsDir():
			return match(path, parts)
		case len(rest) == 0:
			return matchOne(path, nil)
		}
		return nil, nil
	}
	if ok, err := filepath.Match(part, name); err != nil || !ok {
		return nil, err
	}
	return matchOne(path, rest)
}

// matchOne goes on at a path that matches so far: with nothing left of the pattern it
// must be a file, else a folder.
func matchOne(path string, rest []string) ([]string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil: // no such file, or a link to nothing
		return nil, nil //nolint:nilerr // what is not there does not match
	case len(rest) > 0 && info.IsDir():
		return match(path, rest)
	case len(rest) == 0 && !info.IsDir():
		return []string{path}, nil
	}
	return nil, nil
}
