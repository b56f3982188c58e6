package config

import (
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// lines tells on which line of a document each key and table first stands, by its dotted name.
type lines map[string]int

// newLines reads the positions of a document that has been decoded without an error.
func newLines(data []byte) lines {
	l := make(lines)
	var p unstable.Parser
	p.Reset(data)
	var table []string
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = l.add(&p, nil, e)
		case unstable.KeyValue:
			l.addPair(&p, table, e)
		}
	}
	return l
}

// addPair notes a key below table, and what stands in it if it is an inline table.
func (l lines) addPair(p *unstable.Parser, table []string, pair *unstable.Node) {
	path := l.add(p, table, pair)
	if pair.Value().Kind != unstable.InlineTable {
		return
	}
	for it := pair.Value().Children(); it.Next(); {
		if it.Node().Kind == unstable.KeyValue {
			l.addPair(p, path, it.Node())
		}
	}
}

// add notes the key of a node below table, and all tables that this key makes, and returns its path.
func (l lines) add(p *unstable.Parser, table []string, n *unstable.Node) []string {
	path := append([]string(nil), table...)
	for it := n.Key(); it.Next(); {
		path = append(path, string(it.Node().Data))
		if name := dotted(path...); l[name] == 0 {
			l[name] = p.Shape(it.Node().Raw).Start.Line
		}
	}
	return path
}

// of is the line of path, or of the innermost table around it that the document names; 0 for none.
func (l lines) of(path []string) int {
	for n := len(path); n > 0; n-- {
		if line := l[dotted(path[:n]...)]; line > 0 {
			return line
		}
	}
	return 0
}

// dotted writes a key as TOML does: parts joined by dots, quoted where they must be. No two paths
// have one dotted name.
func dotted(path ...string) string {
	parts := make([]string, len(path))
	for i, part := range path {
		if part == "" || strings.ContainsFunc(part, notBare) {
			part = strconv.Quote(part)
		}
		parts[i] = part
	}
	return strings.Join(parts, ".")
}

// notBare reports whether r makes a TOML key need quotes.
func notBare(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
}
