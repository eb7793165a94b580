package huggingface

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/elastiformer/elastiformer/internal/reference"
	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// What tensors of a vit file are called by Transformers, written down by hand from its modules: those of ViT, which most
// classes share, and what is different elsewhere.
var (
	vitNames = map[string]string{
		"v.class_embd": "embeddings.cls_token", "v.dist_embd": "embeddings.distillation_token",
		"v.patch_embd": "embeddings.patch_embeddings.projection", "v.position_embd.weight": "embeddings.position_embeddings",
		"v.post_ln":         "layernorm",
		"v.blk.%s.ln1":      "encoder.layer.%s.layernorm_before",
		"v.blk.%s.ln2":      "encoder.layer.%s.layernorm_after",
		"v.blk.%s.attn_q":   "encoder.layer.%s.attention.attention.query",
		"v.blk.%s.attn_k":   "encoder.layer.%s.attention.attention.key",
		"v.blk.%s.attn_v":   "encoder.layer.%s.attention.attention.value",
		"v.blk.%s.attn_out": "encoder.layer.%s.attention.output.dense",
		"v.blk.%s.ffn_up":   "encoder.layer.%s.intermediate.dense", "v.blk.%s.ffn_down": "encoder.layer.%s.output.dense",
	}
	dinov2Names = with(vitNames, map[string]string{
		"v.register_embd": "embeddings.register_tokens",
		"v.blk.%s.ln1":    "encoder.layer.%s.norm1", "v.blk.%s.ln2": "encoder.layer.%s.norm2",
		"v.blk.%s.ls1.weight": "encoder.layer.%s.layer_scale1.lambda1", "v.blk.%s.ls2.weight": "encoder.layer.%s.layer_scale2.lambda1",
		"v.blk.%s.ffn_up": "encoder.layer.%s.mlp.fc1", "v.blk.%s.ffn_down": "encoder.layer.%s.mlp.fc2",
	})
	towerNames = map[string]string{
		"v.class_embd": "embeddings.class_embedding", "v.patch_embd": "embeddings.patch_embedding",
		"v.position_embd.weight": "embeddings.position_embedding.weight", "v.pre_ln": "pre_layrnorm", "v.post_ln": "post_layernorm",
		"v.blk.%s.ln1": "encoder.layers.%s.layer_norm1", "v.blk.%s.ln2": "encoder.layers.%s.layer_norm2",
		"v.blk.%s.attn_q": "encoder.layers.%s.self_attn.q_proj", "v.blk.%s.attn_k": "encoder.layers.%s.self_attn.k_proj",
		"v.blk.%s.attn_v": "encoder.layers.%s.self_attn.v_proj", "v.blk.%s.attn_out": "encoder.layers.%s.self_attn.out_proj",
		"v.blk.%s.ffn_up": "encoder.layers.%s.mlp.fc1", "v.blk.%s.ffn_down": "encoder.layers.%s.mlp.fc2",
	}
	maeNames = map[string]string{
		"v.dec.embd": "decoder.decoder_embed", "v.dec.mask_embd": "decoder.mask_token",
		"v.dec.position_embd.weight": "decoder.decoder_pos_embed", "v.dec.post_ln": "decoder.decoder_norm", "v.dec.out": "decoder.decoder_pred",
	}
)

// with returns the names of a, or b's where both have one.
func with(a, b map[string]string) map[string]string {
	both := maps.Clone(a)
	maps.Copy(both, b)
	return both
}

// encoderInverse names the tensors of a vit file as a class of Transformers does.
type encoderInverse struct {
	base  string            // in front of names of the encoder
	names map[string]string // of the encoder
	heads map[string]string // of what stands beside it
}

