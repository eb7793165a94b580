package main

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/elastiformer/elastiformer/internal/kernel"
	"github.com/elastiformer/elastiformer/internal/tape"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/picture"
	"github.com/elastiformer/elastiformer/testdata/shapes"
)

// makePictures makes the pictures and the vision transformer in the folder out.
func makePictures(log io.Writer, out string, n vit, r recipe) error {
	e, trained, err := n.load(n.initial(rand.New(rand.NewPCG(weightSeed, 0))))
	if err != nil {
		return err
	}
	if err := r.train(log, trained, func(t *tape.Tape, step int) (float64, int) {
		return e.score(t, r.drawn(step)).loss, r.batch * e.Context
	}); err != nil {
		return err
	}
	held := e.evaluate(draw(shapes.New(heldOutSeed), heldOutPictures))
	fmt.Fprintf(log, "held out, %d pictures: loss %.4f, accuracy %.4f\n", heldOutPictures, held.loss, held.accuracy)
	for _, set := range []struct {
		name  string
		seed  uint64
		count int
	}{{"train", trainSeed, trainPictures}, {"valid", validSeed, validPictures}} {
		if err := save(filepath.Join(out, "tiny-pictures", set.name), draw(shapes.New(set.seed), set.count)); err != nil {
			return err
		}
	}
	return n.checkpoint(trained).write(filepath.Join(out, "tiny-vit.gguf"))
}

// drawn is a picture with the number of its class.
type drawn struct {
	*image.NRGBA
	class int
}

// draw draws pictures.
func draw(a *shapes.Artist, n int) []drawn {
	list := make([]drawn, n)
	for i := range list {
		list[i].NRGBA, list[i].class = a.Next()
	}
	return list
}

// drawn draws the batch of a step, by an artist of its own for each run of all classes.
func (r recipe) drawn(step int) []drawn {
	list := make([]drawn, r.batch)
	run := len(shapes.Classes)
	kernel.Parallel((r.batch+run-1)/run, func(i int) {
		random := rand.New(rand.NewPCG(r.seed, uint64(step*r.batch+i)))
		part := list[i*run : min((i+1)*run, r.batch)]
		copy(part, draw(shapes.New(random.Uint64()), len(part)))
	})
	return list
}

// save writes pictures as files, in a folder for each class.
func save(folder string, list []drawn) error {
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	for i, p := range list {
		class := filepath.Join(folder, shapes.Classes[p.class])
		if err := os.MkdirAll(class, 0o755); err != nil {
			return err
		}
		var file bytes.Buffer
		if err := encoder.Encode(&file, p); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(class, fmt.Sprintf("%03d.png", i)), file.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// classifier is an encoder with what it wants done to its pictures.
type classifier struct {
	*model.Encoder
	preprocessing *picture.Preprocessing
}

// score scores a batch of pictures; on a tape that records it leaves the gradient of the
// loss in the logits.
func (e *classifier) score(t *tape.Tape, batch []drawn) score {
	in := model.Images{Height: shapes.Size, Width: shapes.Size, Pixels: make([][]float32, len(batch))}
	kernel.Parallel(len(batch), func(i int) { in.Pixels[i] = e.preprocessing.Apply(rgb(batch[i].NRGBA)) })
	l := e.Layout(in)
	logits := e.Classify(t, e.Hidden(t, in, l, nil), l)
	var s score
	for i, p := range batch {
		s.predict(logits, i, p.class, len(batch))
	}
	return s
}

// evaluate scores pictures, whose number is a multiple of the pictures in a part.
func (e *classifier) evaluate(list []drawn) score {
	const part = 50
	t := tape.New(false)
	var mean score
	for batch := range slices.Chunk(list, part) {
		t.Reset()
		mean.add(e.score(t, batch), len(list)/part)
	}
	return mean
}

// rgb leaves out the alpha of an opaque picture.
func rgb(img *image.NRGBA) *picture.Picture {
	p := &picture.Picture{Width: shapes.Size, Height: shapes.Size, Pix: make([]uint8, 0, channels*shapes.Size*shapes.Size)}
	for pixel := range slices.Chunk(img.Pix, channels+1) {
		p.Pix = append(p.Pix, pixel[:channels]...)
	}
	return p
}
