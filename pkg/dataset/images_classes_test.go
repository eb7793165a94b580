package dataset

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestClassesAndLabels(t *testing.T) {
	pictures(t, "data/dog/1.png", "data/cat/1.png", "data/Eel/1.png", "digits/0/1.png", "digits/10/1.png", "digits/9/1.png")
	tests := []struct {
		name    string
		folder  string
		options ImageOptions
		labels  []string
		classes []int // of Eel, cat, dog or 0, 10, 9: as files are sorted
	}{
		{"no labels", "data", ImageOptions{}, []string{"Eel", "cat", "dog"}, []int{0, 1, 2}},
		{"numbers by value", "digits", ImageOptions{}, []string{"0", "9", "10"}, []int{0, 2, 1}},
		{"labels", "data", ImageOptions{Labels: []string{"ant", "cat", "dog", "Eel"}}, []string{"ant", "cat", "dog", "Eel"}, []int{3, 1, 2}},
		{"labels in other case", "data", ImageOptions{Labels: []string{"DOG", "CAT", "eel"}}, []string{"DOG", "CAT", "eel"}, []int{2, 1, 0}},
		{"the same case goes first", "data", ImageOptions{Labels: []string{"Cat", "cat", "dog", "eel"}}, []string{"Cat", "cat", "dog", "eel"}, []int{3, 1, 2}},
		{"labels that say nothing", "digits", ImageOptions{Labels: []string{"LABEL_0", "LABEL_1", "LABEL_2"}}, []string{"LABEL_0", "LABEL_1", "LABEL_2"}, []int{0, 2, 1}},
		{"more labels that say nothing", "data", ImageOptions{Labels: []string{"LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"}}, []string{"LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"}, []int{-1, -1, -1}},
		{"other labels", "data", ImageOptions{Labels: []string{"x", "y", "z"}}, []string{"x", "y", "z"}, []int{-1, -1, -1}},
		{"some classes", "data", ImageOptions{Classes: []string{"dog", "eel"}}, []string{"Eel", "dog"}, []int{0, 1}},
		{"some classes, others no labels", "data", ImageOptions{Classes: []string{"dog"}, Labels: []string{"ant", "dog"}}, []string{"ant", "dog"}, []int{1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := test.options.Open(t.Context(), test.folder)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Labels(); !slices.Equal(got, test.labels) {
				t.Errorf("labels %q, want %q", got, test.labels)
			}
			if got := classes(s); !slices.Equal(got, test.classes) {
				t.Errorf("classes %d, want %d", got, test.classes)
			}
		})
	}
}

func TestClassesRefused(t *testing.T) {
	pictures(t, "data/dog/1.png", "data/cat/1.png")
	tests := []struct {
		name    string
		options ImageOptions
		want    error
		says    []string
	}{
		{"a class that is not there", ImageOptions{Classes: []string{"cat", "emu"}}, ErrClass, []string{`"emu"`, `"cat" "dog"`}},
		{"some labels", ImageOptions{Labels: []string{"ant", "cat"}}, ErrLabels, []string{`"dog"`, `"ant" "cat"`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := test.options.Open(t.Context(), "data")
			if !errors.Is(err, test.want) {
				t.Fatalf("Open = %v, want an error that wraps %q", err, test.want)
			}
			for _, says := range test.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("Open = %q, want it to say %s", err, says)
				}
			}
		})
	}
}

