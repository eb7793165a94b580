package dataset

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// tree makes a folder with files, whose text is their path, and goes there.
func tree(t *testing.T, paths ...string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, path := range paths {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(path), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// link makes a symbolic link, or skips the test where there are none.
func link(t *testing.T, to, from string) {
	t.Helper()
	if err := os.Symlink(to, from); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
}

func TestFolder(t *testing.T) {
	tree(t, "data/b.txt", "data/a/x.txt", "data/a.txt", "data/README.md", "data/.hidden.txt", "data/.git/x.txt", "data/a/deep/er/y.txt", "other/z.txt")
	link(t, "../other/z.txt", "data/linked.txt") // as in the caches of downloads
	link(t, "..", "data/a/round.txt")            // round in a circle
	link(t, "nothing.txt", "data/dead.txt")
	link(t, "data", "same")
	for _, folder := range []string{"data", "data/", "same"} {
		s, err := Open(folder)
		if err != nil {
			t.Fatal(err)
		}
		root := filepath.Clean(folder)
		in := func(names ...string) (paths []string) {
			for _, name := range names {
				paths = append(paths, filepath.Join(root, filepath.FromSlash(name)))
			}
			return paths
		}
		// By the whole path, byte by byte: '.' comes before '/'.
		if want := in("a.txt", "a/deep/er/y.txt", "a/x.txt", "b.txt", "linked.txt"); !slices.Equal(s.Files(), want) {
			t.Errorf("%s: files %q, want %q", folder, s.Files(), want)
		}
		if want := in(".git", ".hidden.txt", "README.md", "a/round.txt", "dead.txt"); !slices.Equal(slices.Sorted(slices.Values(s.LeftOut())), want) {
			t.Errorf("%s: left out %q, want %q", folder, s.LeftOut(), want)
		}
		if s.Documents()[0] != "data/a.txt" || s.Documents()[4] != "other/z.txt" {
			t.Errorf("%s: documents %q", folder, s.Documents())
		}
	}
	tree(t, "only/README.md")
	if _, err := Open("only"); !errors.Is(err, ErrEmpty) {
		t.Errorf("a folder without data: %v, want ErrEmpty", err)
	}
}

func TestPatterns(t *testing.T) {
	tree(t, "a1.txt", "a2.txt", "b.jsonl", "d/a3.txt", "d/e/a4.txt", "d/.h/a5.txt", ".a6.txt", "odd[1].txt", "f.txt/a7.txt")
	link(t, "..", "d/round")
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		pattern string
		want    []string
	}{
		{"a*.txt", []string{"a1.txt", "a2.txt"}},
		{"a[2-9].txt", []string{"a2.txt"}},
		{"?1.txt", []string{"a1.txt"}},
		{".a*.txt", []string{".a6.txt"}},
		{"*/*.txt", []string{"d/a3.txt", "f.txt/a7.txt"}},
		{"d/*/*.txt", []string{"d/e/a4.txt", "d/round/a1.txt", "d/round/a2.txt", "d/round/odd[1].txt"}},
		{"**/a*.txt", []string{"a1.txt", "a2.txt", "d/a3.txt", "d/e/a4.txt", "f.txt/a7.txt"}},
		{"**/**/a4.txt", []string{"d/e/a4.txt"}},
		{"d/**", []string{"d/a3.txt", "d/e/a4.txt"}},
		{"./d/*.txt", []string{"d/a3.txt"}},
		{"odd[1].txt", []string{"odd[1].txt"}}, // it exists
		{"c*", nil},
		{"nowhere/*.txt", nil},
	}
	for _, test := range tests {
		for _, root := range []string{"", here} {
			files, _, err := expand(filepath.Join(root, filepath.FromSlash(test.pattern)), isData)
			var want []string
			for _, name := range test.want {
				want = append(want, filepath.Join(root, filepath.FromSlash(name)))
			}
			if (err != nil) != (want == nil) || err != nil && !errors.Is(err, fs.ErrNotExist) || !slices.Equal(files, want) {
				t.Errorf("%q in %q: %q, %v, want %q", test.pattern, root, files, err, want)
			}
		}
	}
	if _, err := Open("[a-"); err == nil {
		t.Error("a broken pattern is taken")
	}
}
