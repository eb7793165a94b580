package huggingface

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/elastiformer/elastiformer/pkg/tokenizer"
)

// sentencePieceName is the file of a SentencePiece model: a protocol buffer, ModelProto of sentencepiece_model.proto.
const sentencePieceName = "tokenizer.model"

// The numbers of the fields that are read, and the values that proto gives to those that are missing.
const (
	fieldPieces     = 1 // of ModelProto: SentencePiece, repeated
	fieldTrainer    = 2 // TrainerSpec
	fieldNormalizer = 3 // NormalizerSpec

	fieldPiece = 1 // of SentencePiece: string
	fieldScore = 2 // float
	fieldType  = 3 // enum, 1 (normal) if missing; the numbers are those of tokenizer.TokenType

	fieldModelType = 3 // of TrainerSpec: enum, 1 (unigram) if missing
	fieldUnknownID = 40
	fieldBOSID     = 41
	fieldEOSID     = 42
	fieldPadID     = 43

	fieldCharsMap    = 2 // of NormalizerSpec: bytes
	fieldDummyPrefix = 3 // bool, true if missing
	fieldRemoveExtra = 4 // bool, true if missing
	fieldEscape      = 5 // bool, true if missing

	typeBPE = 2 // of TrainerSpec.model_type
)

// readSentencePiece takes over a SentencePiece model.
func (v *vocabulary) readSentencePiece(r *root) error {
	data, err := r.read(sentencePieceName)
	if err != nil {
		return err
	}
	v.model, v.spacePrefix, v.removeExtraSpace = modelSentencePiece, true, true
	unigram := true
	ids := map[string]int64{"unk": 0, "bos": 1, "eos": 2, "pad": -1}
	err = eachField(data, func(f field) error {
		switch f.number {
		case fieldPieces:
			return v.readPiece(f.bytes)
		case fieldTrainer:
			return readTrainer(f.bytes, &unigram, ids)
		case fieldNormalizer:
			return v.readNormalizer(f.bytes)
		}
		return nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", sentencePieceName, err)
	case len(v.pieces) == 0:
		return fmt.Errorf("%s: %w: no pieces", sentencePieceName, ErrInvalid)
	case unigram:
		return fmt.Errorf("%s: a model that is no BPE is %w", sentencePieceName, ErrUnsupported)
	}
	for name, id := range ids {
		if _, ok := v.pieces[uint64(id)]; id >= 0 && ok {
			v.special[name] = uint64(id)
		}
	}
	return nil
}

// readPiece adds the next token.
func (v *vocabulary) readPiece(data []byte) error {
	p := piece{kind: tokenizer.TypeNormal}
	err := eachField(data, func(f field) error {
		switch f.number {
		case fieldPiece:
			p.text = string(f.bytes)
		case fieldScore:
			p.score = math.Float32frombits(uint32(f.value))
		case fieldType:
			p.kind = tokenizer.TokenType(f.value)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if p.kind < tokenizer.TypeNormal || p.kind > tokenizer.TypeByte || math.IsNaN(float64(p.score)) {
		return fmt.Errorf("%w: piece %q of type %d with score %v", ErrInvalid, abbreviate(p.text), p.kind, p.score)
	}
	if p.kind == tokenizer.TypeUserDefined {
		return v.putAdded(addedToken{ID: uint64(len(v.pieces)), Content: p.text})
	}
	return v.put(uint64(len(v.pieces)), p)
}

// readTrainer finds the kind of model and the ids of the special tokens.
func readTrainer(data []byte, unigram *bool, ids map[string]int64) error {
	return eachField(data, func(f field) error {
		switch f.number {
		case fieldModelType:
			*unigram = f.value != typeBPE
		case fieldUnknownID:
			ids["unk"] = int64(int32(f.value))
		case fieldBOSID:
			ids["bos"] = int64(int32(f.value))
		case fieldEOSID:
			ids["eos"] = int64(int32(f.value))
		case fieldPadID:
			ids["pad"] = int64(int32(f.value))
		}
		return nil
	})
}

// readNormalizer finds what is done to a text before it is cut.
func (v *vocabulary) readNormalizer(data []byte) error {
	return eachField(data, func(f field) error {
		switch f.number {
		case fieldCharsMap:
			if len(f.bytes) > 0 {
				return fmt.Errorf("a model that maps characters before it cuts a text is %w", ErrUnsupported)
			}
		case fieldDummyPrefix:
			v.spacePrefix = f.value != 0
		case fieldRemoveExtra:
			v.removeExtraSpace = f.value != 0
		case fieldEscape:
			if f.value == 0 {
				return fmt.Errorf("a model that leaves spaces as they are is %w", ErrUnsupported)
			}
		}
		return nil
	})
}

// field is one field of a protocol buffer's message: a number, or bytes.
type field struct {
	number uint64
	value  uint64
	bytes  []byte
}

// The wire types of protocol buffers; 3 and 4, groups, are obsolete.
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

// eachField calls use for every field of a message.
func eachField(data []byte, use func(field) error) error {
	for len(data) > 0 {
		tag, n := binary.Uvarint(data)
		if n <= 0 {
			return fmt.Errorf("%w: protocol buffer: bad tag", ErrInvalid)
		}
		data = data[n:]
		f := field{number: tag >> 3}
		switch tag & 7 {
		case wireVarint:
			f.value, n = binary.Uvarint(data)
		case wire64:
			if n = 8; len(data) >= n {
				f.value = binary.LittleEndian.Uint64(data)
			}
		case wire32:
			if n = 4; len(data) >= n {
				f.value = uint64(binary.LittleEndian.Uint32(data))
			}
		case wireBytes:
			var size uint64
			if size, n = binary.Uvarint(data); n > 0 && size <= uint64(len(data)-n) {
				f.bytes = data[n : n+int(size)]
				n += int(size)
			} else {
				n = 0
			}
		default:
			n = 0
		}
		if n <= 0 || n > len(data) {
			return fmt.Errorf("%w: protocol buffer: bad field %d", ErrInvalid, f.number)
		}
		data = data[n:]
		if err := use(f); err != nil {
			return err
		}
	}
	return nil
}