var encoderInverses = map[string]encoderInverse{
	"vit":              {"vit.", vitNames, map[string]string{"v.head": "classifier"}},
	"vit-model":        {"", vitNames, nil},
	"deit":             {"deit.", vitNames, map[string]string{"v.head": "cls_classifier", "v.head_dist": "distillation_classifier"}},
	"dinov2":           {"dinov2.", dinov2Names, map[string]string{"v.head": "classifier"}},
	"dinov2-registers": {"dinov2_with_registers.", dinov2Names, map[string]string{"v.head": "classifier"}},
	"mae":              {"vit.", vitNames, maeNames},
	"clip":             {"vision_model.", towerNames, nil},
	"siglip":           {"vision_model.", towerNames, nil},
}

// name returns what Transformers calls a tensor.
func (v encoderInverse) name(name string) string {
	layer, ending := "", ""
	if parts := strings.Split(name, "."); parts[1] == "blk" || parts[1] == "dec" && parts[2] == "blk" {
		i := slices.Index(parts, "blk") + 1
		layer, parts[i] = parts[i], "%s"
		name = strings.Join(parts, ".")
	}
	for _, lookup := range []string{name, strings.TrimSuffix(strings.TrimSuffix(name, ".weight"), ".bias")} {
		ending = name[len(lookup):]
		decoder := strings.HasPrefix(lookup, "v.dec.blk.")
		if decoder { // layers like those of the encoder
			lookup = "v." + strings.TrimPrefix(lookup, "v.dec.")
		}
		if to, ok := v.names[lookup]; ok {
			if layer != "" {
				to = fmt.Sprintf(to, layer)
			}
			if decoder {
				return "decoder.decoder_layers." + strings.TrimPrefix(to, "encoder.layer.") + ending
			}
			return v.base + to + ending
		}
		if to, ok := v.heads[lookup]; ok {
			return to + ending
		}
	}
	return "no name for " + name
}

// shape returns the dimensions that Transformers has for a tensor.
func (v encoderInverse) shape(to string, dims []uint64) []uint64 {
	shape := slices.Clone(dims)
	slices.Reverse(shape)
	switch short := to[strings.LastIndex(to, ".")+1:]; short {
	case "cls_token", "distillation_token", "mask_token":
		return append([]uint64{1, 1}, shape...)
	case "register_tokens", "position_embeddings", "decoder_pos_embed":
		return append([]uint64{1}, shape...)
	}
	return shape
}

// Folders of every family become files with the same numbers under the names of vit, and with the keys that say the same.
func TestEncoderFolders(t *testing.T) {
	for name, inverse := range encoderInverses {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("testdata", "vision", name)
			folder, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer folder.Close()
			f := convert(t, dir, Options{})
			used := map[string]bool{}
			for _, g := range f.Tensors() {
				to := inverse.name(g.Name)
				used[to] = true
				w := folder.weights.tensors[to]
				if w == nil || !slices.Equal(inverse.shape(to, g.Dims), w.shape) || g.Type != gguf.TypeF32 {
					t.Errorf("%v comes from %q, %v", g, to, w)
					continue
				}
				got, err := f.Data(g)
				if err != nil {
					t.Fatal(err)
				}
				want := make([]byte, w.bytes)
				if err := readAt(w.file, want, int64(w.offset)); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s differs from %s (%v)", g.Name, to, err)
				}
			}
			compareKeys(t, f, encoderKeysOf[name])
			checkLeftOut(t, folder, used)
		})
	}
}

// The class of the encoder alone leaves out what the class with the decoder takes.
func TestEncoderWithoutDecoder(t *testing.T) {
	folder, err := Open(writeFolder(t, edited(t, "mae", "config.json", `"architectures": ["ViTMAEModel"]`)))
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if _, err := folder.GGUF(Options{}); err != nil || !slices.Equal(folder.LeftOut(), []string{"decoder"}) {
		t.Errorf("left out %v, %v", folder.LeftOut(), err)
	}
}

