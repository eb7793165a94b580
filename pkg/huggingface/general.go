package huggingface

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// fileTypes are the numbers of general.file_type, enum llama_ftype of llama.cpp's llama.h. K formats have the number of
// their small variant, all matrices alike.
var fileTypes = map[gguf.Type]uint32{
	gguf.TypeF32: 0, gguf.TypeF16: 1, gguf.TypeQ4_0: 2, gguf.TypeQ4_1: 3, gguf.TypeQ8_0: 7, gguf.TypeQ5_0: 8, gguf.TypeQ5_1: 9,
	gguf.TypeQ2_K: 10, gguf.TypeQ3_K: 11, gguf.TypeQ4_K: 14, gguf.TypeQ5_K: 16, gguf.TypeQ6_K: 18,
	gguf.TypeIQ4_NL: 25, gguf.TypeIQ4_XS: 30, gguf.TypeBF16: 32, gguf.TypeMXFP4: 38,
}

// quantizationVersion is GGML_QNT_VERSION of ggml.h, the version of the block formats.
const quantizationVersion = 2

// general writes what the file is and where it comes from.
func (v *conversion) general() {
	set := func(key string, value any) { v.failed(v.writer.Set("general."+key, value)) }
	name, organization := v.folder.root.origin()
	set("architecture", v.family.architecture)
	set("type", "model")
	set("name", name)
	if organization != "" {
		set("organization", organization)
		set("repo_url", "https://huggingface.co/"+organization+"/"+name)
	}
	card := readCard(v.folder.root)
	for _, k := range []struct{ key, value string }{
		{"license", card.License.first()}, {"license.name", card.LicenseName}, {"license.link", card.LicenseLink},
	} {
		if k.value != "" {
			set(k.key, k.value)
		}
	}
	if len(card.BaseModel) > 0 {
		set("base_model.count", uint32(len(card.BaseModel)))
	}
	for i, base := range card.BaseModel {
		owner, short, ok := strings.Cut(base, "/")
		if !ok {
			owner, short = "", base
		}
		set(fmt.Sprintf("base_model.%d.name", i), short)
		if ok {
			set(fmt.Sprintf("base_model.%d.organization", i), owner)
			set(fmt.Sprintf("base_model.%d.repo_url", i), "https://huggingface.co/"+base)
		}
	}
	matrices := v.matrixType()
	if n, ok := fileTypes[matrices]; ok {
		set("file_type", n)
	}
	if matrices.BlockLen() > 1 {
		set("quantization_version", uint32(quantizationVersion))
	}
}

// matrixType returns the type that stands for the file: what was asked for, or that of the first matrix.
func (v *conversion) matrixType() gguf.Type {
	matrix := func(r rule) bool { return len(r.shape) == 2 && r.how&exact == 0 }
	if i := slices.IndexFunc(v.family.tensors, matrix); !v.opts.Convert && i >= 0 {
		if t := v.folder.tensors[strings.Replace(v.family.tensors[i].from, "{l}", "0", 1)]; t != nil {
			typ, _ := t.ggmlType() // an unreadable one is an error when it is added
			return typ
		}
	}
	return v.opts.Type
}

// origin returns the name of the folder. In the hub's cache that of the repository tells name and organization.
func (r *root) origin() (name, organization string) {
	base := filepath.Base(r.top.Name())
	if rest, ok := strings.CutPrefix(base, "models--"); ok && r.within != "." {
		if owner, short, ok := strings.Cut(rest, "--"); ok {
			return short, owner
		}
		return rest, ""
	}
	return base, ""
}

// card is the part of a model card's front matter that goes into the file.
type card struct {
	License     words  `yaml:"license"`
	LicenseName string `yaml:"license_name"`
	LicenseLink string `yaml:"license_link"`
	BaseModel   words  `yaml:"base_model"`
}

// words is a text, or a list of texts.
type words []string

func (w words) first() string {
	if len(w) == 0 {
		return ""
	}
	return w[0]
}

// UnmarshalYAML reads either form.
func (w *words) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*w = words{node.Value}
		return nil
	}
	return node.Decode((*[]string)(w))
}

// maxCardBytes bounds the front matter that is looked at.
const maxCardBytes = 64 << 10

// readCard reads the YAML between two lines --- at the start of README.md. A card is written by hand and decides nothing,
// so one that is missing or cannot be read is an empty one.
func readCard(r *root) card {
	text, err := r.read("README.md")
	if err != nil {
		return card{}
	}
	text = bytes.ReplaceAll(text[:min(len(text), maxCardBytes)], []byte("\r\n"), []byte("\n"))
	matter, ok := bytes.CutPrefix(text, []byte("---\n"))
	if !ok {
		return card{}
	}
	matter, _, ok = bytes.Cut(matter, []byte("\n---"))
	var c card
	if !ok || yaml.Unmarshal(matter, &c) != nil {
		return card{}
	}
	return c
}
