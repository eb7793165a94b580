package main

import "testing"

func TestFileSize(t *testing.T) {
	for _, test := range []struct {
		text  string
		want  fileSize // 0: refused
		shown string
	}{
		{"1K", 1000, "1K"},
		{"1500K", 1500000, "1500K"},
		{"2000M", 2000000000, "2G"},
		{"2G", 2000000000, "2G"},
		{"9223372036G", 9223372036000000000, "9223372036G"},
		{text: "9223372037G"},
		{text: "18446744073709551616K"},
		{text: ""}, {text: "G"}, {text: "2"}, {text: "0G"}, {text: "-1G"}, {text: "1.5G"}, {text: "2g"}, {text: "2 G"}, {text: "2GB"},
	} {
		var got fileSize
		err := got.Set(test.text)
		if got != test.want || (err == nil) != (test.want > 0) || got.String() != test.shown {
			t.Errorf("%q: got %d shown as %q, %v; want %d shown as %q", test.text, got, got.String(), err, test.want, test.shown)
		}
	}
}
