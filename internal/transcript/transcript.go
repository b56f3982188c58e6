// Package transcript reads what the documentation shows of a terminal, commands and their output, so that
// tests can run the one and compare the other. It is for tests alone.
//
// A transcript is a fenced block whose first word is "console" and whose second names where it is run, so
// that a test finds it; one without is a quotation that a test of its own looks after:
//
//	```console host
//	# relinkd version
//	relinkd 1.2.3
//	```
//
// A line that begins with "# " or "$ " is a command, by root or by anybody. A command goes on in the next
// line after a backslash. What follows up to the next command is its output, in which a line of "…" stands
// for any number of lines.
package transcript

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// Step is a command and what it prints.
type Step struct {
	File    string // the document, as it was named to Read
	Line    int    // of the command
	Command string
	Output  []string
}

// Block is one transcript: its steps follow each other in one place.
type Block struct {
	Where string // "" for a quotation
	Steps []Step
}

// languages are those of fenced blocks that show no terminal.
var languages = map[string]bool{"text": true, "toml": true, "ini": true, "json": true, "yaml": true}

// Read is the transcripts of a Markdown file, in order. A fenced block that does not say what it is is an
// error: nobody would look after it.
func Read(file string) ([]Block, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var blocks []Block
	var block *Block // the transcript that the line is in
	fenced := false
	for i, line := range strings.Split(string(text), "\n") {
		bad := func(what string) error { return fmt.Errorf("%s:%d: %s: %s", file, i+1, what, line) }
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && fenced:
			fenced, block = false, nil
		case fence:
			fenced = true
			language, where, _ := strings.Cut(info, " ")
			switch {
			case languages[language]:
			case language != "console":
				return nil, bad("a fenced block that is no \"console\" and no other known language")
			default:
				blocks = append(blocks, Block{Where: where})
				block = &blocks[len(blocks)-1]
			}
		case block == nil:
		default:
			if !block.add(file, i+1, line) {
				return nil, bad("output before any command")
			}
		}
	}
	if fenced {
		return nil, fmt.Errorf("%s: its last fenced block does not end", file)
	}
	return blocks, nil
}

// add takes a line of a transcript, and reports whether it can stand there.
func (b *Block) add(file string, number int, line string) bool {
	var last *Step
	if n := len(b.Steps); n > 0 {
		last = &b.Steps[n-1]
	}
	prompted := strings.HasPrefix(line, "# ") || strings.HasPrefix(line, "$ ")
	switch {
	case last != nil && strings.HasSuffix(last.Command, `\`):
		last.Command = strings.TrimSuffix(last.Command, `\`) + strings.TrimLeft(line, " ")
	case prompted:
		b.Steps = append(b.Steps, Step{File: file, Line: number, Command: line[2:]})
	case last == nil:
		return false
	default:
		last.Output = append(last.Output, strings.TrimRight(line, " "))
	}
	return true
}

// what differs from run to run, each with what stands for it.
var differs = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`), "TIME"},
	{regexp.MustCompile(`\d\d:\d\d:\d\d`), "TIME"},
	{regexp.MustCompile(`\b[0-9a-f]{12,64}\b`), "0"}, // a hash, or its beginning
	{regexp.MustCompile(`\d[\d,.]*\d|\d`), "0"},
	{regexp.MustCompile(`[#█▏▎▍▌▋▊▉░▒▓·]+`), "#"}, // a bar
	{regexp.MustCompile(`\b0 ?(ns|µs|ms|s|m|h|d)\b`), "0 s"},
	{regexp.MustCompile(`[ \t]+`), " "},
}

// alike is line without what differs from run to run: numbers, times, hashes, bars, the width of columns.
func alike(line string) string {
	for _, d := range differs {
		line = d.pattern.ReplaceAllString(line, d.instead)
	}
	return strings.TrimSpace(line)
}

// Compare tells how got differs from the output that s shows; nil when the two are alike, which means that
// they are the same lines apart from numbers, times, hashes, bars and the width of columns.
func (s *Step) Compare(got string) error {
	var lines []string
	for line := range strings.Lines(got) {
		lines = append(lines, strings.TrimRight(line, " \n\r"))
	}
	if at, ok := match(s.Output, lines); !ok {
		shown := "the end"
		if at < len(s.Output) {
			shown = fmt.Sprintf("%q", s.Output[at])
		}
		return fmt.Errorf("%s:%d: %s: prints something else from line %d of what is shown, %s:\n%s", s.File, s.Line, s.Command, at+1, shown, got)
	}
	return nil
}

// match reports whether lines are what is shown, and otherwise how many lines of that could be found.
func match(shown, lines []string) (found int, ok bool) {
	for i, want := range shown {
		if strings.TrimSpace(want) == "…" {
			for skip := 0; skip <= len(lines)-i; skip++ {
				n, ok := match(shown[i+1:], lines[i+skip:])
				if ok {
					return len(shown), true
				}
				found = max(found, i+1+n)
			}
			return found, false
		}
		if i >= len(lines) || alike(want) != alike(lines[i]) {
			return i, false
		}
	}
	return len(shown), len(lines) == len(shown)
}
