package picture

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// vectors are what PIL makes of pictures, see testdata/README.md.
type vectors struct {
	Grey    []byte // pattern(50, 40) as Image.convert("L"): (40, 50)
	Decoded []struct {
		File string
		Size [2]int
		RGB  []byte
	}
	Resized []struct {
		Filter   Filter
		From, To [2]int
		RGB      []byte // or
		SHA256   string // of it
	}
}

func readVectors(t testing.TB) (v vectors) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Decoded) == 0 || len(v.Resized) == 0 {
		t.Fatal("no vectors")
	}
	return v
}

// pattern draws a picture by the formula of testdata/vectors.py.
func pattern(width, height int) *Picture {
	p := newPicture(width, height)
	for y := range height {
		for x := range width {
			for c := range channels {
				p.row(y)[channels*x+c] = uint8(x*x*7 + y*13 + c*91 + x*y*(c+3))
			}
		}
	}
	return p
}

func TestResizeEqualsPIL(t *testing.T) {
	for _, v := range readVectors(t).Resized {
		t.Run(fmt.Sprintf("%s %v to %v", v.Filter, v.From, v.To), func(t *testing.T) {
			got := pattern(v.From[0], v.From[1]).Resize(v.To[0], v.To[1], v.Filter)
			if v.SHA256 != "" {
				if sum := sha256.Sum256(got.Pix); hex.EncodeToString(sum[:]) != v.SHA256 {
					t.Errorf("hash of the pixels is %x, want %s", sum, v.SHA256)
				}
				return
			}
			compare(t, got, &Picture{v.To[0], v.To[1], v.RGB}, 0, 0)
		})
	}
}

func TestGreyEqualsPIL(t *testing.T) {
	got := pattern(50, 40).Grey()
	for i, want := range readVectors(t).Grey {
		for c, v := range got.Pix[channels*i : channels*(i+1)] {
			if v != want {
				t.Fatalf("pixel %d, channel %d = %d, want %d", i, c, v, want)
			}
		}
	}
}

// TestDecodeEqualsPIL compares exactly but for JPEG, where the inverse cosine transforms
// of libjpeg-turbo and the standard library round differently.
func TestDecodeEqualsPIL(t *testing.T) {
	for _, v := range readVectors(t).Decoded {
		t.Run(v.File, func(t *testing.T) {
			path := filepath.Join("testdata", "files", v.File)
			got, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			most, mean := 0, 0.0
			if strings.HasSuffix(v.File, ".jpg") {
				most, mean = 3, 0.1 // one step of luma and one of chroma
			}
			compare(t, got, &Picture{v.Size[0], v.Size[1], v.RGB}, most, mean)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			again, err := Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again.Pix, got.Pix) {
				t.Error("Decode and Open differ")
			}
		})
	}
}

// compare fails unless two pictures have the same size, no values further apart than
// most, and are not further apart than mean on average.
func compare(t *testing.T, got, want *Picture, most int, mean float64) {
	t.Helper()
	if got.Width != want.Width || got.Height != want.Height || len(got.Pix) != len(want.Pix) {
		t.Fatalf("%d×%d, %d values, want %d×%d, %d", got.Width, got.Height, len(got.Pix), want.Width, want.Height, len(want.Pix))
	}
	largest, sum, at := 0, 0, 0
	for i, v := range got.Pix {
		d := max(int(v), int(want.Pix[i])) - min(int(v), int(want.Pix[i]))
		sum += d
		if d > largest {
			largest, at = d, i
		}
	}
	average := float64(sum) / float64(len(got.Pix))
	if largest > most || average > mean {
		t.Errorf("mean difference %.3f, largest %d at (%d, %d) channel %d: %d, want %d", average, largest,
			at/channels%got.Width, at/channels/got.Width, at%channels, got.Pix[at], want.Pix[at])
	}
}
