package tokenizer

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

// chatty is the SentencePiece toy with a chat template.
func chatty(t *testing.T, template string) *Tokenizer {
	t.Helper()
	v := toy(english...)
	v.ChatTemplate = template
	return build(t, v)
}

// TestChatEqualsHuggingFace compares with what @huggingface/jinja 0.5 makes of the templates of common models. Null is
// a template that raises an exception.
func TestChatEqualsHuggingFace(t *testing.T) {
	data, err := os.ReadFile("testdata/chat.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden []struct {
		Name, Template      string
		User, System, Turns *string
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	user := Message{"user", " Hello <b>\"there\"</b>, it's 2+2? \n"}
	for _, g := range golden {
		t.Run(g.Name, func(t *testing.T) {
			tok := chatty(t, g.Template)
			for _, c := range []struct {
				messages []Message
				want     *string
			}{
				{[]Message{user}, g.User},
				{[]Message{{"system", "Be brief."}, user}, g.System},
				{[]Message{user, {"assistant", "4"}, user}, g.Turns},
			} {
				got, err := tok.Chat(c.messages)
				switch {
				case c.want == nil && !errors.Is(err, ErrChat):
					t.Errorf("%d messages: %q, %v; want ErrChat", len(c.messages), got, err)
				case c.want != nil && (err != nil || got != *c.want):
					t.Errorf("%d messages: %q, %v; want %q", len(c.messages), got, err, *c.want)
				}
			}
		})
	}
}

func TestChatRefuses(t *testing.T) {
	tests := []struct{ name, template, want string }{
		{"none", "", "is missing"},
		{"syntax", "{% if %}", "chat template"},
		{"unclosed", "{{ messages", "chat template"},
		{"raised", "{{ raise_exception('not for you') }}", "not for you"},
		{"other files", "{% include '/etc/passwd' %}", "chat template"},
		{"long", strings.Repeat("x", maxTemplate+1), "too many"},
		{"long text", "{% for i in range(20000) %}" + strings.Repeat("x", 1000) + "{% endfor %}", "too many"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := chatty(t, test.template).Chat([]Message{{"user", "x"}})
			if !errors.Is(err, ErrChat) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Chat = %q, %v; want ErrChat with %q", got, err, test.want)
			}
		})
	}
}

// A template that goes on for ever, or doubles what it has, is abandoned: here by a function that ends when it is.
func TestChatBounds(t *testing.T) {
	abandoned := make(chan struct{})
	defer close(abandoned)
	if _, err := bounded(func() (string, error) { <-abandoned; return "", nil }); err == nil || !strings.Contains(err.Error(), "5s") {
		t.Errorf("no end: %v, want an error that says 5s", err)
	}
	_, err := bounded(func() (string, error) {
		hoard := make([]byte, 2*maxRenderHeap)
		<-abandoned
		return string(hoard[:1]), nil
	})
	if err == nil || !strings.Contains(err.Error(), "268 MB") && !strings.Contains(err.Error(), "256 MB") {
		t.Errorf("too much memory: %v, want an error that says so", err)
	}
}

func TestEncodeChat(t *testing.T) {
	tok := chatty(t, "")
	for text, want := range map[string]string{"a</s>": "<s> ▁a </s>", "<s>a</s>": "<s> ▁a </s>"} {
		if got := pieces(tok, tok.EncodeChat(text)); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("EncodeChat(%q) = %q, want %q", text, got, want)
		}
	}
}
