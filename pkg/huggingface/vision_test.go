package huggingface

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/elastiformer/elastiformer/pkg/gguf"
)

// encoderKeysOf are the keys of the folders in testdata/vision, worked out by hand from their JSON files.
var encoderKeysOf = map[string]string{
	"vit": "image_size=12 feed_forward_length=24 layer_norm_epsilon=1e-12 activation=gelu pooling=class labels" +
		" image_resize=exact image_resize_size=12 image_resample=bilinear half",
	"vit-model": "image_size=12 num_channels=1 feed_forward_length=24 layer_norm_epsilon=1e-06 activation=gelu_tanh pooling=class" +
		" image_resize=exact image_resize_size=12 image_resample=bilinear image_mean=[0.5] image_std=[0.25]",
	"deit": "image_size=12 feed_forward_length=24 layer_norm_epsilon=1e-12 activation=gelu pooling=class labels" +
		" image_resize=exact image_resize_size=14 image_resample=bicubic imagenet",
	"dinov2": "image_size=20 feed_forward_length=32 layer_norm_epsilon=1e-06 activation=gelu pooling=class_mean labels" +
		" image_crop_size=12 image_resize=shortest image_resize_size=14 image_resample=bicubic imagenet",
	"dinov2-registers": "image_size=20 feed_forward_length=32 layer_norm_epsilon=1e-06 activation=gelu pooling=class_mean labels" +
		" image_crop_size=12 image_resize=shortest image_resize_size=14 image_resample=bicubic imagenet register_count=3 position_antialias=true",
	"mae": "image_size=12 feed_forward_length=24 layer_norm_epsilon=1e-12 activation=gelu pooling=class" +
		" image_resize=exact image_resize_size=12 image_resample=bilinear imagenet" +
		" decoder.embedding_length=12 decoder.feed_forward_length=20 decoder.block_count=1 decoder.attention.head_count=3 mask_ratio=0.6 norm_pixels=true",
	"clip": "image_size=12 feed_forward_length=24 layer_norm_epsilon=1e-05 activation=gelu_quick pooling=class" +
		" image_resize=shortest image_resize_size=12 image_resample=bicubic" +
		" image_mean=[0.48145467,0.4578275,0.40821072] image_std=[0.26862955,0.2613026,0.2757771]",
	"siglip": "image_size=12 feed_forward_length=24 layer_norm_epsilon=1e-06 activation=gelu_tanh pooling=mean" +
		" image_crop_size=14 image_resize=exact image_resize_size=14 image_resample=bicubic half",
}

// abbreviations are what several lines of encoderKeysOf share; every line starts with that of "".
var abbreviations = map[string]string{
	"":         "patch_size=4 num_channels=3 embedding_length=16 block_count=2 attention.head_count=2 norm_order=pre",
	"labels":   "class_labels=[ant,bee,cat,dog,eel]",
	"half":     "image_mean=[0.5,0.5,0.5] image_std=[0.5,0.5,0.5]",
	"imagenet": "image_mean=[0.485,0.456,0.406] image_std=[0.229,0.224,0.225]",
}

// expandKeys returns the keys and values of a line.
func expandKeys(line string) map[string]string {
	keys := map[string]string{}
	for _, word := range strings.Fields(abbreviations[""] + " " + line) {
		pairs, ok := abbreviations[word]
		if !ok {
			pairs = strings.Replace(word, "layer_norm_epsilon", "attention.layer_norm_epsilon", 1)
		}
		for _, pair := range strings.Fields(pairs) {
			key, value, _ := strings.Cut(pair, "=")
			keys[key] = value
		}
	}
	return keys
}

// keysOf returns the keys of the architecture, numbers with the digits that tell a float32 from others.
func keysOf(f *gguf.File) map[string]string {
	keys := map[string]string{}
	for _, key := range f.Keys() {
		short, ok := strings.CutPrefix(key, "vit.")
		if !ok {
			continue
		}
		v, _ := f.Value(key)
		text := fmt.Sprint(v.Any())
		if x, ok := v.Any().(float64); ok {
			text = fmt.Sprint(float32(x))
		}
		if x, err := f.Floats(key); err == nil {
			text = strings.ReplaceAll(fmt.Sprint(x), " ", ",")
		} else if s, err := f.Strings(key); err == nil {
			text = strings.ReplaceAll(fmt.Sprint(s), " ", ",")
		}
		keys[short] = text
	}
	return keys
}