func TestMetadata(t *testing.T) {
	pictures(t, "data/1.png", "data/2.png", "data/sub/3.png", "data/sub/4.png", "data/sub/5.png")
	write(t, "data/metadata.jsonl", []byte("\ufeff"+`{"file_name": "1.png", "label": "cat", "text": "x"}

{"file_name": "sub/3.png", "label": "dog"}
{"file_name": "2.png", "label": null}
`))
	write(t, "data/sub/metadata.jsonl", []byte(`{"file_name": "4.png", "label": "cat"}`))
	s, err := ImageOptions{}.Open(t.Context(), "data")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.Labels(), []string{"cat", "dog", "sub"}; !slices.Equal(got, want) {
		t.Errorf("labels %q, want %q", got, want)
	}
	if got, want := classes(s), []int{0, Unknown, 1, 0, 2}; !slices.Equal(got, want) {
		t.Errorf("classes %d, want %d", got, want)
	}
	if len(s.LeftOut()) != 0 {
		t.Errorf("left out %q, want nothing", s.LeftOut())
	}
}

func TestMetadataByNumber(t *testing.T) {
	pictures(t, "1.png", "2.png", "3.png")
	write(t, metadataName, []byte(`{"file_name": "1.png", "label": 10}
{"file_name": "2.png", "label": 2}
{"file_name": "3.png", "label": 10}`))
	s, err := ImageOptions{}.Open(t.Context(), ".")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.Labels(), []string{"2", "10"}; !slices.Equal(got, want) {
		t.Errorf("labels %q, want %q", got, want)
	}
	if got, want := classes(s), []int{1, 0, 1}; !slices.Equal(got, want) {
		t.Errorf("classes %d, want %d", got, want)
	}
	// Of labels with the same name the number tells which is meant.
	labels := make([]string, 11)
	for i := range labels {
		labels[i] = "crane"
	}
	s, err = ImageOptions{Labels: labels}.Open(t.Context(), ".")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := classes(s), []int{10, 2, 10}; !slices.Equal(got, want) {
		t.Errorf("classes %d, want %d", got, want)
	}
}

func TestMetadataRefused(t *testing.T) {
	tests := []struct {
		name, line string
		want       error // nil for one of the JSON decoder
	}{
		{"a missing file", `{"file_name": "absent.png", "label": "cat"}`, errNotThere},
		{"no picture", `{"file_name": "notes.txt", "label": "cat"}`, errNotThere},
		{"the folder above", `{"file_name": "../outside.png", "label": "cat"}`, errOutside},
		{"a way round", `{"file_name": "sub/../../outside.png", "label": "cat"}`, errOutside},
		{"an absolute path", `{"file_name": "/etc/passwd", "label": "cat"}`, errOutside},
		{"a file twice", `{"file_name": "1.png", "label": "cat"}`, errTwice},
		{"no file name", `{"label": "cat"}`, errNoFileName},
		{"a number for a name", `{"file_name": 1, "label": "cat"}`, errNoFileName},
		{"a label of another kind", `{"file_name": "2.png", "label": ["cat"]}`, errLabel},
		{"a negative label", `{"file_name": "2.png", "label": -1}`, errLabel},
		{"a label with a fraction", `{"file_name": "2.png", "label": 1.5}`, errLabel},
		{"a label beyond the model's", `{"file_name": "2.png", "label": 1}`, errLabel},
		{"a broken line", `{"file_name": `, nil},
		{"a list", `["1.png"]`, nil},
		{"not UTF-8", "{\"file_name\": \"\xff.png\"}", errNotUTF8},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			pictures(t, "data/1.png", "data/2.png", "data/notes.txt", "outside.png")
			write(t, "data/metadata.jsonl", []byte(`{"file_name": "1.png", "label": "cat"}`+"\n"+test.line+"\n"))
			options := ImageOptions{Labels: []string{"cat"}, BadImage: func(e *ImageError) { t.Errorf("reported as a picture: %v", e) }}
			_, err := options.Open(t.Context(), "data")
			var bad *RowError
			if !errors.As(err, &bad) || filepath.ToSlash(bad.File) != "data/metadata.jsonl" || bad.Line != 2 {
				t.Fatalf("Open = %v, want an error of line 2 of data/metadata.jsonl", err)
			}
			if test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("Open = %v, want an error that wraps %q", err, test.want)
			}
		})
	}
}
