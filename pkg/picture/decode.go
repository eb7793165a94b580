package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/webp"
)

// format is a kind of file.
type format struct {
	name  string
	magic string // at the beginning; ? stands for any byte
	// header returns the sides the file promises, without trusting it with memory, or
	// says why it cannot be read.
	header func(data []byte) (width, height int, err error)
	// holds is the greatest number of pixels for each byte of a sound file; 0 if there
	// is no such number.
	holds  int
	decode func(data []byte) (*Picture, error)
}

// formats are told apart by content; names of files do not matter.
var formats = []format{
	{
		name: "PNG", magic: "\x89PNG\r\n\x1a\n", header: standardHeader(png.DecodeConfig),
		// Deflate makes at most 258 bytes of two bits, so 1032 of a byte, and a byte
		// holds at most eight pixels.
		holds:  8 * 1032,
		decode: decodePNG,
	},
	{
		name: "JPEG", magic: "\xff\xd8\xff", header: jpegHeader,
		// A block of 64 values takes at least one bit.
		holds:  8 * 64,
		decode: decodeJPEG,
	},
	{name: "GIF", magic: "GIF87a", header: standardHeader(gif.DecodeConfig), decode: decodeGIF},
	{name: "GIF", magic: "GIF89a", header: standardHeader(gif.DecodeConfig), decode: decodeGIF},
	{name: "WebP", magic: "RIFF????WEBP", header: standardHeader(webp.DecodeConfig), decode: decodeWebP},
}

// formatOf returns the format of a file.
func formatOf(data []byte) (*format, bool) {
	for i := range formats {
		if f := &formats[i]; f.matches(data) {
			return f, true
		}
	}
	return nil, false
}

func (f *format) matches(data []byte) bool {
	if len(data) < len(f.magic) {
		return false
	}
	for i, want := range []byte(f.magic) {
		if want != '?' && data[i] != want {
			return false
		}
	}
	return true
}

func decode(data []byte) (*Picture, error) {
	if len(data) == 0 {
		return nil, fmt.Errorf("%w: 0 bytes", ErrFormat)
	}
	f, ok := formatOf(data)
	if !ok {
		return nil, ErrFormat
	}
	width, height, err := f.header(data)
	if err != nil {
		return nil, f.damaged(err)
	}
	if err := f.check(width, height, len(data)); err != nil {
		return nil, err
	}
	p, err := f.decode(data)
	if err != nil {
		return nil, f.damaged(err)
	}
	return p, nil
}

// check looks at what a header promises.
func (f *format) check(width, height, size int) error {
	pixels := int64(width) * int64(height) // sides that overflow it fail the test for MaxSide
	switch {
	case width < 1 || height < 1:
		return f.damaged(fmt.Errorf("%d×%d pixels", width, height))
	case width > MaxSide || height > MaxSide || pixels > MaxPixels:
		return fmt.Errorf("%s: %w: %d×%d pixels, at most %d and %d a side are read",
			f.name, ErrTooLarge, width, height, MaxPixels, MaxSide)
	case f.holds > 0 && pixels > int64(f.holds)*int64(size):
		return f.damaged(fmt.Errorf("%d×%d pixels in %d bytes", width, height, size))
	}
	return nil
}

// damaged makes an error of a file of this format wrap ErrFormat or ErrTooLarge.
func (f *format) damaged(err error) error {
	switch {
	case errors.Is(err, ErrTooLarge):
		return fmt.Errorf("%s: %w", f.name, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %s: ends too early", ErrFormat, f.name)
	}
	return fmt.Errorf("%w: %s: %w", ErrFormat, f.name, err)
}

// standardHeader makes a format's header of a decoder's DecodeConfig.
func standardHeader(config func(io.Reader) (image.Config, error)) func([]byte) (int, int, error) {
	return func(data []byte) (width, height int, err error) {
		c, err := config(bytes.NewReader(data))
		return c.Width, c.Height, err
	}
}

// maxScanned is how many pixels all scans of a JPEG may go over: each scan of a
// progressive one costs time for the whole picture, however few bytes it has. Encoders
// make about ten.
const maxScanned = 16 * MaxPixels

func jpegHeader(data []byte) (width, height int, err error) {
	c, err := jpeg.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return 0, 0, err
	}
	// Within a scan nothing but the next begins with these bytes: there 0xff is followed by 0.
	scans := bytes.Count(data, []byte{0xff, 0xda})
	if int64(scans)*int64(c.Width)*int64(c.Height) > maxScanned {
		return 0, 0, fmt.Errorf("%w: %d scans of %d×%d pixels, at most %d pixels are scanned", ErrTooLarge, scans, c.Width, c.Height, maxScanned)
	}
	return c.Width, c.Height, nil
}

func decodePNG(data []byte) (*Picture, error) {
	m, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return fromImage(m), nil
}

func decodeJPEG(data []byte) (*Picture, error) {
	m, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if m, ok := m.(*image.YCbCr); ok {
		return fromJPEG(m), nil
	}
	return fromImage(m), nil
}

func decodeWebP(data []byte) (*Picture, error) {
	m, err := webp.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	switch m := m.(type) {
	case *image.YCbCr:
		return fromWebP(m), nil
	case *image.NYCbCrA:
		return fromWebP(&m.YCbCr), nil
	}
	return fromImage(m), nil
}