// compareKeys compares the keys of the architecture with a line of encoderKeysOf.
func compareKeys(t *testing.T, f *gguf.File, line string) {
	t.Helper()
	got, want := keysOf(f), expandKeys(line)
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s: got %q, want %q", key, got[key], value)
		}
	}
	for key, value := range got {
		if _, ok := want[key]; !ok {
			t.Errorf("%s: got %q, want none", key, value)
		}
	}
}

// edited is the folder name of testdata/vision with members of a JSON file replaced; null takes one away.
func edited(t testing.TB, name, file, members string) map[string]any {
	t.Helper()
	files := folderFiles(t, filepath.Join("testdata", "vision", name))
	values := map[string]json.RawMessage{}
	for _, text := range [][]byte{files[file].([]byte), []byte("{" + members + "}")} {
		if err := json.Unmarshal(text, &values); err != nil {
			t.Fatal(err)
		}
	}
	files[file] = values
	return files
}

// What the two files say otherwise, and the keys that become other; the form is that of encoderKeysOf.
func TestEncoderVariants(t *testing.T) {
	const config, images = "config.json", imagesName
	for _, r := range []struct{ name, file, members, want string }{
		{"vit", config, `"hidden_act": "gelu_new"`, "activation=gelu_tanh"},
		{"vit", config, `"hidden_act": "relu"`, "activation=relu"},
		{"vit", config, `"hidden_act": "silu"`, "activation=silu"},
		{"vit", config, `"image_size": [12, 12], "patch_size": [4, 4]`, ""},
		{"vit", config, `"image_size": 15`, ""}, // three patches and a rest
		{"vit", config, `"layer_norm_eps": null`, ""},
		{"vit", config, `"id2label": {"4": "e", "0": 7, "2": "c", "1": "b", "3": "d"}`, "class_labels=[7,b,c,d,e]"},
		{"vit", config, `"id2label": null, "num_labels": 5`, "class_labels="},
		{"dinov2", config, `"num_hidden_layers": 2, "mlp_ratio": 2.05`, ""}, // rounded down
		{"dinov2", config, `"use_swiglu_ffn": null`, ""},
		{"vit", images, `"size": 224`, "image_crop_size=224 image_resize_size=224"},
		{"vit", images, `"size": [16, 16]`, "image_crop_size=16 image_resize_size=16"},
		{"vit", images, `"size": {"height": 16, "width": 16}`, "image_crop_size=16 image_resize_size=16"},
		{"vit", images, `"size": null`, "image_crop_size=224 image_resize_size=224"}, // the class's own
		{"vit", images, `"size": {"shortest_edge": 14}, "do_center_crop": true, "crop_size": 12`, "image_resize=shortest image_resize_size=14"},
		{"vit", images, `"do_center_crop": true, "crop_size": {"height": 8, "width": 8}`, "image_crop_size=8"},
		{"vit", images, `"image_processor_type": "CLIPImageProcessorFast", "size": 14, "crop_size": 12`, "image_resize=shortest image_resize_size=14"},
		{"vit", images, `"image_processor_type": null, "size": 16`, "image_crop_size=16 image_resize_size=16"},
		{"vit", images, `"resample": 0`, "image_resample=nearest"},
		{"vit", images, `"resample": 1`, "image_resample=lanczos"},
		{"vit", images, `"resample": 3`, "image_resample=bicubic"},
		{"vit", images, `"resample": 4`, "image_resample=box"},
		{"vit", images, `"resample": 5`, "image_resample=hamming"},
		{"vit", images, `"do_normalize": false`, "image_mean=[0,0,0] image_std=[1,1,1]"},
		{"vit", images, `"image_mean": 0.25, "image_std": 2`, "image_mean=[0.25,0.25,0.25] image_std=[2,2,2]"},
		{"vit", images, `"do_rescale": false, "image_mean": [127.5, 51, 0], "image_std": 51`, "image_mean=[0.5,0.2,0] image_std=[0.2,0.2,0.2]"},
		{"vit", images, `"rescale_factor": 0.00784313725490196, "image_mean": 1, "image_std": 1`, "image_mean=[0.5,0.5,0.5] image_std=[0.5,0.5,0.5]"},
		{"dinov2", images, `"do_center_crop": false, "size": {"height": 16, "width": 16}`, "image_crop_size=16 image_resize=exact image_resize_size=16"},
		{"clip", images, `"size": 28, "crop_size": 24`, "image_crop_size=24 image_resize_size=28"},
	} {
		t.Run(r.name+" "+r.members, func(t *testing.T) {
			dir := writeFolder(t, edited(t, r.name, r.file, r.members))
			f := convert(t, dir, Options{})
			want := expandKeys(encoderKeysOf[r.name] + " " + r.want)
			if want["class_labels"] == "" {
				delete(want, "class_labels")
			}
			got := keysOf(f)
			for key := range with(got, want) {
				if got[key] != want[key] {
					t.Errorf("%s: got %q, want %q", key, got[key], want[key])
				}
			}
		})
	}
}

