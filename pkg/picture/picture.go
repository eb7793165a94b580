package picture

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// The largest pictures and files that are read.
const (
	// MaxSide is the greatest width and height; no JPEG, GIF or WebP can have more.
	MaxSide = 1<<16 - 1
	// MaxPixels is the greatest area. The largest picture of ImageNet has 61 million
	// pixels, and PIL warns from 89 million on. While it is decoded, a picture may take
	// some 20 bytes a pixel.
	MaxPixels = 1 << 26
	// maxBytes is the greatest size of a file: four bytes for each of MaxPixels.
	maxBytes = 4 * MaxPixels
)

// Picture is an RGB picture of 8 bits per channel.
type Picture struct {
	Width, Height int
	Pix           []uint8 // (Height, Width, 3)
}

// newPicture returns a black picture.
func newPicture(width, height int) *Picture {
	return &Picture{Width: width, Height: height, Pix: make([]uint8, channels*width*height)}
}

// channels is the number of values of a pixel.
const channels = 3

// row returns one row: (Width, 3).
func (p *Picture) row(y int) []uint8 {
	n := channels * p.Width
	return p.Pix[y*n : (y+1)*n]
}

// Open reads a picture file, which must be a regular file: others may never end. The error
// names the file; it wraps [ErrFormat] or [ErrTooLarge] for one that cannot be used.
func Open(path string) (*Picture, error) {
	p, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	return p, nil
}

func open(path string) (p *Picture, err error) {
	info, err := os.Stat(path) // before opening, which waits for a writer if it is a pipe
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: %w: not a regular file", path, ErrFormat)
	case info.Size() > maxBytes:
		return nil, fmt.Errorf("%s: %w: %d bytes, at most %d are read", path, ErrTooLarge, info.Size(), maxBytes)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if p, err = read(file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// Read reads a picture from the bytes of a file, all of them, whatever the decoder
// needs. The error wraps [ErrFormat] or [ErrTooLarge], or is the reader's.
func Read(r io.Reader) (*Picture, error) {
	p, err := read(r)
	if err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	return p, nil
}

func read(r io.Reader) (*Picture, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxBytes:
		return nil, fmt.Errorf("%w: at most %d bytes are read", ErrTooLarge, maxBytes)
	}
	return decode(data)
}

// Decode reads a picture from the bytes of a file. What kind it is the bytes say. The
// error wraps [ErrFormat] or [ErrTooLarge].
func Decode(data []byte) (*Picture, error) {
	p, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	return p, nil
}

// Grey returns the picture without colour, all channels alike, as Image.convert("L")
// does: the luma of ITU-R BT.601 in fixed point of 16 bits.
func (p *Picture) Grey() *Picture {
	grey := newPicture(p.Width, p.Height)
	for i := 0; i < len(p.Pix); i += channels {
		r, g, b := uint32(p.Pix[i]), uint32(p.Pix[i+1]), uint32(p.Pix[i+2])
		l := uint8((19595*r + 38470*g + 7471*b + 1<<15) >> 16)
		grey.Pix[i], grey.Pix[i+1], grey.Pix[i+2] = l, l, l
	}
	return grey
}
