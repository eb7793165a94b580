package model_test

import (
	"errors"
	"math"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/elastiformer/elastiformer/pkg/gguf"
	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

// refuseEncoders is refuse for encoders of a family.
func refuseEncoders(t *testing.T, family string, refusals []refusal) {
	t.Helper()
	path := modeltest.WriteEncoder(t, modeltest.EncoderShape{Family: family})
	for _, r := range refusals {
		t.Run(family+" "+r.name, func(t *testing.T) {
			m, err := model.LoadEncoder(r.file.of(t, path))
			if !errors.Is(err, r.want) || m != nil {
				t.Fatalf("LoadEncoder: %v and encoder %t, want %q", err, m != nil, r.want)
			}
			if !strings.Contains(err.Error(), r.names) {
				t.Errorf("LoadEncoder: %v, want %q named", err, r.names)
			}
		})
	}
}

func TestEncoderRefusesNumbers(t *testing.T) {
	var refusals []refusal
	counts := []string{"image_size", "patch_size", "embedding_length", "feed_forward_length", "block_count", "attention.head_count"}
	for _, name := range counts {
		refusals = append(refusals,
			refusal{name + " missing", spoiled{drop: "vit." + name}, gguf.ErrKeyMissing, name},
			refusal{name + " negative", set("vit."+name, int32(-1)), gguf.ErrKeyRange, name},
			refusal{name + " a word", set("vit."+name, "two"), gguf.ErrKeyType, name},
			refusal{name + " zero", set("vit."+name, uint32(0)), model.ErrInvalid, ""},
			refusal{name + " huge", set("vit."+name, uint64(1)<<63), model.ErrInvalid, name},
			refusal{name + " large", set("vit."+name, uint32(1<<24)), model.ErrInvalid, ""})
	}
	for _, v := range []float32{float32(math.NaN()), -1, float32(math.Inf(1))} {
		refusals = append(refusals, refusal{"epsilon", set("vit.attention.layer_norm_epsilon", v), model.ErrInvalid, "epsilon"})
	}
	refuseEncoders(t, "vit", append(refusals,
		refusal{"epsilon missing", spoiled{drop: "vit.attention.layer_norm_epsilon"}, gguf.ErrKeyMissing, "epsilon"},
		refusal{"image no multiple of a patch", set("vit.image_size", uint32(25)), model.ErrInvalid, "image_size 25 in patches of 8"},
		refusal{"patch larger than the image", set("vit.patch_size", uint32(32)), model.ErrInvalid, "patches of 32"},
		refusal{"another grid", set("vit.image_size", uint32(32)), model.ErrInvalid, "v.position_embd.weight"},
		refusal{"another patch", spoiled{set: map[string]any{"vit.image_size": uint32(12), "vit.patch_size": uint32(4)}}, model.ErrInvalid, "v.patch_embd.weight"},
		refusal{"too fine a grid", set("vit.image_size", uint32(8*1025)), model.ErrInvalid, "image_size"},
		refusal{"no channels", set("vit.num_channels", uint32(0)), model.ErrInvalid, "num_channels"},
		refusal{"four channels", set("vit.num_channels", uint32(4)), model.ErrInvalid, "num_channels"},
		refusal{"grey patches missing", set("vit.num_channels", uint32(1)), model.ErrInvalid, "v.patch_embd.weight"},
		refusal{"registers without a tensor", set("vit.register_count", uint32(2)), model.ErrInvalid, "v.register_embd"},
		refusal{"too many registers", set("vit.register_count", uint32(5000)), model.ErrInvalid, "register_count"},
		refusal{"heads do not divide", set("vit.attention.head_count", uint32(5)), model.ErrInvalid, "5 heads in a width of 32"},
		refusal{"more heads than values", set("vit.attention.head_count", uint32(64)), model.ErrInvalid, "key_length"},
		refusal{"more layers than tensors", set("vit.block_count", uint32(1000)), model.ErrInvalid, "block_count"},
		refusal{"one layer too many", set("vit.block_count", uint32(3)), model.ErrInvalid, "v.blk.2."},
		refusal{"a layer left over", set("vit.block_count", uint32(1)), model.ErrUnsupported, "v.blk.1."},
		refusal{"labels too few", set("vit.class_labels", []string{"a", "b"}), model.ErrInvalid, "7 classes with 2 labels"},
		refusal{"labels numbers", set("vit.class_labels", []int32{1, 2}), gguf.ErrKeyType, "class_labels"},
	))
}

// Numbers that only the tensors belie cost no memory before those are looked at.
func TestEncoderRefusesWithLittleMemory(t *testing.T) {
	s := spoiled{set: map[string]any{
		"vit.embedding_length": uint32(1 << 24), "vit.feed_forward_length": uint32(1 << 24), "vit.attention.head_count": uint32(1),
		"vit.register_count": uint32(1 << 12), "vit.image_size": uint32(1 << 13),
	}}
	f := s.of(t, modeltest.WriteEncoder(t, modeltest.EncoderShape{Family: "vit-registers"}))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := model.LoadEncoder(f); !errors.Is(err, model.ErrInvalid) {
		t.Errorf("LoadEncoder: %v, want ErrInvalid", err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("took %d bytes for a file of %d", took, f.Size())
	}
}

func TestEncoderRefusesWords(t *testing.T) {
	var refusals []refusal
	for _, name := range []string{"norm_order", "activation", "head_activation", "pooling"} {
		refusals = append(refusals,
			refusal{name + " unknown", set("vit."+name, "mish"), model.ErrUnsupported, `"mish"`},
			refusal{name + " a number", set("vit."+name, uint32(1)), gguf.ErrKeyType, name})
	}
	refuseEncoders(t, "vit", append(refusals,
		refusal{"architecture missing", spoiled{drop: "general.architecture"}, gguf.ErrKeyMissing, "general.architecture"},
		refusal{"architecture of text", set("general.architecture", "llama"), model.ErrUnsupported, `"llama"`},
	))
	refuseEncoders(t, "vit-mean", []refusal{
		{"class token missing", set("vit.pooling", "class"), model.ErrInvalid, "v.class_embd"},
		{"class token missing beside the mean", set("vit.pooling", "class_mean"), model.ErrInvalid, "v.class_embd"},
	})
}

func TestEncoderRefusesTensors(t *testing.T) {
	var refusals []refusal
	for _, name := range []string{
		"v.patch_embd.weight", "v.position_embd.weight", "v.blk.0.ln1.weight", "v.blk.1.ln2.weight", "v.blk.0.attn_q.weight", "v.blk.0.attn_k.weight",
		"v.blk.1.attn_v.weight", "v.blk.0.attn_out.weight", "v.blk.0.ffn_up.weight", "v.blk.1.ffn_down.weight",
	} {
		refusals = append(refusals,
			refusal{name + " missing", spoiled{drop: name}, model.ErrInvalid, name},
			refusal{name + " of other dimensions", zeros(name, gguf.TypeF32, 32, 32, 2, 5), model.ErrInvalid, name},
			refusal{name + " unreadable", zeros(name, gguf.TypeI32, 256), model.ErrInvalid, name})
	}
	refuseEncoders(t, "vit", append(refusals,
		refusal{"one position missing", zeros("v.position_embd.weight", gguf.TypeF32, 32, 9), model.ErrInvalid, "v.position_embd.weight"},
		refusal{"class token too short", zeros("v.class_embd", gguf.TypeF32, 31), model.ErrInvalid, "v.class_embd"},
		refusal{"class token missing", spoiled{drop: "v.class_embd"}, model.ErrInvalid, "v.position_embd.weight"},
		refusal{"an unknown tensor", zeros("v.blk.0.gate", gguf.TypeF32, 4), model.ErrUnsupported, "v.blk.0.gate"},
		refusal{"a text tensor", zeros("output.weight", gguf.TypeF32, 32, 4), model.ErrUnsupported, "output.weight"},
		refusal{"bias of a norm that is not there", zeros("v.pre_ln.bias", gguf.TypeF32, 32), model.ErrUnsupported, "v.pre_ln.bias"},
		refusal{"head too narrow", zeros("v.head.weight", gguf.TypeF32, 31, 7), model.ErrInvalid, "v.head.weight"},
		refusal{"head of no rank", zeros("v.head.weight", gguf.TypeF32, 32), model.ErrInvalid, "v.head.weight"},
		refusal{"head bias too long", zeros("v.head.bias", gguf.TypeF32, 8), model.ErrInvalid, "v.head.bias"},
		refusal{"head of other classes", zeros("v.head.weight", gguf.TypeF32, 32, 9), model.ErrInvalid, "v.head"},
		refusal{"a second head", zeros("v.head.0.weight", gguf.TypeF32, 32, 7), model.ErrUnsupported, "v.head.0.weight"},
		refusal{"distillation head without its token", zeros("v.head_dist.weight", gguf.TypeF32, 32, 7), model.ErrInvalid, "v.dist_embd"},
		refusal{"layer scale too short", zeros("v.blk.0.ls1.weight", gguf.TypeF32, 31), model.ErrInvalid, "v.blk.0.ls1.weight"},
	))
	refuseEncoders(t, "vit-distilled", []refusal{
		{"head missing beside the distillation's", spoiled{drop: "v.head.weight"}, model.ErrInvalid, "v.head"},
		{"distillation head of other classes", zeros("v.head_dist.weight", gguf.TypeF32, 32, 6), model.ErrInvalid, "v.head_dist"},
		{"distillation token without a class token", spoiled{drop: "v.class_embd"}, model.ErrInvalid, ""},
		{"fused too short", zeros("v.blk.0.attn_qkv.weight", gguf.TypeF32, 32, 95), model.ErrInvalid, "v.blk.0.attn_qkv.weight"},
	})
	refuseEncoders(t, "vit-grey", []refusal{
		{"second layer of the head missing", spoiled{drop: "v.head.1.weight"}, model.ErrInvalid, "v.head.1.weight"},
		{"layers of the head that do not fit", zeros("v.head.1.weight", gguf.TypeF32, 63, 7), model.ErrInvalid, "v.head.1.weight"},
	})
	refuseEncoders(t, "vit-registers", []refusal{
		{"registers of another number", zeros("v.register_embd", gguf.TypeF32, 32, 2), model.ErrInvalid, "v.register_embd"},
		{"head of the class token alone", zeros("v.head.weight", gguf.TypeF32, 32, 7), model.ErrInvalid, "v.head.weight"},
	})
}

func TestEncoderRefusesClip(t *testing.T) {
	feature := func(layers ...int32) spoiled { return set("clip.vision.feature_layer", layers) }
	refuseEncoders(t, "clip", []refusal{
		{"projector unknown", set("clip.projector_type", "ldp"), model.ErrUnsupported, `"ldp"`},
		{"projector missing", spoiled{drop: "clip.projector_type"}, model.ErrUnsupported, "clip.projector_type"},
		{"projector a number", set("clip.projector_type", uint32(1)), model.ErrUnsupported, "clip.projector_type"},
		{"projector without its tensor", spoiled{drop: "mm.2.weight"}, model.ErrInvalid, "mm.2.weight"},
		{"projector too narrow", zeros("mm.0.weight", gguf.TypeF32, 31, 64), model.ErrInvalid, "mm.0.weight"},
		{"feature layer 0", feature(0), model.ErrUnsupported, "feature_layer"},
		{"feature layer negative", feature(-2), model.ErrUnsupported, "feature_layer"},
		{"feature layer beyond the last", feature(3), model.ErrUnsupported, "feature_layer"},
		{"several feature layers", feature(1, 2), model.ErrUnsupported, "feature_layer"},
		{"no feature layer", feature(), model.ErrUnsupported, "feature_layer"},
		{"feature layer a word", set("clip.vision.feature_layer", "last"), gguf.ErrKeyType, "feature_layer"},
		{"activation a number", set("clip.use_gelu", uint32(1)), gguf.ErrKeyType, "clip.use_gelu"},
		{"an unknown tensor", zeros("mm.patch_merger.weight", gguf.TypeF32, 4), model.ErrUnsupported, "mm.patch_merger.weight"},
		{"size missing", spoiled{drop: "clip.vision.image_size"}, gguf.ErrKeyMissing, "clip.vision.image_size"},
	})
	refuseEncoders(t, "clip-feature", []refusal{
		{"a layer beyond those stored", zeros("v.blk.3.ln1.weight", gguf.TypeF32, 32), model.ErrUnsupported, "v.blk.3.ln1.weight"},
	})
}

// encoderKeys are all keys that an encoder may have, and some that only others do.
var encoderKeys = []string{
	"vit.image_size", "vit.patch_size", "vit.num_channels", "vit.embedding_length", "vit.feed_forward_length", "vit.block_count", "vit.attention.head_count",
	"vit.attention.layer_norm_epsilon", "vit.norm_order", "vit.activation", "vit.head_activation", "vit.pooling", "vit.register_count", "vit.class_labels",
	"vit.decoder.block_count", "vit.decoder.embedding_length", "vit.decoder.attention.head_count", "vit.decoder.feed_forward_length", "vit.mask_ratio", "vit.norm_pixels",
}

var clipKeys = []string{
	"clip.projector_type", "clip.use_gelu", "clip.use_silu", "clip.vision.feature_layer", "clip.vision.image_size", "clip.vision.patch_size",
	"clip.vision.embedding_length", "clip.vision.feed_forward_length", "clip.vision.block_count", "clip.vision.attention.head_count",
	"clip.vision.attention.layer_norm_epsilon",
}

// As TestHostileFamilies, for encoders that between them have all there is.
func TestHostileEncoders(t *testing.T) {
	for _, family := range []string{"vit", "vit-post-fused", "vit-registers", "vit-distilled", "vit-mae", "clip-swapped", "clip-feature"} {
		t.Run(family, func(t *testing.T) {
			s := spoiling{
				sound: openFile(t, modeltest.WriteEncoder(t, modeltest.EncoderShape{Family: family})), keys: encoderKeys,
				tensors: []string{"v.class_embd", "v.dist_embd", "v.register_embd", "v.pre_ln.weight", "v.post_ln.weight", "v.head.weight", "v.head_dist.weight", "v.blk.0.ls1.weight", "mm.1.weight", "v.dec.embd.weight", "v.dec.mask_embd", "v.dec.blk.0.ffn_up.weight"},
			}
			if strings.HasPrefix(family, "clip") {
				s.keys = clipKeys
			}
			path := filepath.Join(t.TempDir(), "spoiled.gguf")
			var ran, refused int
			rapid.Check(t, func(r *rapid.T) {
				s.spoil(r, path)
				f, err := gguf.Open(path)
				if err != nil {
					r.Fatal(err)
				}
				defer f.Close()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				if m, err := model.LoadEncoder(f); err == nil {
					m.Try(nil)
					ran++
				} else {
					refused++
				}
				runtime.ReadMemStats(&after)
				if took, most := after.TotalAlloc-before.TotalAlloc, uint64(hostileFixed+hostilePerByte*f.Size()); took > most {
					r.Errorf("took %d bytes for a file of %d, want at most %d", took, f.Size(), most)
				}
			})
			t.Logf("%d ran, %d were refused", ran, refused)
		})
	}
}