// Without a file for pictures a family gets what its published models have, here of 224 pixels.
func TestImageDefaults(t *testing.T) {
	for class, want := range map[string]string{
		"ViTForImageClassification":             "exact 224 0 bilinear 0.5 0.5",
		"DeiTForImageClassification":            "exact 256 224 bicubic 0.485 0.229",
		"DeiTForImageClassificationWithTeacher": "exact 256 224 bicubic 0.485 0.229",
		"Dinov2Model":                           "shortest 256 224 bicubic 0.485 0.229",
		"Dinov2WithRegistersModel":              "shortest 256 224 bicubic 0.485 0.229",
		"ViTMAEForPreTraining":                  "exact 224 0 bilinear 0.485 0.229",
		"CLIPVisionModel":                       "shortest 224 224 bicubic 0.48145467 0.26862955",
		"SiglipVisionModel":                     "exact 224 0 bicubic 0.5 0.5",
	} {
		p := families[class].vision.images(224)
		how := map[bool]string{true: "shortest", false: "exact"}[p.shortest]
		if got := fmt.Sprint(how, " ", p.resize, p.crop, " ", p.filter, " ", p.mean[0], p.std[0]); got != want {
			t.Errorf("%s: got %s, want %s", class, got, want)
		}
	}
}

// Newer folders have the settings in another file.
func TestProcessorFile(t *testing.T) {
	files := folderFiles(t, filepath.Join("testdata", "vision", "dinov2"))
	want := convert(t, writeFolder(t, files), Options{})
	files[processorName] = object{"processor_class": "AutoProcessor", "image_processor": json.RawMessage(files[imagesName].([]byte))}
	delete(files, imagesName)
	got, wanted := keysOf(convert(t, writeFolder(t, files), Options{})), keysOf(want)
	for key := range with(got, wanted) {
		if got[key] != wanted[key] {
			t.Errorf("%s: got %q, want %q", key, got[key], wanted[key])
		}
	}
}

