package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/pkg/picture"
)

// Unknown is the class of a picture of which none is known.
const Unknown = -1

// ImageOptions say which pictures are taken and what their classes are called. The zero
// value takes all, and the first that cannot be read is an error.
type ImageOptions struct {
	// Classes are those to take pictures of, by name; nil takes all pictures.
	Classes []string

	// Labels are the model's class names in order; nil takes the names of the classes
	// that are found, sorted (numbers by value).
	Labels []string

	// BadImage is told of each file that cannot be read as a picture, which is then left
	// out. If it is nil, the first such file is an error.
	BadImage func(*ImageError)

	// Progress is told how many files of how many have been looked at; it is called from
	// several goroutines, by one at a time.
	Progress func(done, total int)
}

// ImageError is a file that cannot be read as a picture.
type ImageError struct {
	File string
	Err  error
}

func (e *ImageError) Error() string { return fmt.Sprintf("%s: %v", e.File, e.Err) }

// Unwrap returns what is wrong with the file.
func (e *ImageError) Unwrap() error { return e.Err }

// Images is an ordered set of picture files with their classes. It holds names, not
// pixels, and may be used by several goroutines.
type Images struct {
	files   []string
	classes []int // (files), indices of labels or Unknown
	labels  []string
	leftOut []string
	sum     string
}

// Open collects pictures from paths in the order given.
//
// A path is a file; a folder, for the files below it whose name says picture; or a pattern
// as for [Options.Open]. Files of a folder or pattern are sorted by their whole path. The
// class of a picture is the first folder on the way to it from the folder given, or from
// the part of a pattern before the first * ? or [. A file metadata.jsonl in a folder gives
// classes to pictures below it by lines like {"file_name": "a/1.png", "label": "cat"}; a
// label that is a number is an index of Labels.
//
// Every picture is decoded once, so that all that is bad is known before anything is
// computed of the rest. A bad one is an [ImageError], unless BadImage takes it; a bad line
// of metadata is a [RowError]; no pictures wrap [ErrEmpty], classes that are asked for and
// not there [ErrClass], and such as fit the labels in part [ErrLabels]. Where ctx ends
// first, the error wraps its cause.
func (o ImageOptions) Open(ctx context.Context, paths ...string) (*Images, error) {
	images, err := o.open(ctx, paths)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	return images, nil
}

func (o ImageOptions) open(ctx context.Context, paths []string) (*Images, error) {
	var found collection
	for _, path := range paths {
		if err := found.add(path, o.Labels); err != nil {
			return nil, err
		}
	}
	entries, err := ofClasses(found.entries, o.Classes)
	if err != nil {
		return nil, err
	}
	sums, bad, err := o.check(ctx, entries)
	if err != nil {
		return nil, err
	}
	var good []entry
	hash := sha256.New()
	for i, e := range entries {
		if bad[i] != nil {
			o.BadImage(bad[i])
			continue
		}
		good = append(good, e)
		e.hash(hash, sums[i])
	}
	if len(good) == 0 {
		return nil, fmt.Errorf("%s: %w", strings.Join(paths, ", "), noPictures{})
	}
	images := &Images{leftOut: found.leftOut, sum: hex.EncodeToString(hash.Sum(nil))}
	for _, e := range good {
		images.files = append(images.files, e.file)
	}
	images.labels, images.classes, err = resolve(good, o.Labels)
	return images, err
}

// check decodes all pictures, in parallel. It returns the SHA-256 of each file and what is
// wrong with it: both (entries).
func (o ImageOptions) check(ctx context.Context, entries []entry) (sums [][]byte, bad []*ImageError, err error) {
	sums, bad = make([][]byte, len(entries)), make([]*ImageError, len(entries))
	// Tasks begin in order: of those before the first that is bad none is left out.
	var firstBad atomic.Int64
	firstBad.Store(int64(len(entries)))
	var mutex sync.Mutex
	done := 0
	kernel.Parallel(len(entries), func(i int) {
		if ctx.Err() != nil || o.BadImage == nil && int64(i) > firstBad.Load() {
			return
		}
		sum := sha256.New()
		_, err := readPicture(entries[i].file, sum)
		sums[i] = sum.Sum(nil)
		mutex.Lock()
		defer mutex.Unlock()
		if err != nil {
			bad[i] = &ImageError{File: entries[i].file, Err: err}
			firstBad.Store(min(firstBad.Load(), int64(i)))
		}
		if done++; o.Progress != nil {
			o.Progress(done, len(entries))
		}
	})
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	if first := int(firstBad.Load()); first < len(entries) && o.BadImage == nil {
		return nil, nil, bad[first]
	}
	return sums, bad, nil
}

// readPicture decodes a file, all of whose bytes go into sum. The error does not name
// it.
func readPicture(path string, sum io.Writer) (p *picture.Picture, err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, errNotRegular // opening a pipe would wait for a writer
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	p, err = picture.Read(io.TeeReader(file, sum))
	return p, withoutPath(err)
}

var errNotRegular = fmt.Errorf("not a regular file: %w", picture.ErrFormat)

// withoutPath returns what an error of a file says without the file's name, which its
// caller adds.
func withoutPath(err error) error {
	var named *fs.PathError
	if errors.As(err, &named) {
		return named.Err
	}
	return err
}

// Len returns the number of pictures.
func (s *Images) Len() int { return len(s.files) }

// Name returns the path of a picture.
func (s *Images) Name(i int) string { return s.files[i] }

// Class returns the class of a picture, an index of Labels, or [Unknown].
func (s *Images) Class(i int) int { return s.classes[i] }

// Labels returns the names of the classes.
func (s *Images) Labels() []string { return slices.Clone(s.labels) }

// SHA256 returns a hash of the set in hexadecimal: of each picture in order its path
// relative to the folder it was found by, with slashes, a zero byte, and the 32 bytes of
// the SHA-256 of its file. A label that metadata gave stands behind the zero, with another
// one.
func (s *Images) SHA256() string { return s.sum }

// LeftOut returns what was found in folders and not taken: hidden files and folders, files
// of other kinds, links to folders.
func (s *Images) LeftOut() []string { return s.leftOut }

// Picture decodes a picture.
func (s *Images) Picture(i int) (*picture.Picture, error) {
	p, err := readPicture(s.files[i], io.Discard)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", &ImageError{File: s.files[i], Err: err})
	}
	return p, nil
}

// Pixels decodes a picture into what a model reads: (C, H, W).
func (s *Images) Pixels(i int, r *picture.Preprocessing) ([]float32, error) {
	p, err := s.Picture(i)
	if err != nil {
		return nil, err
	}
	return r.Apply(p), nil
}

// isPicture tells whether the name of a file says that it is a picture.
func isPicture(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".png", ".jpg", ".jpeg", ".webp", ".gif":
		return true
	}
	return false
}
