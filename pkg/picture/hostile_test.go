package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// sample returns a file of the vectors.
func sample(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "files", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// patched returns a copy of data with bytes put at an offset.
func patched(data []byte, at int, with ...byte) []byte {
	data = bytes.Clone(data)
	copy(data[at:], with)
	return data
}

// pngSized gives a PNG other sides, with the sum that its header then has.
func pngSized(data []byte, width, height uint32) []byte {
	const head, end = 12, 29 // type and content of the first chunk
	data = bytes.Clone(data)
	binary.BigEndian.PutUint32(data[16:], width)
	binary.BigEndian.PutUint32(data[20:], height)
	binary.BigEndian.PutUint32(data[end:], crc32.ChecksumIEEE(data[head:end]))
	return data
}

// jpegSized gives a JPEG other sides.
func jpegSized(t testing.TB, data []byte, width, height uint16) []byte {
	t.Helper()
	frame := max(bytes.Index(data, []byte{0xff, 0xc0}), bytes.Index(data, []byte{0xff, 0xc2})) // or progressive
	if frame < 0 {
		t.Fatal("no frame header")
	}
	sides := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, height), width)
	return patched(data, frame+5, sides...)
}

// webp wraps chunks, each with its name in front.
func webpOf(chunks ...string) []byte {
	var body []byte
	for _, chunk := range chunks {
		content := chunk[4:]
		body = append(body, chunk[:4]...)
		body = binary.LittleEndian.AppendUint32(body, uint32(len(content)))
		body = append(body, content...)
		body = append(body, make([]byte, len(content)%2)...)
	}
	out := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body)+4))
	return append(append(out, "WEBP"...), body...)
}

// Chunks of WebP whose sides are much larger than what follows: 14 bits are 16384.
const (
	vp8Huge  = "VP8 \x10\x00\x00\x9d\x01\x2a\xff\x3f\xff\x3f\x00\x00\x00\x00"
	vp8lHuge = "VP8L\x2f\xff\xff\xff\x0f\x00\x00\x00"
	vp8xHuge = "VP8X\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff"
	vp8xTiny = "VP8X\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
)

// hostile are files that must be refused, and the memory that may be taken for it.
func hostile(t testing.TB) []struct {
	name string
	data []byte
	want error
} {
	t.Helper()
	png, jpeg, gif, webp := sample(t, "rgb.png"), sample(t, "420.jpg"), sample(t, "plain.gif"), sample(t, "lossy.webp")
	progressive := jpegSized(t, sample(t, "progressive.jpg"), 4096, 4096)
	scans := bytes.Repeat([]byte{0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0}, maxScanned/4096/4096)
	return []struct {
		name string
		data []byte
		want error
	}{
		{"no bytes", nil, ErrFormat},
		{"text", []byte("not a picture"), ErrFormat},
		{"a BMP", []byte("BM\x46\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00"), ErrFormat},
		{"PNG: signature alone", png[:8], ErrFormat},
		{"PNG: no data", png[:33], ErrFormat},
		{"PNG: half", png[:len(png)/2], ErrFormat},
		{"PNG: 100000×100000", pngSized(png, 100000, 100000), ErrTooLarge},
		{"PNG: one side too long", pngSized(png, MaxSide+1, 1), ErrTooLarge},
		{"PNG: 2^31−1 each side", pngSized(png, 1<<31-1, 1<<31-1), ErrFormat},
		{"PNG: no width", pngSized(png, 0, 9), ErrFormat},
		{"PNG: more pixels than its bytes hold", pngSized(png, 8000, 8000), ErrFormat},
		{"PNG: wrong sum", patched(png, 16, 0, 0, 0, 12), ErrFormat},
		{"PNG: immense chunk", patched(png, 33, 0x7f, 0xff, 0xff, 0xff), ErrFormat},
		{"JPEG: marker alone", jpeg[:3], ErrFormat},
		{"JPEG: half", jpeg[:len(jpeg)/2], ErrFormat},
		{"JPEG: 65500×65500", jpegSized(t, jpeg, 65500, 65500), ErrTooLarge},
		{"JPEG: more pixels than its bytes hold", jpegSized(t, jpeg, 8000, 8000), ErrFormat},
		{"JPEG: no height", jpegSized(t, jpeg, 37, 0), ErrFormat},
		{"JPEG: scan after scan", append(progressive, scans...), ErrTooLarge},
		{"GIF: header alone", gif[:10], ErrFormat},
		{"GIF: half", gif[:len(gif)/2], ErrFormat},
		{"GIF: 65535×65535", patched(gif, 6, 0xff, 0xff, 0xff, 0xff), ErrTooLarge},
		{"GIF: frame larger than the screen", patched(gif, 6, 1, 0, 1, 0), ErrFormat},
		{"WebP: header alone", webp[:12], ErrFormat},
		{"WebP: half", webp[:len(webp)/2], ErrFormat},
		{"WebP: huge canvas", webpOf(vp8xHuge, vp8Huge), ErrFormat},
		{"WebP: huge lossy frame", webpOf(vp8Huge), ErrTooLarge},
		{"WebP: huge lossless frame", webpOf(vp8lHuge), ErrTooLarge},
		{"WebP: tiny canvas, huge lossy frame", webpOf(vp8xTiny, vp8Huge), ErrFormat},
		{"WebP: tiny canvas, huge lossless frame", webpOf(vp8xTiny, vp8lHuge), ErrFormat},
		{"WebP: animation", webpOf(strings.Replace(vp8xTiny, "VP8X\x00", "VP8X\x02", 1), "ANIM\x00\x00\x00\x00\x00\x00"), ErrFormat},
	}
}

