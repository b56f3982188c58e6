package manual

import (
	"strings"
	"testing"

	"relinkd/config"
)

func TestText(t *testing.T) {
	p := new(page)
	filled := 0
	p.text(`
# NAME

x - a 'thing' \ of .dots
.hidden by nobody

## part

`+"`--flag`"+` FILE
    What it is for, with `+"`more`"+`.

  one `+"`two`"+`
  .three

{filled}
`, map[string]func(){"filled": func() { filled++ }})
	want := `.SH "NAME"
x \- a \(aqthing\(aq \e of .dots .hidden by nobody
.SS "part"
.TP
\fB\-\-flag\fR FILE
What it is for, with \fBmore\fR.
.PP
.RS 4
.EX
one \(gatwo\(ga
\&.three
.EE
.RE
`
	if got := p.b.String(); got != want || filled != 1 {
		t.Errorf("%d times filled, got:\n%s\nwant:\n%s", filled, got, want)
	}
}

func TestLinesAreBrokenAndGuarded(t *testing.T) {
	p := new(page)
	p.lines([]string{strings.Repeat("word ", 15) + "end .first of a line"})
	for line := range strings.Lines(p.b.String()) {
		if len(line)-1 > sourceWidth || strings.HasPrefix(line, ".") {
			t.Errorf("%d: %q", len(line), line)
		}
	}
	if !strings.Contains(p.b.String(), "\n\\&.first") {
		t.Errorf("no macro was avoided:\n%s", p.b.String())
	}
}

const example = `# The file.

[target.imapd]

# Where and how.
path = "auto"
settle = { quiet = "1s", max = "30s" }

# About the log.
[log]

# How much.
level = "info"
`

func TestConfiguration(t *testing.T) {
	keys := []config.Key{
		{Name: "target.NAME.path", Default: `"auto"`, Allowed: "a path"},
		{Name: "target.NAME.settle.quiet", Default: `"1s"`, Allowed: "a duration"},
		{Name: "target.NAME.settle.max", Default: `"30s"`, Allowed: "a duration"},
		{Name: "log.level", Default: `"info"`, Allowed: "a word", Restart: true},
	}
	text, err := Configuration(keys, example)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		".SS \"[target.NAME]\"\n.TP\n\\fBpath\\fR\n.TQ\n\\fBsettle.quiet\\fR\n.TQ\n\\fBsettle.max\\fR\nWhere and how.\n",
		".IP\n\\fBsettle.max\\fR: A duration. Default: \"30s\".\n",
		".SS \"[log]\"\nAbout the log.\n.TP\n\\fBlevel\\fR\nHow much.\n.IP\nA word. Default: \"info\". Needs a restart.\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing:\n%s\nin:\n%s", want, text)
		}
	}
	for name, test := range map[string]struct {
		keys    []config.Key
		example string
		want    string
	}{
		"not shown":     {append(keys, config.Key{Name: "log.format"}), example, "log.format is a key that the example"},
		"not known":     {keys[:3], example, "log.level is no key"},
		"not explained": {keys, strings.Replace(example, "# How much.\n", "", 1), "log.level has no comment"},
	} {
		if _, err := Configuration(test.keys, test.example); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
