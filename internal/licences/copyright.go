package main

import (
	"fmt"
	"slices"
	"strings"
)

// part is something of one licence.
type part struct {
	name    string
	kind    string   // one of the kinds below
	holders []string // their copyright notices, without the word
	body    string   // the licence without notices and heading, its lines filled anew
	text    string   // as it stands
	notice  string   // what a NOTICE file says, which the Apache License has us repeat
}

// The kinds of licences, in the words of Debian's copyright format.
const (
	expat  = "Expat" // which others call MIT
	bsd3   = "BSD-3-clause"
	bsd2   = "BSD-2-clause"
	apache = "Apache-2.0"
)

// identify tells a licence by what only it says. The kind is "" for an unknown one.
func identify(text string) (kind, body string) {
	for _, l := range []struct {
		kind  string
		begin string   // of the body
		says  []string // in this order
	}{
		{apache, "Apache License", []string{"Version 2.0, January 2004", "Grant of Patent License"}},
		{expat, "Permission is hereby granted, free of charge", []string{"without restriction", "THE SOFTWARE IS PROVIDED"}},
		{bsd3, "Redistribution and use in source and binary forms", []string{"binary form must reproduce", "Neither the name of", "THIS SOFTWARE IS PROVIDED"}},
		{bsd2, "Redistribution and use in source and binary forms", []string{"binary form must reproduce", "THIS SOFTWARE IS PROVIDED"}},
	} {
		begin := strings.Index(text, l.begin)
		if begin < 0 {
			continue
		}
		rest, all := text[begin:], true
		for _, says := range l.says {
			_, after, found := strings.Cut(rest, says)
			rest, all = after, all && found
		}
		if all {
			return l.kind, fill(text[begin:])
		}
	}
	return "", ""
}

// holders is the copyright notices in text.
func holders(text string) []string {
	var found []string
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "Copyright ")
		if !ok {
			continue
		}
		for _, sign := range []string{"(c) ", "(C) ", "© "} {
			rest = strings.TrimPrefix(rest, sign)
		}
		found = append(found, strings.TrimSuffix(rest, " All rights reserved."))
	}
	return found
}

// fill breaks the lines of each paragraph and of each item of a list anew, so that one text has one form.
func fill(text string) string {
	var b strings.Builder
	column := 0
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
			if column > 0 {
				b.WriteString("\n\n")
				column = 0
			}
			continue
		case column > 0 && (words[0] == "*" || words[0] == "-" || strings.HasSuffix(words[0], ".") && len(words[0]) == 2):
			b.WriteString("\n")
			column = 0
		}
		for _, w := range words {
			switch {
			case column > 0 && column+1+len(w) > 76:
				b.WriteString("\n")
				column = 0
			case column > 0:
				b.WriteString(" ")
				column++
			}
			b.WriteString(w)
			column += len(w)
		}
	}
	return strings.TrimSpace(b.String())
}

const heading = `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: relinkd
Comment: The program is linked statically. What stands below vendor/ here is the
 Go modules that are part of it, by their names and as ` + "`go mod vendor`" + ` puts them;
 goroot/ is Go's own library. This file is made by ` + "`make generate`" + `.
`

// document is the whole file, in Debian's machine-readable format 1.0.
func document(ours part, parts []part) string {
	var b strings.Builder
	b.WriteString(heading)
	names := map[string]string{} // of the licences, by their text
	var bodies []string
	license := func(p part) string {
		body := p.body
		if p.kind == apache {
			body = apacheBody
		}
		if names[body] == "" {
			n := 1
			for _, other := range bodies {
				if names[other] == p.kind || strings.HasPrefix(names[other], p.kind+"-") {
					n++
				}
			}
			names[body] = p.kind
			if n > 1 { // another wording of the same
				names[body] = fmt.Sprintf("%s-%d", p.kind, n)
			}
			bodies = append(bodies, body)
		}
		return names[body]
	}
	stanza := func(files string, p part) {
		fmt.Fprintf(&b, "\nFiles: %s\nCopyright: %s\nLicense: %s\n", files, strings.Join(p.holders, "\n "), license(p))
		if p.notice != "" {
			fmt.Fprintf(&b, "Comment: It comes with this notice:\n%s\n", folded(p.notice))
		}
	}
	stanza("*", ours)
	for _, p := range parts {
		files := "vendor/" + p.name + "/*"
		if p.name == goLibrary {
			files = "goroot/*"
		}
		stanza(files, p)
	}
	slices.SortFunc(bodies, func(x, y string) int { return strings.Compare(names[x], names[y]) })
	for _, body := range bodies {
		fmt.Fprintf(&b, "\nLicense: %s\n%s\n", names[body], folded(body))
	}
	return b.String()
}

// apacheBody stands for the Apache License, which Debian's policy wants named and not repeated.
const apacheBody = `Licensed under the Apache License, Version 2.0 (the "License"); you may not use
these files except in compliance with the License. Unless required by applicable
law or agreed to in writing, software distributed under the License is
distributed on an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND,
either express or implied. See the License for the specific language governing
permissions and limitations under the License.

The License is in /usr/share/common-licenses/Apache-2.0 on Debian, and beside
this file elsewhere.`

// folded is text as the continuation of a field.
func folded(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\n")
		if line == "" {
			line = "."
		}
		lines = append(lines, " "+line)
	}
	return strings.Join(lines, "\n")
}
