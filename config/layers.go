package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// defaults is the layer below all others.
func (l *loader) defaults() map[string]any {
	layer := make(map[string]any)
	for _, s := range l.settings {
		layer[s.koanf()] = s.fallback
	}
	return layer
}

// targetNames returns the names of the file's targets, sorted. It reports and takes out of the tree
// what cannot be a target: its name is typed on the command line and names a file in state.dir.
func (l *loader) targetNames(tree map[string]any) []string {
	targets, ok := tree["target"].(map[string]any)
	switch v, given := tree["target"]; {
	case given && !ok:
		l.report([]string{"target"}, describe(v), "a table for each target, such as [target.imapd]")
	case len(targets) == 0:
		l.report([]string{"target"}, "no target", "at least one: add [target.imapd]")
	}
	if n := len(targets); n > mostTargets {
		l.report([]string{"target"}, fmt.Sprintf("%d targets", n), fmt.Sprintf("at most %d targets", mostTargets))
		clear(targets) // each of them might be wrong as well
	}
	for name := range targets {
		if !targetName(name) {
			l.report([]string{"target", name}, "the name "+strconv.Quote(name),
				`letters, digits, ".", "_" and "-", the first no "." or "-"`)
			delete(targets, name)
		}
	}
	if len(targets) == 0 {
		delete(tree, "target")
	}
	return slices.Sorted(maps.Keys(targets))
}

// targetName reports whether a target may be called name.
func targetName(name string) bool {
	if name == "" || name[0] == '.' || name[0] == '-' {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r != '.' && notBare(r) })
}

// document is the layer of the file: the values of known keys that are allowed. It reports all else.
func (l *loader) document(tree map[string]any) map[string]any {
	leaves := make(map[string]setting)
	tables := map[string][]string{"": {"target"}} // by name: what may stand in it
	for _, s := range l.settings {
		leaves[s.name()] = s
		for n := range s.path {
			table := dotted(s.path[:n]...)
			if !slices.Contains(tables[table], s.path[n]) {
				tables[table] = append(tables[table], s.path[n])
			}
		}
	}
	layer := make(map[string]any)
	var walk func(path []string, table map[string]any)
	walk = func(path []string, table map[string]any) {
		for _, key := range slices.Sorted(maps.Keys(table)) {
			at := append(slices.Clone(path), key)
			v := table[key]
			s, isLeaf := leaves[dotted(at...)]
			inner, isTable := tables[dotted(at...)]
			switch sub, ok := v.(map[string]any); {
			case isLeaf:
				l.accept(layer, s, v)
			case isTable && ok:
				walk(at, sub)
			case isTable:
				l.report(at, describe(v), "a table of "+strings.Join(inner, ", "))
			default:
				l.report(at, "a key that relinkd does not know", strings.Join(tables[dotted(path...)], ", "))
			}
		}
	}
	walk(nil, tree)
	return layer
}

// accept takes a value of the file into its layer, or reports it.
func (l *loader) accept(layer map[string]any, s setting, v any) {
	value, found := s.kind.read(v)
	if found != "" {
		l.refused[s.name()] = true
		l.report(s.path, found, s.kind.allowed)
		return
	}
	layer[s.koanf()] = value
}

// environment is the layer of the variables that begin with RELINKD_. One that names no setting is
// refused like an unknown key of the file, unless it could not name any for want of "__": those are
// others', such as RELINKD_PORT, which Kubernetes makes of a service called relinkd.
func (l *loader) environment(environ []string) koanf.Provider {
	byName := make(map[string][]setting)
	for _, s := range l.settings {
		byName[s.env()] = append(byName[s.env()], s)
	}
	return env.Provider(separator, env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(variable, text string) (string, any) {
			named := byName[variable]
			switch len(named) {
			case 0:
				if !strings.Contains(strings.TrimPrefix(variable, envPrefix), envSeparator) {
					l.unrelated = append(l.unrelated, variable)
					return "", nil
				}
				l.stray(variable, "a variable that names no setting", "names like RELINKD_LOG__LEVEL, and "+
					"RELINKD_TARGET__IMAPD__COPIES for a target of the file: unset it")
				return "", nil
			case 1:
				return l.override(named[0], variable, text)
			default:
				l.stray(variable, fmt.Sprintf("a variable that could mean %s or %s", named[0].name(), named[1].name()),
					"a variable that means one setting: use the file")
				return "", nil
			}
		},
	})
}

// warnings tells of the variables that are not relinkd's, in one sentence.
func (l *loader) warnings() []string {
	if len(l.unrelated) == 0 {
		return nil
	}
	slices.Sort(l.unrelated)
	return []string{fmt.Sprintf("%s: no setting is named so, and it is ignored; those of relinkd are named like RELINKD_LOG__LEVEL, with two underscores",
		strings.Join(l.unrelated, ", "))}
}

// flags is the layer of the flags that were set and are named like a key; other flags have no dot.
func (l *loader) flags(set *pflag.FlagSet) koanf.Provider {
	if set == nil {
		set = pflag.NewFlagSet("", pflag.ContinueOnError)
	}
	byName := make(map[string]setting)
	for _, s := range l.settings {
		byName[s.name()] = s
	}
	return posflag.ProviderWithFlag(set, separator, nil, func(f *pflag.Flag) (string, any) {
		if !f.Changed || !strings.Contains(f.Name, ".") {
			return "", nil
		}
		s, ok := byName[f.Name]
		if !ok {
			l.stray("--"+f.Name, "a flag that names no setting", "names of keys of the file, such as --log.level")
			return "", nil
		}
		return l.override(s, "--"+f.Name, f.Value.String())
	})
}

// override takes what a variable or a flag says, or reports it. It returns what a koanf provider
// wants: the place and the value, or "" for nothing.
func (l *loader) override(s setting, origin, text string) (string, any) {
	l.origins[s.name()] = origin
	value, found := s.kind.readText(text)
	if found != "" {
		l.refused[s.name()] = true
		l.report(s.path, found, s.kind.allowed)
		return "", nil
	}
	return s.koanf(), value
}

// stray reports a variable or a flag that belongs to no setting.
func (l *loader) stray(origin, found, allowed string) {
	l.problems = append(l.problems, Problem{File: l.file, Origin: origin, Found: found, Allowed: allowed})
}
