package gguf

import "fmt"

// The getters return the value of a key in one Go type whatever width it is stored in. Their errors name file and key
// and wrap [ErrKeyMissing], [ErrKeyType] or [ErrKeyRange]; an optional key is one whose ErrKeyMissing the caller accepts.

// get looks key up and decodes it.
func get[T any](f *File, key string, decode func(Value) (T, error)) (x T, err error) {
	v, ok := f.Value(key)
	if !ok {
		return x, fmt.Errorf("gguf: %s: key %q: %w", f.path, key, ErrKeyMissing)
	}
	if x, err = decode(v); err != nil {
		return x, fmt.Errorf("gguf: %s: key %q: %w", f.path, key, err)
	}
	return x, nil
}

// String returns a string.
func (f *File) String(key string) (string, error) { return get(f, key, Value.Text) }

// Uint returns an integer of any width and signedness that is not negative.
func (f *File) Uint(key string) (uint64, error) { return get(f, key, Value.Uint) }

// Int returns an integer of any width and signedness that fits an int64.
func (f *File) Int(key string) (int64, error) { return get(f, key, Value.Int) }

// Float returns a float32 or float64.
func (f *File) Float(key string) (float64, error) { return get(f, key, Value.Float) }

// Bool returns a bool.
func (f *File) Bool(key string) (bool, error) { return get(f, key, Value.Bool) }

// Strings returns an array of strings.
func (f *File) Strings(key string) ([]string, error) { return get(f, key, Value.Strings) }

// Ints returns an array of integers that fit an int64.
func (f *File) Ints(key string) ([]int64, error) { return get(f, key, Value.Ints) }

// Uints returns an array of integers none of which is negative.
func (f *File) Uints(key string) ([]uint64, error) { return get(f, key, Value.Uints) }

// Floats returns an array of float32, or of float64 rounded to float32.
func (f *File) Floats(key string) ([]float32, error) { return get(f, key, Value.Floats) }

// Bools returns an array of bools.
func (f *File) Bools(key string) ([]bool, error) { return get(f, key, Value.Bools) }
