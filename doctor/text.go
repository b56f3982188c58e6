package doctor

import (
	"fmt"
	"strings"

	"relinkd/console"
)

// labels are the levels as they stand before a finding, all of one width.
var labels = map[Level]string{Fine: "fine", Note: "note", Needs: "TODO"}

var tones = map[Level]console.Tone{Fine: console.Good, Note: console.Busy, Needs: console.Bad}

// widest is the length of lines that are still easily read.
const widest = 100

// Text is a report for people; of what is fine it tells only what it is.
func (r *Report) Text(s console.Screen) string {
	var b strings.Builder
	columns := min(s.Width, widest)
	say := func(first, rest, text string, tone console.Tone) {
		for i, line := range console.Wrap(s.Clean(text), columns-len(rest)) {
			prefix := rest
			if i == 0 {
				prefix = first[:len(first)-len(strings.TrimLeft(first, " "))] + s.Paint(strings.TrimLeft(first, " "), tone)
			}
			b.WriteString(strings.TrimRight(prefix+line, " ") + "\n")
		}
	}
	heading := ""
	for _, f := range r.Findings {
		h := f.Section
		if f.Target != "" {
			h = f.Target + ": " + f.Section
		}
		if h != heading {
			if heading != "" {
				b.WriteByte('\n')
			}
			b.WriteString(s.Paint(s.Clean(h), console.Strong) + "\n")
			heading = h
		}
		const under, deeper = "        ", "             "
		say("  "+labels[f.Level]+"  ", under, f.What, tones[f.Level])
		if f.Level == Fine {
			continue
		}
		say(under+"why: ", deeper, f.Why, console.Dim)
		if f.Do != "" {
			say(under+"do:  ", deeper, f.Do, console.Strong)
		}
	}
	b.WriteByte('\n')
	if len(r.Unseen) > 0 {
		say("", "", "Not seen, as this is not root: "+strings.Join(r.Unseen, ", ")+".", console.Plain)
	}
	say("", "", fmt.Sprintf("%s doing (TODO), %s, %d fine.",
		counted(r.Count(Needs), "finding needs", "findings need"), count(r.Count(Note), "note"), r.Count(Fine)), console.Plain)
	return b.String()
}
