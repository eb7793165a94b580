package dataset

import (
	"slices"
	"strings"
	"testing"
)

// fields is a row with these fields.
func fields(of map[string]string) row {
	return func(name string) field {
		text, ok := of[name]
		if !ok {
			return field{}
		}
		return field{words, text}
	}
}

func TestTemplate(t *testing.T) {
	r := fields(map[string]string{"q": "1+1?", "a": "2", "a b": "{q}", "é.x": "é"})
	tests := []struct {
		template, want string
		fields         []string
	}{
		{`{q}`, "1+1?", []string{"q"}},
		{`{q}\n{a}`, "1+1?\n2", []string{"q", "a"}},
		{`{q}{q}`, "1+1?1+1?", []string{"q", "q"}},
		{"Q:\t{q}\nA: {a}\n", "Q:\t1+1?\nA: 2\n", []string{"q", "a"}},
		{`{{{q}}}\\n\t.`, "{1+1?}\\n\t.", []string{"q"}},
		{`{a b} {é.x}`, "{q} é", []string{"a b", "é.x"}},
	}
	for _, test := range tests {
		p, err := ParseTemplate(test.template)
		if err != nil {
			t.Errorf("ParseTemplate(%q): %v", test.template, err)
			continue
		}
		got, err := p.fill(r, 100)
		if err != nil || got != test.want || !slices.Equal(p.Fields(), test.fields) || p.String() != test.template {
			t.Errorf("%q: %q of %q, %v, want %q of %q", test.template, got, p.Fields(), err, test.want, test.fields)
		}
	}
}

func TestTemplateRefuses(t *testing.T) {
	for template, want := range map[string]string{
		"":          "names no {field}",
		"text":      "names no {field}",
		"{{q}}":     "names no {field}",
		"{q":        "byte 0: { without }",
		"a{q{b}":    "byte 1: { without }",
		"{":         "byte 0: { without }",
		"{q} a} {b": "byte 5: } without {",
		"{}":        "byte 0: {} names no field",
		`{q}\r`:     `byte 3: \ is followed by none`,
		`{q}\`:      `byte 3: \ is followed by none`,
	} {
		if _, err := ParseTemplate(template); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseTemplate(%q): %v, want %q", template, err, want)
		}
	}
}

// FuzzTemplate: a template that is accepted says which fields it wants, gives their
// texts in place and nothing that is not in it.
func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{`{question}\n{answer}`, `{{{a}}}`, `\\{a b}\t`, "{", "}", `\`, "{}", "{{}}", "plain", "{é}\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		p, err := ParseTemplate(source)
		if err != nil {
			return
		}
		const mark = "\x00\x00"
		filled, err := p.fill(func(string) field { return field{words, mark} }, len(source)*len(mark))
		if err != nil {
			t.Fatalf("%q: %v", source, err)
		}
		literal := strings.ReplaceAll(filled, mark, "")
		named := len(strings.Join(p.Fields(), "")) + 2*len(p.Fields())
		if len(p.Fields()) == 0 || len(literal)+named > len(source) {
			t.Errorf("%q: literal text %q and fields %q are not in it", source, literal, p.Fields())
		}
		if _, err := p.fill(fields(nil), 1<<20); err == nil {
			t.Errorf("%q is filled without its fields", source)
		}
	})
}
