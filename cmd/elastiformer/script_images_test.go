package main

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

// scriptEncoder writes a random encoder of images: encoder FILE [KEY=VALUE...].
func scriptEncoder(t *testing.T) func(ts *testscript.TestScript, neg bool, args []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) == 0 {
			ts.Fatalf("usage: encoder FILE [KEY=VALUE...]")
		}
		var s modeltest.EncoderShape
		for _, arg := range args[1:] {
			key, value, _ := strings.Cut(arg, "=")
			if key == "family" {
				s.Family = value
				continue
			}
			n, err := strconv.Atoi(value)
			ts.Check(err)
			switch key {
			case "layers":
				s.Layers = n
			case "classes":
				s.Classes = n
			case "seed":
				s.Seed = uint64(n)
			default:
				ts.Fatalf("encoder: no key %s", key)
			}
		}
		ts.Check(modeltest.EncoderWriter(t, s).WriteFile(ts.MkAbs(args[0]), true))
	}
}

// scriptPictures writes N pictures of noise, PNG and JPEG in turns, of different sizes: pictures FOLDER N.
func scriptPictures(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: pictures FOLDER N")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	folder := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(folder, 0o755))
	r := rand.New(rand.NewPCG(uint64(len(args[0])), uint64(args[0][len(args[0])-1])))
	for i := range n {
		img := image.NewRGBA(image.Rect(0, 0, 20+r.IntN(20), 20+r.IntN(20)))
		for p := range img.Pix {
			img.Pix[p] = uint8(r.Uint32())
		}
		var b bytes.Buffer
		name := strconv.Itoa(i) + ".png"
		if i%2 == 1 {
			name = strconv.Itoa(i) + ".jpg"
			ts.Check(jpeg.Encode(&b, img, nil))
		} else {
			ts.Check(png.Encode(&b, img))
		}
		ts.Check(os.WriteFile(filepath.Join(folder, name), b.Bytes(), 0o644))
	}
}

// scriptHugePicture writes a PNG whose header says 100000×100000: hugepicture FILE.
func scriptHugePicture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: hugepicture FILE")
	}
	img := image.NewGray(image.Rect(0, 0, 1, 1))
	img.Set(0, 0, color.White)
	var b bytes.Buffer
	ts.Check(png.Encode(&b, img))
	data := b.Bytes()
	const header = 12 // of the first chunk: signature, length, then its name
	binary.BigEndian.PutUint32(data[header+4:], 100000)
	binary.BigEndian.PutUint32(data[header+8:], 100000)
	binary.BigEndian.PutUint32(data[header+17:], crc32.ChecksumIEEE(data[header:header+17]))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o644))
}
