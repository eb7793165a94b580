package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// setting is one value that can come from a flag, the environment, the configuration file or its default.
type setting struct {
	key    string // "train.steps", or "seed" where the flag is global
	env    string // "ELASTIFORMER_TRAIN_STEPS"
	flag   *pflag.Flag
	origin origin
}

// origin says where a setting's value was found.
type origin struct {
	Kind string `json:"origin"`           // flag, environment, file or default
	Name string `json:"source,omitempty"` // the flag, the variable or the file
}

// settings are all the values of the program after all sources were read.
type settings struct {
	file string // configuration file read, or ""
	list []*setting
}

// loadSettings reads the sources in the order flag, environment, file, default into the variables the flags are bound to.
//
// The settings of all commands are set, not only those of the one that runs, so that a wrong value in a file is found by
// the first command that reads it. Values are converted and checked by the flags themselves.
func loadSettings(root *cobra.Command, explicitFile string) (*settings, error) {
	file, err := findConfig(explicitFile)
	if err != nil {
		return nil, err
	}
	s := &settings{file: file, list: collectSettings(root)}
	v := viper.New()
	if file != "" {
		v.SetConfigFile(file)
		v.SetConfigType("yaml")
		if err := v.ReadInConfig(); err != nil {
			return nil, usageErrorf("configuration %s: %w", file, err)
		}
		if err := s.checkKeys(v); err != nil {
			return nil, err
		}
	}
	for _, one := range s.list {
		if err := one.load(v, file); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// findConfig returns the configuration file to read: the one asked for, else the first of the usual places that has one.
func findConfig(explicit string) (string, error) {
	if explicit != "" {
		if _, err := os.Stat(explicit); err != nil {
			return "", usageErrorf("configuration: %w", err)
		}
		return explicit, nil
	}
	places := []string{"elastiformer.yaml"}
	if dir, err := os.UserConfigDir(); err == nil { // no home, no file there
		places = append(places, filepath.Join(dir, "elastiformer", "elastiformer.yaml"))
	}
	for _, place := range places {
		_, err := os.Stat(place)
		if err == nil {
			return place, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", usageErrorf("configuration: %w", err)
		}
	}
	return "", nil
}

// collectSettings derives the settings from the flags of all commands: there is no second list of names.
func collectSettings(root *cobra.Command) []*setting {
	var list []*setting
	add := func(prefix string, fs *pflag.FlagSet) {
		fs.VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" || f.Annotations[commandLineOnlyKey] != nil {
				return
			}
			key := prefix + f.Name
			list = append(list, &setting{key: key, env: envName(key), flag: f})
		})
	}
	add("", root.PersistentFlags())
	var walk func(cmd *cobra.Command, prefix string)
	walk = func(cmd *cobra.Command, prefix string) {
		for _, sub := range cmd.Commands() {
			key := prefix + sub.Name() + "."
			add(key, sub.LocalNonPersistentFlags())
			walk(sub, key)
		}
	}
	walk(root, "")
	slices.SortFunc(list, func(a, b *setting) int { return strings.Compare(a.key, b.key) })
	return list
}

// envName is the environment variable of a key: upper case, with dots and dashes as underscores.
func envName(key string) string {
	return "ELASTIFORMER_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// checkKeys refuses keys in the file that no flag answers to. It must be called before anything is bound to v, as long as
// v knows only the file. A group of keys may be empty (all of it commented out), a key may not.
func (s *settings) checkKeys(v *viper.Viper) error {
	known := make([]string, len(s.list))
	for i, one := range s.list {
		known[i] = one.key
	}
	inFile := v.AllKeys()
	slices.Sort(inFile)
	for _, key := range inFile {
		isGroup := slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(k, key+".") })
		switch empty := !v.InConfig(key); {
		case isGroup && empty:
		case isGroup:
			return usageErrorf("configuration %s: %s is a group of keys, not a value", s.file, key)
		case !slices.Contains(known, key):
			return usageErrorf("configuration %s: unknown key %s, the nearest is %s", s.file, key, nearest(key, known))
		case empty:
			return usageErrorf("configuration %s: key %s has no value", s.file, key)
		}
	}
	return nil
}

// load finds the setting's value and origin. A value from the environment or the file is put through the flag's own Set
// and marks the flag as given, so that required flags and flag groups hold for all sources.
func (s *setting) load(v *viper.Viper, file string) error {
	if s.flag.Changed {
		s.origin = origin{"flag", "--" + s.flag.Name}
		return nil
	}
	// BindEnv fails only without arguments, BindPFlag only without a flag.
	if err := errors.Join(v.BindEnv(s.key, s.env), v.BindPFlag(s.key, s.flag)); err != nil {
		return err
	}
	switch {
	case os.Getenv(s.env) != "": // empty counts as unset
		s.origin = origin{"environment", s.env}
	case v.InConfig(s.key):
		s.origin = origin{"file", file}
	default:
		s.origin = origin{"default", ""}
		return nil
	}
	if err := setFlag(s.flag.Value, v, s.key); err != nil {
		return usageErrorf("configuration: %s %q from %s %s: %w", s.key, v.GetString(s.key), s.origin.Kind, s.origin.Name, err)
	}
	s.flag.Changed = true
	if s.flag.Annotations == nil {
		s.flag.Annotations = map[string][]string{}
	}
	s.flag.Annotations[configuredKey] = []string{s.origin.Kind}
	return nil
}

// setFlag hands a value found by viper to a flag. A YAML list is for a flag that takes several values: one that keeps them
// itself gets them one by one, any other gets what would have been written on the command line.
func setFlag(value pflag.Value, v *viper.Viper, key string) error {
	if _, isList := v.Get(key).([]any); !isList {
		return value.Set(v.GetString(key))
	}
	words := v.GetStringSlice(key)
	if many, ok := value.(pflag.SliceValue); ok {
		return many.Replace(words)
	}
	return value.Set(strings.Join(words, ","))
}
