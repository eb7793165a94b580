package huggingface

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// config is an object of config.json, of the model, of one of its parts or of its rotary embedding, or of the file that
// says what is done to pictures. Its getters keep the first error, so that a list of values can be read before looking at
// it. As in Python, null is a value that is not there.
type config struct {
	file     string
	values   map[string]json.RawMessage
	defaults map[string]any // of the family, for what its Transformers class does not write; float64, string or bool
	err      *error         // shared by the objects within
}

// newConfig wraps the object of config.json.
func newConfig(values map[string]json.RawMessage, defaults map[string]any) *config {
	return &config{file: "config.json", values: values, defaults: defaults, err: new(error)}
}

func (c *config) fail(format string, args ...any) {
	if *c.err == nil {
		*c.err = fmt.Errorf(c.file+": "+format, args...)
	}
}

// raw returns the text of a value, nil if it is not there.
func (c *config) raw(key string) json.RawMessage {
	v := bytes.TrimSpace(c.values[key])
	if bytes.Equal(v, []byte("null")) {
		return nil
	}
	return v
}

// has tells whether config.json itself has a value.
func (c *config) has(key string) bool { return c.raw(key) != nil }

// decode reads a value into v and tells whether there is one, in config.json or among the defaults.
func (c *config) decode(key string, v any) bool {
	raw := c.raw(key)
	if raw == nil {
		fallback, ok := c.defaults[key]
		if !ok {
			return false
		}
		raw, _ = json.Marshal(fallback) // numbers, strings and bools
	}
	if err := json.Unmarshal(raw, v); err != nil {
		c.fail("%q: %w: %w", key, ErrInvalid, err)
		return false
	}
	return true
}

// maxDimension bounds every size, far above any model and far below what could overflow a product of two.
const maxDimension = 1 << 24

// size reads an integer from 1 to maxDimension; ok is false if it is not there.
func (c *config) size(key string) (n uint64, ok bool) {
	var number json.Number
	if !c.decode(key, &number) {
		return 0, false
	}
	n, err := strconv.ParseUint(number.String(), 10, 64)
	if err != nil || n < 1 || n > maxDimension {
		c.fail("%q is %s: %w: must be 1 to %d", key, number, ErrInvalid, maxDimension)
		return 0, false
	}
	return n, true
}

// need is size for a value that must be there.
func (c *config) need(key string) uint64 {
	n, ok := c.size(key)
	if !ok {
		c.fail("%q: %w: missing", key, ErrInvalid)
	}
	return n
}

// sizeOr is size with a default.
func (c *config) sizeOr(key string, otherwise uint64) uint64 {
	if n, ok := c.size(key); ok {
		return n
	}
	return otherwise
}

// float reads a finite number; ok is false if it is not there.
func (c *config) float(key string) (x float64, ok bool) {
	if !c.decode(key, &x) {
		return 0, false
	}
	if math.Abs(x) > math.MaxFloat32 {
		c.fail("%q is %v: %w", key, x, ErrInvalid)
		return 0, false
	}
	return x, true
}

// floatOr is float with a default.
func (c *config) floatOr(key string, otherwise float64) float64 {
	if x, ok := c.float(key); ok {
		return x
	}
	return otherwise
}

// positive reads a number above zero that must be there.
func (c *config) positive(key string) float64 {
	x, ok := c.float(key)
	if !ok || !(x > 0) {
		c.fail("%q: %w: must be a positive number", key, ErrInvalid)
		return 1
	}
	return x
}

// floats reads an array of numbers, nil if it is not there.
func (c *config) floats(key string) (x []float32) {
	c.decode(key, &x)
	return x
}

// text reads a string, "" if it is not there.
func (c *config) text(key string) (s string) {
	c.decode(key, &s)
	return s
}

// boolean reads a bool; ok is false if it is not there.
func (c *config) boolean(key string) (on, ok bool) {
	ok = c.decode(key, &on)
	return on, ok
}

// booleanOr is boolean with a default.
func (c *config) booleanOr(key string, otherwise bool) bool {
	if on, ok := c.boolean(key); ok {
		return on
	}
	return otherwise
}

// object reads an object, nil if it is not there.
func (c *config) object(key string) *config {
	var values map[string]json.RawMessage
	if !c.decode(key, &values) {
		return nil
	}
	return &config{file: c.file, values: values, err: c.err}
}
