package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// Options says what a configuration is made from.
type Options struct {
	File  string         // the configuration file; "" means DefaultFile
	Env   []string       // the environment as NAME=value, like os.Environ's
	Flags *pflag.FlagSet // flags named like keys ("log.level") count when they were set; may be nil
	Root  string         // put before the directories in which path = "auto" looks; "" but in tests
}

// Load makes a configuration: defaults, then the file, the environment and the flags, each over the
// one before. Every value that any of them gives must be allowed, also one that a later one replaces.
// What is wrong is an *Errors that holds all of it, except that a file which cannot be trusted, read
// or parsed is the only thing reported.
func Load(o Options) (*Config, error) {
	l := loader{
		file:    cmp.Or(o.File, DefaultFile),
		root:    o.Root,
		origins: make(map[string]string),
		refused: make(map[string]bool),
	}
	data, problem := readFile(l.file)
	if problem != nil {
		return nil, &Errors{Problems: []Problem{*problem}}
	}
	tree, problem := parse(l.file, data)
	if problem != nil {
		return nil, &Errors{Problems: []Problem{*problem}}
	}
	l.lines = newLines(data)
	l.settings = settings(l.targetNames(tree))

	ko := koanf.New(separator)
	for _, layer := range []koanf.Provider{
		confmap.Provider(l.defaults(), separator),
		confmap.Provider(l.document(tree), separator),
		l.environment(o.Env),
		l.flags(o.Flags),
	} {
		if err := ko.Load(layer, nil); err != nil {
			return nil, fmt.Errorf("cannot read the configuration %s: %v", l.file, err)
		}
	}
	c, err := decode(ko)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration %s: %v", l.file, err)
	}
	l.validate(c)
	if len(l.problems) > 0 {
		return nil, &Errors{Problems: sorted(l.problems)}
	}
	c.Warnings = l.warnings()
	return c, nil
}

// loader is one Load under way.
type loader struct {
	file     string
	root     string
	lines    lines
	settings []setting
	origins  map[string]string // by a setting's name: the variable or flag that its value came from
	refused  map[string]bool   // by a setting's name: a value of it was refused
	problems []Problem

	unrelated []string // variables that begin like relinkd's and can name no setting
}

// report notes a problem with what stands at path, where the value in force was given: by a flag, by
// a variable, else in the file.
func (l *loader) report(path []string, found, allowed string) {
	p := Problem{File: l.file, Key: dotted(path...), Found: found, Allowed: allowed}
	if p.Origin = l.origins[p.Key]; p.Origin == "" {
		p.Line = l.lines.of(path)
	}
	l.problems = append(l.problems, p)
}

// given reports whether anybody but the defaults gave the setting at path a value.
func (l *loader) given(path ...string) bool {
	name := dotted(path...)
	return l.origins[name] != "" || l.lines[name] > 0
}

// decode turns the layers, whose values have been checked one by one, into a Config. An error means
// that settings knows a key for which Config has no field.
func decode(ko *koanf.Koanf) (*Config, error) {
	var all struct {
		Target map[string]Target `koanf:"target"`
		Config `koanf:",squash"`
	}
	err := ko.UnmarshalWithConf("", &all, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		ErrorUnused: true,
	}})
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(all.Target)) {
		t := all.Target[name]
		t.Name = name
		all.Targets = append(all.Targets, t)
	}
	return &all.Config, nil
}