func TestDecodeRefuses(t *testing.T) {
	const most = 1 << 20
	for _, test := range hostile(t) {
		t.Run(test.name, func(t *testing.T) {
			var err error
			if grown := allocated(func() { _, err = Decode(test.data) }); grown > most {
				t.Errorf("%d bytes allocated, at most %d expected", grown, most)
			}
			if !errors.Is(err, test.want) {
				t.Errorf("Decode = %v, want an error that wraps %q", err, test.want)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	folder := t.TempDir()
	empty := filepath.Join(folder, "empty.png")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(folder, "large.png")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, maxBytes+1); err != nil {
		t.Fatal(err)
	}
	absent := filepath.Join(folder, "absent.png")
	for path, want := range map[string]error{empty: ErrFormat, large: ErrTooLarge, absent: os.ErrNotExist, folder: ErrFormat} {
		_, err := Open(path)
		if !errors.Is(err, want) {
			t.Errorf("Open = %v, want an error that wraps %q", err, want)
		} else if strings.Count(err.Error(), path) != 1 {
			t.Errorf("Open = %q, want the path once", err)
		}
	}
}

// Chunks beside the picture are skipped, whatever they would expand to.
func TestChunksBesideThePicture(t *testing.T) {
	png := sample(t, "rgb.png")
	text := append([]byte("zTXtnote\x00\x00"), bytes.Repeat([]byte{0x55}, 1<<10)...)
	chunk := binary.BigEndian.AppendUint32(nil, uint32(len(text)-4))
	chunk = append(chunk, text...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(text))
	data := append(append(bytes.Clone(png[:33]), chunk...), png[33:]...)
	got, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Decode(png)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, got, want, 0, 0)
}

func FuzzDecode(f *testing.F) {
	for _, test := range hostile(f) {
		f.Add(test.data)
	}
	files, err := filepath.Glob(filepath.Join("testdata", "files", "*"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no files: %v", err)
	}
	for _, path := range files {
		f.Add(sample(f, filepath.Base(path)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		pixels := 0
		if format, ok := formatOf(data); ok {
			if width, height, err := format.header(data); err == nil && format.check(width, height, len(data)) == nil {
				pixels = width * height
			}
		}
		if pixels > 1<<20 {
			t.Skip("large pictures take their time")
		}
		var p *Picture
		var err error
		// A decoder may hold a picture three times, with 16 bytes a pixel, beside its tables.
		if grown, most := allocated(func() { p, err = Decode(data) }), uint64(1<<20+16*len(data)+48*pixels); grown > most {
			t.Errorf("%d bytes allocated for %d pixels in %d bytes, at most %d expected", grown, pixels, len(data), most)
		}
		switch {
		case err != nil && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrTooLarge):
			t.Errorf("Decode = %v, which wraps neither error", err)
		case err == nil && (p.Width*p.Height != pixels || len(p.Pix) != 3*pixels):
			t.Errorf("%d×%d with %d values, header says %d pixels", p.Width, p.Height, len(p.Pix), pixels)
		}
	})
}