// checkLeftOut compares what a folder says is left out with what is.
func checkLeftOut(t *testing.T, folder *Folder, used map[string]bool) {
	t.Helper()
	named := map[string]bool{}
	for name := range folder.weights.tensors {
		in := func(part string) bool { return name == part || strings.HasPrefix(name, part+".") }
		i := slices.IndexFunc(folder.LeftOut(), in)
		if used[name] == (i >= 0) && !strings.HasSuffix(name, "position_ids") {
			t.Errorf("%s: used %t, left out %v", name, used[name], folder.LeftOut())
		}
		if i >= 0 {
			named[folder.LeftOut()[i]] = true
		}
	}
	if len(named) != len(folder.LeftOut()) {
		t.Errorf("left out %v, found %v", folder.LeftOut(), named)
	}
}

// A trained encoder, taken apart into a folder, becomes the same file again.
func TestReferenceEncoder(t *testing.T) {
	want, ok := reference.Open(t, filepath.Join(reference.Folder(t), "models", "vit-cifar10-pre-F32.gguf"))
	if !ok {
		return
	}
	labels := map[string]string{}
	names, _ := want.Strings("vit.class_labels")
	for i, name := range names {
		labels[fmt.Sprint(i)] = name
	}
	floats := func(key string) []float32 { x, _ := want.Floats(key); return x }
	epsilon, _ := want.Float("vit.attention.layer_norm_epsilon")
	var tensors []stored
	for _, g := range want.Tensors() {
		data, err := want.Data(g)
		if err != nil {
			t.Fatal(err)
		}
		inverse := encoderInverses["vit"]
		to := inverse.name(g.Name)
		tensors = append(tensors, stored{to, "F32", inverse.shape(to, g.Dims), data})
	}
	got := convert(t, writeFolder(t, map[string]any{
		"config.json": object{
			"architectures": []string{"ViTForImageClassification"}, "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 8,
			"num_attention_heads": 4, "image_size": 32, "patch_size": 4, "num_channels": 3, "hidden_act": "gelu", "layer_norm_eps": epsilon,
			"qkv_bias": true, "id2label": labels,
		},
		"preprocessor_config.json": object{
			"image_processor_type": "ViTImageProcessor", "size": object{"height": 32, "width": 32}, "resample": 2,
			"image_mean": floats("vit.image_mean"), "image_std": floats("vit.image_std"),
		},
		singleName: safetensorsBytes(t, tensors),
	}), Options{})
	compareTensors(t, got, want)
	for _, key := range want.Keys() {
		w, _ := want.Value(key)
		if g, ok := got.Value(key); strings.HasPrefix(key, "vit.") && (!ok || !reflect.DeepEqual(g.Any(), w.Any())) {
			t.Errorf("%s: got %v, want %v", key, g.Any(), w.Any())
		}
	}
}

// The weights of a folder may lie in several files.
func TestEncoderShards(t *testing.T) {
	dir := filepath.Join("testdata", "vision", "vit")
	folder, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	shards, weightMap := [2][]stored{}, object{}
	for i, name := range slices.Sorted(maps.Keys(folder.weights.tensors)) {
		x := folder.weights.tensors[name]
		data := make([]byte, x.bytes)
		if err := readAt(x.file, data, int64(x.offset)); err != nil {
			t.Fatal(err)
		}
		shards[i%2] = append(shards[i%2], stored{name, x.dtype, x.shape, data})
		weightMap[name] = fmt.Sprintf("model-%05d-of-00002.safetensors", i%2+1)
	}
	files := folderFiles(t, dir)
	delete(files, singleName)
	files[indexName] = object{"weight_map": weightMap}
	for i, shard := range shards {
		files[fmt.Sprintf("model-%05d-of-00002.safetensors", i+1)] = safetensorsBytes(t, shard)
	}
	compareTensors(t, convert(t, writeFolder(t, files), Options{}), convert(t, dir, Options{}))
}

// folderFiles reads the files of a folder.
func folderFiles(t testing.TB, dir string) map[string]any {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]any{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = data
	}
	return files
}
