package manual

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"relinkd/config"
)

// Configuration is relinkd.toml(5): the keys in the order of the example configuration, each with the
// comment that stands above it there and with what config says of it. An error is a key that one of the two
// does not know.
func Configuration(keys []config.Key, example string) (string, error) {
	tables := parse(example)
	if err := complete(keys, tables); err != nil {
		return "", err
	}
	p := newPage("relinkd.toml", "5")
	p.text(read("relinkd.toml.5.txt"), map[string]func(){
		"keys": func() {
			for _, t := range tables {
				p.table(t, keys)
			}
		},
	})
	return p.b.String(), nil
}

// table is a table of the example: its name, where NAME is any target's, and what the comment above says.
type table struct {
	name    string
	comment string
	entries []entry
}

// entry is some keys below one comment.
type entry struct {
	comment string
	keys    []string // as config names them, below the table
}

var (
	header = regexp.MustCompile(`^\[(.+)\]$`)
	pair   = regexp.MustCompile(`^(\w+) *= *(.*)$`)
	inner  = regexp.MustCompile(`(\w+) *=`)
)

// parse reads an example configuration. What stands above the first table is about none, and left out.
func parse(example string) []table {
	var tables []table
	for block := range strings.SplitSeq(example, "\n\n") {
		var comment []string
		var keys []string
		for line := range strings.Lines(block) {
			line = strings.TrimSpace(line)
			if text, ok := strings.CutPrefix(line, "#"); ok {
				comment = append(comment, strings.TrimSpace(text))
			} else if m := header.FindStringSubmatch(line); m != nil {
				tables = append(tables, table{
					name:    strings.Replace(m[1], "target.imapd", "target.NAME", 1),
					comment: strings.Join(comment, "\n"),
				})
			} else if m := pair.FindStringSubmatch(line); m != nil {
				if !strings.HasPrefix(m[2], "{") {
					keys = append(keys, m[1])
					continue
				}
				for _, in := range inner.FindAllStringSubmatch(m[2], -1) {
					keys = append(keys, m[1]+"."+in[1])
				}
			}
		}
		if len(keys) > 0 && len(tables) > 0 {
			t := &tables[len(tables)-1]
			t.entries = append(t.entries, entry{strings.Join(comment, "\n"), keys})
		}
	}
	return tables
}

// complete checks that config and the example know the same keys, and that each is explained.
func complete(keys []config.Key, tables []table) error {
	var shown []string
	for _, t := range tables {
		for _, e := range t.entries {
			if e.comment == "" {
				return fmt.Errorf("%s.%s has no comment above it in the example configuration", t.name, e.keys[0])
			}
			for _, k := range e.keys {
				shown = append(shown, t.name+"."+k)
			}
		}
	}
	for _, k := range keys {
		at := slices.Index(shown, k.Name)
		if at < 0 {
			return fmt.Errorf("%s is a key that the example configuration does not show", k.Name)
		}
		shown = slices.Delete(shown, at, at+1)
	}
	if len(shown) > 0 {
		return fmt.Errorf("%s is no key, but the example configuration shows it", shown[0])
	}
	return nil
}

func (p *page) table(t table, keys []config.Key) {
	p.line(".SS " + quoted("["+t.name+"]"))
	if t.comment != "" {
		p.paragraph(strings.Split(t.comment, "\n"))
	}
	for _, e := range t.entries {
		var terms []string
		for _, k := range e.keys {
			terms = append(terms, "`"+k+"`")
		}
		p.define(terms...)
		p.lines(strings.Split(e.comment, "\n"))
		for _, k := range e.keys {
			at := slices.IndexFunc(keys, func(known config.Key) bool { return known.Name == t.name+"."+k })
			p.line(".IP")
			if len(e.keys) > 1 {
				p.lines([]string{"`" + k + "`: " + facts(keys[at])})
			} else {
				p.lines([]string{facts(keys[at])})
			}
		}
	}
}

// facts is what config says of a key, as sentences.
func facts(k config.Key) string {
	text := fmt.Sprintf("%s Default: %s.", sentence(k.Allowed), k.Default)
	if k.Restart {
		text += " Needs a restart."
	}
	return text
}