// A folder that asks for what the file cannot say, or that contradicts itself, is refused with the reason.
func TestEncoderRefused(t *testing.T) {
	const config, images = "config.json", imagesName
	for _, r := range []struct{ name, file, members, want string }{
		{"vit", config, `"hidden_act": "selu"`, `"hidden_act" is "selu", which is not supported`},
		{"vit", config, `"num_attention_heads": 3`, "a width of 16 for 3 heads"},
		{"vit", config, `"image_size": [12, 16]`, `"image_size" is [12 16], which is not supported: only squares are`},
		{"vit", config, `"image_size": [12]`, "only squares are"},
		{"vit", config, `"image_size": [0, 0]`, "must be 1 to 16777216"},
		{"vit", config, `"image_size": 3`, "patches of 4 pixels are larger than the picture"},
		{"vit", config, `"image_size": 16`, `tensor "embeddings.position_embeddings": not a readable model folder: shape [1 10 16], but config.json asks for [1 17 16]`},
		{"vit", config, `"num_channels": 4`, `"num_channels" is 4, which is not supported`},
		{"vit", config, `"num_channels": 1`, "3 values of \"image_mean\""},
		{"vit", config, `"qkv_bias": false`, `tensor "encoder.layer.0.attention.attention.key.bias": not supported: vit has none`},
		{"vit", config, `"id2label": {"1": "a", "2": "b", "3": "c", "4": "d", "5": "e"}`, "5 labels, but none for 0"},
		{"vit", config, `"id2label": {"0": "a"}`, `tensor "classifier.weight": not a readable model folder: shape [5 16], but config.json asks for [1 16]`},
		{"vit", config, `"architectures": ["ViTModel"]`, `tensor "classifier.bias": not supported: vit has none of this name`},
		{"vit", config, `"architectures": ["ViTForMaskedImageModeling"]`, "not supported"},
		{"dinov2", config, `"use_swiglu_ffn": true`, `"use_swiglu_ffn" is true, which is not supported`},
		{"dinov2", config, `"mlp_ratio": 0`, `"mlp_ratio": not a readable model folder: must be a positive number`},
		{"dinov2", config, `"mlp_ratio": 1e30`, "makes an MLP of"},
		{"mae", config, `"decoder_num_attention_heads": 5`, "a decoder's width of 12 for 5 heads"},
		{"mae", config, `"decoder_num_hidden_layers": 2`, `tensor "decoder.decoder_layers.1.layernorm_before.weight": not a readable model folder: missing`},
		{"mae", config, `"norm_pix_loss": 1`, `"norm_pix_loss"`},
		{"vit", images, `"do_resize": false`, `preprocessor_config.json: "do_resize" is false, which is not supported`},
		{"vit", images, `"image_processor_type": "ConvNextImageProcessor"`, `image processor "ConvNextImageProcessor" is not supported`},
		{"vit", images, `"size": {"shortest_edge": 12}`, "resized by their shorter side and not cropped are not supported"},
		{"vit", images, `"size": {"longest_edge": 12}`, `"size" is {"longest_edge":12}, which is not supported`},
		{"vit", images, `"size": {"height": 12, "width": 16}`, `"size" is 16 × 12, which is not supported`},
		{"vit", images, `"size": {"height": 12}`, `"width": not a readable model folder: missing`},
		{"vit", images, `"size": 3`, "smaller than a patch of 4"},
		{"vit", images, `"size": "large"`, "preprocessor_config.json: \"size\""},
		{"vit", images, `"do_center_crop": true`, `"crop_size": not a readable model folder: missing`},
		{"vit", images, `"resample": 6`, "Pillow has 0 to 5"},
		{"vit", images, `"resample": 1.5`, "Pillow has 0 to 5"},
		{"vit", images, `"resample": "bicubic"`, `"resample"`},
		{"vit", images, `"image_mean": [0.5]`, `1 values of "image_mean" and 3 of "image_std" for 3 channels`},
		{"vit", images, `"image_std": [1, 0, 1]`, "divided by 0"},
		{"vit", images, `"rescale_factor": 1e-300`, "divided by +Inf"},
		{"vit", images, `"rescale_factor": -1`, `"rescale_factor"`},
		{"vit", images, `"do_flip_channel_order": true`, `"do_flip_channel_order" is not supported`},
		{"vit", images, `"crop_pct": 0.9`, `"crop_pct" is not supported`},
		{"vit", images, `"do_normalize": "no"`, `"do_normalize"`},
	} {
		t.Run(r.name+" "+r.members, func(t *testing.T) {
			_, err := tryConvert(t, writeFolder(t, edited(t, r.name, r.file, r.members)), Options{})
			if err == nil || !strings.Contains(err.Error(), r.want) || !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrUnsupported) {
				t.Errorf("got %v, want %q", err, r.want)
			}
		})
	}
}

