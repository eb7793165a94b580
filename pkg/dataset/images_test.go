package dataset

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/internal/reference"
	"github.com/elastiformer/elastiformer/pkg/picture"
)

// encode returns a picture of 4×4 pixels of one colour in the format of an ending.
func encode(t testing.TB, ending string, red uint8) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 4, 4))
	for i := range 16 {
		m.SetRGBA(i%4, i/4, color.RGBA{red, 7, 9, 255})
	}
	var out bytes.Buffer
	var err error
	switch strings.ToLower(ending) {
	case ".jpg", ".jpeg":
		err = jpeg.Encode(&out, m, nil)
	case ".gif":
		err = gif.Encode(&out, m, nil)
	default:
		err = png.Encode(&out, m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// pictures makes a folder with pictures of different colours and goes there; names that end
// in / are folders, others that are no names of pictures files of text.
func pictures(t testing.TB, paths ...string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for i, path := range paths {
		data := []byte(path)
		if isPicture(path) {
			data = encode(t, filepath.Ext(path), uint8(i))
		}
		write(t, path, data)
	}
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// names and classes list a set.
func names(s *Images) (names []string) {
	for i := range s.Len() {
		names = append(names, filepath.ToSlash(s.Name(i)))
	}
	return names
}

func classes(s *Images) (classes []int) {
	for i := range s.Len() {
		classes = append(classes, s.Class(i))
	}
	return classes
}

func TestImagesOfFolder(t *testing.T) {
	pictures(t, "data/dog/1.png", "data/dog/deep/2.JPG", "data/cat/1.jpeg", "data/0.gif", "data/.hidden.png",
		"data/.cache/1.png", "data/README.md", "data/cat/notes.txt", "other/x.png")
	link(t, "..", "data/cat/round")
	link(t, "nothing.png", "data/dead.png")
	link(t, "../../other/x.png", "data/dog/linked.png")
	for _, folder := range []string{"data", "data/", "./data"} {
		s, err := ImageOptions{}.Open(t.Context(), folder)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"data/0.gif", "data/cat/1.jpeg", "data/dog/1.png", "data/dog/deep/2.JPG", "data/dog/linked.png"}
		if got := names(s); !slices.Equal(got, want) {
			t.Errorf("%s: pictures %q, want %q", folder, got, want)
		}
		if got, want := classes(s), []int{Unknown, 0, 1, 1, 1}; !slices.Equal(got, want) {
			t.Errorf("%s: classes %d, want %d", folder, got, want)
		}
		if got, want := s.Labels(), []string{"cat", "dog"}; !slices.Equal(got, want) {
			t.Errorf("%s: labels %q, want %q", folder, got, want)
		}
		var leftOut []string
		for _, path := range s.LeftOut() {
			leftOut = append(leftOut, filepath.ToSlash(path))
		}
		slices.Sort(leftOut)
		if want := []string{"data/.cache", "data/.hidden.png", "data/README.md", "data/cat/notes.txt", "data/cat/round", "data/dead.png"}; !slices.Equal(leftOut, want) {
			t.Errorf("%s: left out %q, want %q", folder, leftOut, want)
		}
	}
}

func TestImagesOfPaths(t *testing.T) {
	pictures(t, "data/dog/1.png", "data/cat/1.png", "data/cat/2.jpg", "data/cat/notes.txt", "x.png")
	tests := []struct {
		name    string
		paths   []string
		names   []string
		classes []int
	}{
		{"a file", []string{"data/cat/1.png"}, []string{"data/cat/1.png"}, []int{Unknown}},
		{"a pattern", []string{"data/*/1.*"}, []string{"data/cat/1.png", "data/dog/1.png"}, []int{0, 1}},
		{"a pattern of one folder", []string{"data/cat/*.png"}, []string{"data/cat/1.png"}, []int{Unknown}},
		{"several", []string{"x.png", "data/dog", "data"}, []string{"x.png", "data/dog/1.png", "data/cat/1.png", "data/cat/2.jpg", "data/dog/1.png"}, []int{Unknown, Unknown, 0, 0, 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := ImageOptions{}.Open(t.Context(), test.paths...)
			if err != nil {
				t.Fatal(err)
			}
			if got := names(s); !slices.Equal(got, test.names) {
				t.Errorf("pictures %q, want %q", got, test.names)
			}
			if got := classes(s); !slices.Equal(got, test.classes) {
				t.Errorf("classes %d, want %d", got, test.classes)
			}
		})
	}
}

// The content of a file says what it is, and a name only whether it is looked at.
func TestImagesOfWrongEnding(t *testing.T) {
	pictures(t)
	write(t, "data/really-gif.png", encode(t, ".gif", 1))
	write(t, "data/really-png.jpg", encode(t, ".png", 2))
	write(t, "data/picture", encode(t, ".png", 3))
	s, err := ImageOptions{}.Open(t.Context(), "data", "data/picture")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"data/really-gif.png", "data/really-png.jpg", "data/picture"}; !slices.Equal(names(s), want) {
		t.Errorf("pictures %q, want %q", names(s), want)
	}
}

func TestImagesSHA256(t *testing.T) {
	pictures(t, "a/cat/1.png", "a/cat/2.png")
	tree := sha256.New()
	for _, name := range []string{"cat/1.png", "cat/2.png"} {
		data, err := os.ReadFile("a/" + name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		tree.Write(append([]byte(name+"\x00"), sum[:]...))
	}
	of := func(path string) string {
		t.Helper()
		s, err := ImageOptions{}.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		return s.SHA256()
	}
	first := of("a")
	if want := hex.EncodeToString(tree.Sum(nil)); first != want {
		t.Errorf("SHA256 = %s, want %s", first, want)
	}
	if err := os.Rename("a", "b"); err != nil {
		t.Fatal(err)
	}
	if got := of("b"); got != first {
		t.Error("the name of the folder changes the hash")
	}
	write(t, "b/metadata.jsonl", []byte(`{"file_name": "cat/1.png", "label": "dog"}`))
	if got := of("b"); got == first {
		t.Error("metadata does not change the hash")
	}
	if err := os.Remove("b/metadata.jsonl"); err != nil {
		t.Fatal(err)
	}
	write(t, "b/cat/2.png", encode(t, ".png", 77))
	if got := of("b"); got == first {
		t.Error("another picture does not change the hash")
	}
}

func TestImagesSHA256OfReferences(t *testing.T) {
	// As the data's own description gives it for the same form of hash.
	const want = "cf6d05956c62e597186e4530b3c3ed7e76118c94559561c5e0daebb41f5cea9d"
	folder := filepath.Join(reference.Folder(t), "images", "cifar10-reference-png")
	if reference.Absent(t, folder) {
		return
	}
	s, err := ImageOptions{}.Open(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	if s.SHA256() != want {
		t.Errorf("SHA256 = %s, want %s", s.SHA256(), want)
	}
}

// spoiled makes a folder of good pictures and such that cannot be read, and returns those.
func spoiled(t *testing.T) map[string]error {
	t.Helper()
	pictures(t, "data/a/1.png", "data/a/good.jpg", "data/b/2.png", "data/b/z.gif")
	bomb := encode(t, ".png", 1)
	copy(bomb[16:], []byte{0, 1, 0x86, 0xa0, 0, 1, 0x86, 0xa0}) // 100000×100000
	binary.BigEndian.PutUint32(bomb[29:], crc32.ChecksumIEEE(bomb[12:29]))
	whole := encode(t, ".jpg", 1)
	write(t, "data/a/half.jpg", whole[:len(whole)/2])
	write(t, "data/a/empty.png", nil)
	write(t, "data/b/bomb.png", bomb)
	write(t, "data/b/text.webp", []byte("not a picture"))
	bad := map[string]error{
		"data/a/half.jpg": picture.ErrFormat, "data/a/empty.png": picture.ErrFormat,
		"data/b/bomb.png": picture.ErrTooLarge, "data/b/text.webp": picture.ErrFormat,
	}
	write(t, "data/b/locked.png", encode(t, ".png", 1))
	if err := os.Chmod("data/b/locked.png", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile("data/b/locked.png"); err != nil {
		bad["data/b/locked.png"] = fs.ErrPermission
	} else { // for a superuser no file is locked
		t.Log("skipped: locked.png can be read")
		if err := os.Remove("data/b/locked.png"); err != nil {
			t.Fatal(err)
		}
	}
	return bad
}

func TestBadImages(t *testing.T) {
	bad := spoiled(t)
	var reported []string
	s, err := ImageOptions{BadImage: func(e *ImageError) {
		reported = append(reported, filepath.ToSlash(e.File))
		if want := bad[filepath.ToSlash(e.File)]; !errors.Is(e, want) {
			t.Errorf("%v, want an error that wraps %v", e, want)
		}
		if strings.Count(e.Error(), e.File) != 1 {
			t.Errorf("%q does not name the file once", e)
		}
	}}.Open(t.Context(), "data")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(reported) || len(reported) != len(bad) {
		t.Errorf("reported %q, want all of %v in order", reported, bad)
	}
	if want := []string{"data/a/1.png", "data/a/good.jpg", "data/b/2.png", "data/b/z.gif"}; !slices.Equal(names(s), want) {
		t.Errorf("pictures %q, want %q", names(s), want)
	}
	if got, want := classes(s), []int{0, 0, 1, 1}; !slices.Equal(got, want) {
		t.Errorf("classes %d, want %d", got, want)
	}
}

func TestFirstBadImageIsAnError(t *testing.T) {
	spoiled(t)
	for range 20 { // whichever goroutine meets one first
		_, err := ImageOptions{}.Open(t.Context(), "data")
		var bad *ImageError
		if !errors.As(err, &bad) || filepath.ToSlash(bad.File) != "data/a/empty.png" {
			t.Fatalf("Open = %v, want an ImageError of data/a/empty.png", err)
		}
		if want := "dataset: " + bad.File + ": picture: "; !strings.HasPrefix(err.Error(), want) || strings.Count(err.Error(), bad.File) != 1 {
			t.Fatalf("Open = %q, want it to begin with %q", err, want)
		}
	}
}

func TestNoImages(t *testing.T) {
	pictures(t, "data/README.md", "bad/a.png")
	write(t, "bad/a.png", nil)
	if _, err := (ImageOptions{}).Open(t.Context(), "data"); !errors.Is(err, ErrEmpty) || strings.Contains(err.Error(), "text") {
		t.Errorf("a folder without pictures: %v, want ErrEmpty", err)
	}
	if _, err := (ImageOptions{BadImage: func(*ImageError) {}}).Open(t.Context(), "bad"); !errors.Is(err, ErrEmpty) {
		t.Errorf("a folder of bad pictures: %v, want ErrEmpty", err)
	}
	if _, err := (ImageOptions{}).Open(t.Context()); !errors.Is(err, ErrEmpty) {
		t.Errorf("no paths: %v, want ErrEmpty", err)
	}
	for _, path := range []string{"absent", "absent/*.png"} {
		if _, err := (ImageOptions{}).Open(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want ErrNotExist", path, err)
		}
	}
	if _, err := (ImageOptions{}).Open(t.Context(), "-"); !errors.Is(err, ErrUnsupported) {
		t.Errorf("standard input: %v, want ErrUnsupported", err)
	}
}

func TestOpenImagesProgress(t *testing.T) {
	pictures(t, "1.png", "2.png", "3.png", "4.png", "5.png")
	var steps []int
	options := ImageOptions{Progress: func(done, total int) {
		steps = append(steps, done)
		if total != 5 {
			t.Errorf("total %d, want 5", total)
		}
	}}
	if _, err := options.Open(t.Context(), "."); err != nil {
		t.Fatal(err)
	}
	if want := []int{1, 2, 3, 4, 5}; !slices.Equal(steps, want) {
		t.Errorf("progress %d, want %d", steps, want)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	options.Progress = func(done, _ int) { cancel(stop) }
	if _, err := options.Open(ctx, "."); !errors.Is(err, stop) {
		t.Errorf("Open = %v, want the cause why the context ended", err)
	}
}

func TestPixelsOfAbsentFile(t *testing.T) {
	pictures(t, "1.png")
	s, err := ImageOptions{}.Open(t.Context(), ".")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove("1.png"); err != nil {
		t.Fatal(err)
	}
	_, err = s.Pixels(0, &picture.Preprocessing{})
	if !errors.Is(err, fs.ErrNotExist) || strings.Count(err.Error(), "1.png") != 1 {
		t.Errorf("Pixels = %v, want an error that names the file once", err)
	}
}
