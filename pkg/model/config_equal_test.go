package model_test

import (
	"testing"

	"github.com/elastiformer/elastiformer/pkg/model"
	"github.com/elastiformer/elastiformer/pkg/model/modeltest"
)

// One file read twice is one network; any other hyperparameter is another.
func TestConfigEqual(t *testing.T) {
	for _, family := range modeltest.Families() {
		s := modeltest.Shape{Family: family}
		_, m := modeltest.Open(t, s)
		_, again := modeltest.Open(t, s)
		if !m.Config.Equal(&again.Config) {
			t.Errorf("%s: not equal to itself", family)
		}
		for name, change := range map[string]func(c *model.Config){
			"architecture": func(c *model.Config) { c.Architecture += "2" },
			"layers":       func(c *model.Config) { c.Layers++ },
			"epsilon":      func(c *model.Config) { c.Epsilon *= 2 },
			"rope":         func(c *model.Config) { c.Rope.Base++ },
			"sliding":      func(c *model.Config) { c.Sliding = append([]bool{true}, c.Sliding...) },
			"special":      func(c *model.Config) { c.Special++ },
		} {
			other := again.Config
			change(&other)
			if m.Config.Equal(&other) {
				t.Errorf("%s: equal with another %s", family, name)
			}
		}
	}
}
