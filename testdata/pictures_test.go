package testdata_test

import (
	"bytes"
	"fmt"
	"image"
	"io/fs"
	"path"
	"slices"
	"testing"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/picture"
	"github.com/elastiformer/elastiformer/testdata"
	"github.com/elastiformer/elastiformer/testdata/shapes"
)

// Seeds and sizes of the committed pictures, as in pretrain.
var pictures = []struct {
	folder string
	seed   uint64
	count  int
}{
	{"tiny-pictures/train", 1, 350},
	{"tiny-pictures/valid", 2, 200},
}

// files lists the pictures below a folder.
func files(t *testing.T, folder string) []string {
	t.Helper()
	list, err := fs.Glob(testdata.Pictures, folder+"/*/*")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := testdata.Pictures.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// rgb leaves out the alpha of an opaque picture.
func rgb(img *image.NRGBA) *picture.Picture {
	p := &picture.Picture{Width: shapes.Size, Height: shapes.Size}
	for pixel := range slices.Chunk(img.Pix, 4) {
		p.Pix = append(p.Pix, pixel[:3]...)
	}
	return p
}

func TestPicturesAreThoseOfShapes(t *testing.T) {
	for _, set := range pictures {
		if n := len(files(t, set.folder)); n != set.count {
			t.Errorf("%s: %d files, want %d", set.folder, n, set.count)
		}
		artist := shapes.New(set.seed)
		for i := range set.count {
			img, class := artist.Next()
			file := path.Join(set.folder, shapes.Classes[class], fmt.Sprintf("%03d.png", i))
			got, err := picture.Decode(read(t, file))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Pix, rgb(img).Pix) {
				t.Errorf("%s: not the picture that shapes draws", file)
			}
		}
	}
}

// Bounds of the held-out figures: README.md has the figures themselves.
const (
	worstPictureLoss     = 0.10
	leastPictureAccuracy = 0.96
)

// TestHeldOutPictures classifies pictures of a seed that nothing else uses.
func TestHeldOutPictures(t *testing.T) {
	f := open(t, testdata.TinyViT)
	e, err := model.LoadEncoder(f)
	if err != nil {
		t.Fatal(err)
	}
	preprocessing, err := picture.NewPreprocessing(f)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(e.Vision.Labels, shapes.Classes) {
		t.Errorf("the checkpoint's labels are %v, want %v", e.Vision.Labels, shapes.Classes)
	}
	const seed, count, batch = 5, 2000, 50
	artist := shapes.New(seed)
	var loss, right float64
	tp := tape.New(false)
	for range count / batch {
		in := model.Images{Height: shapes.Size, Width: shapes.Size}
		var classes []int
		for range batch {
			img, class := artist.Next()
			in.Pixels, classes = append(in.Pixels, preprocessing.Apply(rgb(img))), append(classes, class)
		}
		tp.Reset()
		l := e.Layout(in)
		logits := e.Classify(tp, e.Hidden(tp, in, l, nil), l).Mat()
		for i, class := range classes {
			row := logits.Row(i)
			loss += kernel.LogSumExp(row) - float64(row[class])
			if kernel.Argmax(row) == class {
				right++
			}
		}
	}
	loss, right = loss/count, right/count
	t.Logf("%d pictures: loss %.4f, accuracy %.4f", count, loss, right)
	if !(loss < worstPictureLoss) {
		t.Errorf("loss %.4f, want below %v", loss, worstPictureLoss)
	}
	if right < leastPictureAccuracy {
		t.Errorf("accuracy %.4f, want at least %v", right, leastPictureAccuracy)
	}
}
