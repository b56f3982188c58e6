package doctor

// Level says how much a finding asks of the administrator.
type Level string

// The levels, the least first.
const (
	Fine  Level = "fine"        // as it should be
	Note  Level = "note"        // good to know; nothing has to be done
	Needs Level = "needs doing" // relinkd cannot do its work, or not as configured, until something is done
)

// The sections of a report, in their order.
const (
	Kernel     = "Kernel"
	Privileges = "Privileges"
	Place      = "Install directory"
	Security   = "Security modules"
	Packages   = "Package manager"
	Cyrus      = "Cyrus"
	Cost       = "Cost"
	Load       = "Load"
	Copies     = "What copies can do here"
)

// Finding is one thing that was found out.
type Finding struct {
	Section string `json:"section"`
	Target  string `json:"target"` // "" when it concerns the host
	Level   Level  `json:"level"`
	What    string `json:"what"` // a phrase
	Why     string `json:"why"`  // why it matters
	Do      string `json:"do"`   // what to do; "" when there is nothing
}

// Report is all that was found, the document of `relinkd doctor --json`.
type Report struct {
	Version  string    `json:"version"`
	Unseen   []string  `json:"unseen"` // what the caller may not look at
	Findings []Finding `json:"findings"`
	Shares   []*Share  `json:"shares"` // of the targets that there are
}

// Count is how many findings are of a level.
func (r *Report) Count(level Level) int {
	n := 0
	for _, f := range r.Findings {
		if f.Level == level {
			n++
		}
	}
	return n
}

// found collects the findings of one section.
type found struct {
	section, target string
	all             []Finding
}

func (f *found) add(level Level, what, why, do string) {
	f.all = append(f.all, Finding{Section: f.section, Target: f.target, Level: level, What: what, Why: why, Do: do})
}

func (f *found) fine(what, why string)      { f.add(Fine, what, why, "") }
func (f *found) note(what, why, do string)  { f.add(Note, what, why, do) }
func (f *found) needs(what, why, do string) { f.add(Needs, what, why, do) }
