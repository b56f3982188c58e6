package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	File    string // the configuration file
	Line    int    // in File, from 1; 0 when the file as a whole is meant
	Origin  string // the environment variable or the flag that said it, in place of File and Line
	Key     string // as one would write it at the top of the file; "" when no key is meant
	Found   string // what is there
	Allowed string // what may be there, and what to try
}

// Error is one line: where, key, what was found, what is allowed.
func (p Problem) Error() string {
	var b strings.Builder
	switch {
	case p.Origin != "":
		b.WriteString(p.Origin)
	case p.Line > 0:
		fmt.Fprintf(&b, "%s:%d", p.File, p.Line)
	default:
		b.WriteString(p.File)
	}
	if p.Key != "" {
		b.WriteString(": " + p.Key)
	}
	fmt.Fprintf(&b, ": found %s, allowed: %s", p.Found, p.Allowed)
	return b.String()
}

// Errors is everything that Load found wrong, never empty: first what the file says, by line, then
// the environment, then the flags.
type Errors struct{ Problems []Problem }

// Error is the problems, one a line.
func (e *Errors) Error() string {
	texts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		texts[i] = p.Error()
	}
	return strings.Join(texts, "\n")
}

// sorted puts the problems in the order that Errors promises.
func sorted(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key))
	})
	return problems
}

// rank is 0 for the file, 1 for the environment, 2 for the flags.
func (p Problem) rank() int {
	switch {
	case p.Origin == "":
		return 0
	case !strings.HasPrefix(p.Origin, "--"):
		return 1
	default:
		return 2
	}
}
