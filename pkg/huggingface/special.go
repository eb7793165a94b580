package huggingface

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// settingsName is the file of Transformers' own settings of a tokenizer.
const settingsName = "tokenizer_config.json"

// specialTokens are the roles of tokens and the keys that name them.
var specialTokens = []struct{ name, key string }{
	{"bos", "bos_token_id"},
	{"eos", "eos_token_id"},
	{"eot", "eot_token_id"},
	{"eom", "eom_token_id"},
	{"unk", "unknown_token_id"},
	{"sep", "seperator_token_id"}, //nolint:misspell // ggml spells the key so
	{"pad", "padding_token_id"},
	{"mask", "mask_token_id"},
}

// tokenText is the text of a special token: a string, or an object with it.
type tokenText string

// UnmarshalJSON reads either form; anything else, such as null, is no token.
func (t *tokenText) UnmarshalJSON(data []byte) error {
	var object struct {
		Content string `json:"content"`
	}
	switch data[0] {
	case '"':
		return json.Unmarshal(data, (*string)(t))
	case '{':
		err := json.Unmarshal(data, &object)
		*t = tokenText(object.Content)
		return err
	}
	return nil
}

// readSpecial finds which tokens have which role. What tokenizer_config.json says comes before special_tokens_map.json,
// the ids of config.json and generation_config.json, and what the vocabulary itself says.
func (v *vocabulary) readSpecial(r *root) error {
	own := maps.Clone(v.special)
	clear(v.special)
	for _, name := range []string{settingsName, "special_tokens_map.json"} {
		var texts map[string]json.RawMessage
		if err := r.readOptionalJSON(name, &texts); err != nil {
			return err
		}
		for _, s := range specialTokens {
			var text tokenText
			if err := decodeMember(texts, s.name+"_token", &text); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			v.setSpecial(s.name, string(text))
			var on *bool
			if err := decodeMember(texts, "add_"+s.name+"_token", &on); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if on != nil {
				v.add[s.name] = *on
			}
		}
		if err := v.readPrefixSpace(texts); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, name := range []string{"config.json", "generation_config.json"} {
		if err := v.readIDs(r, name); err != nil {
			return err
		}
	}
	for name, id := range own {
		v.setID(name, id)
	}
	return nil
}

// decodeMember decodes a member of an object into x, if it is there.
func decodeMember(object map[string]json.RawMessage, key string, x any) error {
	raw, ok := object[key]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, x); err != nil {
		return fmt.Errorf("%w: %q: %w", ErrInvalid, key, err)
	}
	return nil
}

// readPrefixSpace takes over whether a space is put before a text, if the settings say so.
func (v *vocabulary) readPrefixSpace(settings map[string]json.RawMessage) error {
	var on *bool
	if err := decodeMember(settings, "add_prefix_space", &on); err != nil {
		return err
	}
	if on != nil && v.model == modelSentencePiece {
		v.spacePrefix = *on
	}
	return nil
}

// setSpecial gives a role to the token of a text, unless the role is taken or there is no such token.
func (v *vocabulary) setSpecial(role, text string) {
	if id, ok := v.ids[text]; ok {
		v.setID(role, id)
	}
}

// setID gives a role to a token unless it is taken.
func (v *vocabulary) setID(role string, id uint64) {
	if _, taken := v.special[role]; !taken {
		v.special[role] = id
	}
}

// readIDs reads the ids of special tokens from a configuration. EOS may be a list: the first that is not EOS already ends
// a turn, the next one a message.
func (v *vocabulary) readIDs(r *root, name string) error {
	var values map[string]json.RawMessage
	if err := r.readOptionalJSON(name, &values); err != nil {
		return err
	}
	for _, s := range specialTokens {
		var one *int64
		var list []int64
		raw, ok := values[s.name+"_token_id"]
		if !ok {
			continue
		}
		if json.Unmarshal(raw, &one) == nil && one != nil {
			list = []int64{*one}
		} else if err := json.Unmarshal(raw, &list); err != nil {
			return fmt.Errorf("%w: %s: %q: %w", ErrInvalid, name, s.name+"_token_id", err)
		}
		v.setList(s.name, list)
	}
	return nil
}

// setList gives a role to the first id of a list, and those of ending a turn and a message to the others that end a text.
func (v *vocabulary) setList(role string, ids []int64) {
	ids = slices.DeleteFunc(ids, func(id int64) bool { return id < 0 || id >= maxDimension })
	if len(ids) == 0 {
		return
	}
	v.setID(role, uint64(ids[0]))
	if role != "eos" {
		return
	}
	others := slices.DeleteFunc(ids, func(id int64) bool { return uint64(id) == v.special["eos"] })
	for i, role := range []string{"eot", "eom"} {
		if i < len(others) {
			v.setID(role, uint64(others[i]))
		}
	}
}

// readTemplates reads the chat templates: a file of their own, or a member of the settings, which is a text or a list of
// named ones.
func (v *vocabulary) readTemplates(r *root) error {
	text, err := r.read("chat_template.jinja")
	if err == nil {
		v.templates[""] = string(text)
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range []string{settingsName, "chat_template.json"} {
		var settings struct {
			Template json.RawMessage `json:"chat_template"`
		}
		if err := r.readOptionalJSON(name, &settings); err != nil {
			return err
		}
		if len(settings.Template) == 0 || len(v.templates) > 0 {
			continue
		}
		if err := v.readTemplate(settings.Template); err != nil {
			return fmt.Errorf("%w: %s: \"chat_template\": %w", ErrInvalid, name, err)
		}
	}
	return nil
}

// readTemplate reads the member of the settings.
func (v *vocabulary) readTemplate(raw json.RawMessage) error {
	var text *string
	if json.Unmarshal(raw, &text) == nil {
		if text != nil {
			v.templates[""] = *text
		}
		return nil
	}
	var list []struct{ Name, Template string }
	if err := json.Unmarshal(raw, &list); err != nil {
		return err
	}
	for _, t := range list {
		if t.Name == "default" {
			t.Name = ""
		}
		v.templates[t.Name] = t.Template
	}
	return nil
}

// chatTemplates writes the templates: the default one under the plain key, the others under keys with their names.
func (v *conversion) chatTemplates() {
	const key = "tokenizer.chat_template"
	var names []string
	for _, name := range slices.Sorted(maps.Keys(v.folder.tokens.templates)) {
		template := v.folder.tokens.templates[name]
		if name == "" {
			v.failed(v.writer.Set(key, template))
			continue
		}
		names = append(names, name)
		v.failed(v.writer.Set(key+"."+name, template))
	}
	if names != nil {
		v.failed(v.writer.Set(key+"s", names))
	}
}
