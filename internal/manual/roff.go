package manual

import (
	"fmt"
	"strings"
)

// page is a manual page under way, in the man(7) language, of which it uses what groff and mandoc both
// know.
type page struct{ b strings.Builder }

// newPage begins the page name(section). It has no date and no version: the same program gives the same
// page, whenever it was built.
func newPage(name, section string) *page {
	p := new(page)
	p.b.WriteString(".\\\" Made by `make generate`: do not edit.\n")
	fmt.Fprintf(&p.b, ".TH %s %s \"\" relinkd \"System administration\"\n", quoted(strings.ToUpper(name)), section)
	// No hyphens that were not there, as what is read here is typed elsewhere; a ragged edge; one space after
	// a sentence.
	p.b.WriteString(".nr HY 0\n.nh\n.ad l\n.ss 12 0\n")
	return p
}

// text writes prose, of which each paragraph is what its indentation says:
//
//	# NAME         a section, ## a part of one
//	plain lines    a paragraph
//	a term         a definition, if the lines
//	    below it     after the first are indented
//	    a line     an example, if all lines are indented: printed as it stands
//	{name}         what fill writes for that name
//
// `Quoted` words are bold. A name without a function in fill is a mistake in the prose, and panics.
func (p *page) text(prose string, fill map[string]func()) {
	for paragraph := range strings.SplitSeq(strings.Trim(prose, "\n"), "\n\n") {
		lines := strings.Split(strings.Trim(paragraph, "\n"), "\n")
		first := lines[0]
		switch {
		case strings.HasPrefix(first, "## "):
			p.line(".SS " + quoted(first[3:]))
		case strings.HasPrefix(first, "# "):
			p.line(".SH " + quoted(first[2:]))
		case strings.HasPrefix(first, "{"):
			fill[strings.Trim(first, "{}")]()
		case indented(first):
			p.example(lines)
		case len(lines) > 1 && indented(lines[1]):
			p.define(first)
			p.lines(lines[1:])
		default:
			p.paragraph(lines)
		}
	}
}

// paragraph writes lines that may be filled.
func (p *page) paragraph(lines []string) {
	// A paragraph macro right below a heading is superfluous, as mandoc's lint says.
	if !p.belowHeading() {
		p.line(".PP")
	}
	p.lines(lines)
}

// define begins the definition of terms, the text of which is what comes next.
func (p *page) define(terms ...string) {
	for i, term := range terms {
		if i == 0 {
			p.line(".TP")
		} else {
			p.line(".TQ")
		}
		p.line(guard(inline(term)))
	}
}

// example writes lines as they stand.
func (p *page) example(lines []string) {
	if !p.belowHeading() {
		p.line(".PP")
	}
	p.line(".RS 4\n.EX")
	for _, l := range lines {
		p.line(guard(escape(strings.TrimSpace(l))))
	}
	p.line(".EE\n.RE")
}

// sourceWidth is as long as a line of a page's source gets, unless a word is longer: mandoc's lint asks for it.
const sourceWidth = 78

// lines writes prose, broken anew.
func (p *page) lines(lines []string) {
	line := ""
	for _, word := range strings.Fields(inline(strings.Join(lines, " "))) {
		if line != "" && len(line)+1+len(word) > sourceWidth {
			p.line(guard(line))
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	p.line(guard(line))
}

func (p *page) line(text string) { p.b.WriteString(text + "\n") }

func (p *page) belowHeading() bool {
	written := strings.TrimSuffix(p.b.String(), "\n")
	last := written[strings.LastIndexByte(written, '\n')+1:]
	return strings.HasPrefix(last, ".SH ") || strings.HasPrefix(last, ".SS ")
}

func indented(line string) bool { return strings.HasPrefix(line, "  ") }

// inline is prose with its `quoted` words bold.
func inline(text string) string {
	var b strings.Builder
	for i, part := range strings.Split(text, "`") {
		if i%2 == 0 {
			b.WriteString(escape(part))
		} else {
			b.WriteString(`\fB` + escape(part) + `\fR`)
		}
	}
	return b.String()
}

// escape makes text stand for itself.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\e`, `-`, `\-`, `'`, `\(aq`, "`", `\(ga`, `^`, `\(ha`, `~`, `\(ti`).Replace(text)
}

// guard keeps a line that begins like a macro from being one.
func guard(line string) string {
	if strings.HasPrefix(line, ".") {
		return `\&` + line
	}
	return line
}

// quoted is text as one argument of a macro.
func quoted(text string) string {
	return `"` + strings.ReplaceAll(escape(text), `"`, `\(dq`) + `"`
}