// Whatever values the two files have, the answer is a file or an error that says whose fault it is.
func TestEncoderHostile(t *testing.T) {
	values := []string{"-1", "0", "1", "3", "1.5", "16777216", "16777217", "18446744073709551616", "1e400", "NaN", "null", "true", `"gelu"`, "[]", "[1]", "[4, 4]",
		"[16777216, 16777216]", "{}", `{"0": "a"}`, `{"height": 16777216, "width": 16777216}`, `{"shortest_edge": 1}`}
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.SampledFrom([]string{"vit", "deit", "dinov2-registers", "mae", "clip", "siglip"}).Draw(rt, "folder")
		files := folderFiles(t, filepath.Join("testdata", "vision", name))
		for _, file := range []string{"config.json", imagesName} {
			var members map[string]json.RawMessage
			if err := json.Unmarshal(files[file].([]byte), &members); err != nil {
				rt.Fatal(err)
			}
			text := string(files[file].([]byte))
			for _, key := range slices.Sorted(maps.Keys(members)) {
				if rapid.IntRange(0, 9).Draw(rt, key) == 0 {
					text = strings.Replace(text, `"`+key+`": `+string(members[key]), `"`+key+`": `+rapid.SampledFrom(values).Draw(rt, "value"), 1)
				}
			}
			files[file] = text
		}
		_, err := tryConvert(t, writeFolder(t, files), Options{})
		if err != nil && !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrUnsupported) {
			rt.Fatalf("got %v", err)
		}
	})
}

// Matrices get the type that is asked for. Of blocks there are none in rows of a convolution, even where they would fit,
// and tables that are added stay as exact as vectors.
func TestEncoderTypes(t *testing.T) {
	for _, r := range []struct {
		stored        gguf.Type
		opts          Options
		patches, rest gguf.Type
	}{
		{gguf.TypeF32, Options{}, gguf.TypeF32, gguf.TypeF32},
		{gguf.TypeF16, Options{}, gguf.TypeF16, gguf.TypeF16},
		{gguf.TypeBF16, Options{}, gguf.TypeBF16, gguf.TypeBF16},
		{gguf.TypeBF16, Options{Convert: true, Type: gguf.TypeF32}, gguf.TypeF32, gguf.TypeF32},
		{gguf.TypeF32, Options{Convert: true, Type: gguf.TypeF16}, gguf.TypeF16, gguf.TypeF16},
		{gguf.TypeF32, Options{Convert: true, Type: gguf.TypeQ8_0}, gguf.TypeF16, gguf.TypeQ8_0},
		{gguf.TypeF32, Options{Convert: true, Type: gguf.TypeQ6_K}, gguf.TypeF16, gguf.TypeF16}, // rows of 32
	} {
		f := convert(t, writeFolder(t, wideEncoder(t, r.stored)), r.opts)
		for name, want := range map[string]gguf.Type{
			"v.patch_embd.weight": r.patches, "v.blk.1.attn_q.weight": r.rest, "v.blk.0.ffn_down.weight": r.rest, "v.head.weight": r.rest,
			"v.patch_embd.bias": gguf.TypeF32, "v.position_embd.weight": gguf.TypeF32, "v.class_embd": gguf.TypeF32, "v.blk.0.ln1.weight": gguf.TypeF32,
		} {
			if x, ok := f.Tensor(name); !ok || x.Type != want {
				t.Errorf("%v, %v: %s: got %v, want %v", r.stored, r.opts, name, x, want)
			}
		}
		asked := map[bool]gguf.Type{true: r.opts.Type, false: r.stored}[r.opts.Convert]
		if n, err := f.Int("general.file_type"); err != nil || n != int64(fileTypes[asked]) {
			t.Errorf("%v, %v: file type %d (%v)", r.stored, r.opts, n, err)
		}
	}
}

// wideEncoder is the folder vit, stored as typ, with rows of 32 in all matrices and in the patches.
func wideEncoder(t *testing.T, typ gguf.Type) map[string]any {
	t.Helper()
	codec, err := typ.Codec()
	if err != nil {
		t.Fatal(err)
	}
	folder, err := Open(filepath.Join("testdata", "vision", "vit"))
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	var tensors []stored
	for name, x := range folder.weights.tensors {
		s := stored{name, typ.String(), slices.Clone(x.shape), nil}
		n := uint64(1)
		for i, size := range s.shape {
			if size == 4 || size == 16 || size == 24 {
				s.shape[i] = 32
			}
			n *= s.shape[i]
		}
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(math.Sin(float64(i)))
		}
		s.data = make([]byte, len(values)*codec.BlockBytes())
		codec.Encode(s.data, values)
		tensors = append(tensors, s)
	}
	files := edited(t, "vit", "config.json", `"hidden_size": 32, "intermediate_size": 32, "patch_size": 32, "image_size": 96`)
	files[singleName] = safetensorsBytes(t, tensors)
	files[imagesName] = object{}
	return files
}
