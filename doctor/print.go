package doctor

import (
	"fmt"
	"io"
	"strings"
)

// labels are the levels as they stand before a finding.
var labels = map[Level]string{Fine: "fine", Note: "note", Needs: "TODO"}

// Print writes a report for people, in 80 columns: of what is fine only what it is.
func (r *Report) Print(w io.Writer) error {
	var b strings.Builder
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
			b.WriteString(h + "\n")
			heading = h
		}
		const indent = "        "
		b.WriteString(Wrap("  "+labels[f.Level]+"  ", indent, f.What))
		if f.Level == Fine {
			continue
		}
		b.WriteString(Wrap(indent+"why: ", indent+"     ", f.Why))
		if f.Do != "" {
			b.WriteString(Wrap(indent+"do:  ", indent+"     ", f.Do))
		}
	}
	b.WriteByte('\n')
	if len(r.Unseen) > 0 {
		b.WriteString(Wrap("", "", "Not seen, as this is not root: "+strings.Join(r.Unseen, ", ")+"."))
	}
	b.WriteString(Wrap("", "", fmt.Sprintf("%s doing (TODO), %s, %d fine.",
		counted(r.Count(Needs), "finding needs", "findings need"), count(r.Count(Note), "note"), r.Count(Fine))))
	_, err := io.WriteString(w, b.String())
	return err
}
