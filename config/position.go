package config

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// lines tells on which line of a document each key and table first stands, by its dotted name.
type lines map[string]int

// newLines reads the positions of a document that has been decoded without an error.
func newLines(data []byte) lines {
	l := make(lines)
	ends := newLineEnds(data)
	// The key of a table comes before what stands in it.
	_, _ = eachKey(data, func(path []string, at uint32) bool {
		if name := dotted(path...); l[name] == 0 {
			l[name] = ends.line(at)
		}
		return true
	})
	return l
}

// tooDeep returns the line of the first key of data with more than most parts, those of the tables around it
// included, and how many it has as far as was looked; 0 when there is none, or it comes after an error of TOML.
func tooDeep(data []byte, most int) (line, parts int) {
	path, at := eachKey(data, func(path []string, _ uint32) bool { return len(path) <= most })
	if len(path) <= most {
		return 0, 0
	}
	return newLineEnds(data).line(at), len(path)
}

// eachKey calls visit for each key of a document and for each table that a key makes, until it returns false or
// the document ends, perhaps by an error. It returns the last path, and where its last part stands.
func eachKey(data []byte, visit func(path []string, at uint32) bool) (path []string, at uint32) {
	var p unstable.Parser
	p.Reset(data)
	more := true
	add := func(table []string, n *unstable.Node) []string {
		path = table[:len(table):len(table)]
		for it := n.Key(); more && it.Next(); {
			path, at = append(path, string(it.Node().Data)), it.Node().Raw.Offset
			more = visit(path, at)
		}
		return path
	}
	var addPair func(table []string, pair *unstable.Node)
	addPair = func(table []string, pair *unstable.Node) {
		inner := add(table, pair)
		if pair.Value().Kind != unstable.InlineTable {
			return
		}
		for it := pair.Value().Children(); more && it.Next(); {
			if it.Node().Kind == unstable.KeyValue {
				addPair(inner, it.Node())
			}
		}
	}
	var table []string
	for more && p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = add(nil, e)
		case unstable.KeyValue:
			addPair(table, e)
		}
	}
	return path, at
}

// lineEnds is where the lines of a document end.
type lineEnds []int

func newLineEnds(data []byte) (ends lineEnds) {
	for at, b := range data {
		if b == '\n' {
			ends = append(ends, at)
		}
	}
	return ends
}

// line is the number of the line in which the byte at stands.
func (e lineEnds) line(at uint32) int {
	before, _ := slices.BinarySearch(e, int(at))
	return before + 1
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
