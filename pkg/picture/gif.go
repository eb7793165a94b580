package picture

import (
	"bytes"
	"image"
	"image/gif"
)

// decodeGIF reads the first frame. Where it leaves the screen free, the screen has the
// colour of the frame's transparent index, or of index 0 if it has none, as PIL does it.
func decodeGIF(data []byte) (*Picture, error) {
	c, err := gif.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	m, err := gif.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	frame, ok := m.(*image.Paletted)
	if !ok {
		panic("picture: a GIF without a palette")
	}
	colours, background := gifColours(data)
	p := newPicture(c.Width, c.Height)
	if frame.Rect != image.Rect(0, 0, c.Width, c.Height) {
		for i := 0; i < len(p.Pix); i += channels {
			copy(p.Pix[i:i+channels], colours[background][:])
		}
	}
	for y := frame.Rect.Min.Y; y < frame.Rect.Max.Y; y++ {
		from := frame.PixOffset(frame.Rect.Min.X, y)
		out := p.row(y)[channels*frame.Rect.Min.X:]
		for x, index := range frame.Pix[from : from+frame.Rect.Dx()] {
			copy(out[channels*x:channels*(x+1)], colours[index][:])
		}
	}
	return p, nil
}

// palette holds the colours of indices; those that a file does not give are black.
type palette [256][channels]uint8

// GIF's layout: a header with the flags of the screen at byte 10 and the global table
// of colours from byte 13, then blocks.
const (
	gifFlags      = 10
	gifTable      = 13
	gifExtension  = 0x21 // then a label, then sub-blocks, each with its length in front
	gifControl    = 0xf9 // the label of the block before a frame: length 4, flags, delay (2), transparent index
	gifDescriptor = 0x2c // a frame: left, top, width, height (2 each), flags, perhaps a table of its own
)

// gifColours returns the colours of the first frame and its transparent index, 0 if it
// has none: image/gif makes the transparent one black and forgets what it was. The file
// is one that image/gif has read; where it is not, the colours stay black.
func gifColours(data []byte) (colours palette, transparent uint8) {
	if len(data) < gifTable {
		return colours, 0
	}
	rest := colours.read(data[gifTable:], data[gifFlags])
	for len(rest) >= 2 {
		switch {
		case rest[0] == gifDescriptor:
			const flags = 9
			if len(rest) > flags {
				colours.read(rest[flags+1:], rest[flags])
			}
			return colours, transparent
		case rest[0] != gifExtension:
			return colours, transparent
		case rest[1] == gifControl && len(rest) > 6 && rest[3]&1 != 0:
			transparent = rest[6]
		}
		rest = afterSubBlocks(rest[2:])
	}
	return colours, transparent
}

// read fills the palette from a table if the flags before it say that there is one, and
// returns what follows.
func (p *palette) read(data []byte, flags uint8) (rest []byte) {
	if flags&0x80 == 0 {
		return data
	}
	n := 1 << (flags&7 + 1)
	if len(data) < channels*n {
		return nil
	}
	*p = palette{}
	for i := range n {
		copy(p[i][:], data[channels*i:])
	}
	return data[channels*n:]
}

// afterSubBlocks skips sub-blocks up to the one of length 0.
func afterSubBlocks(data []byte) []byte {
	for len(data) > 0 {
		n := int(data[0])
		data = data[min(n+1, len(data)):]
		if n == 0 {
			break
		}
	}
	return data
}
