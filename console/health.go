package console

import (
	"fmt"
	"slices"
	"strings"

	"relinkd/api"
)

// Health is how all is, in a word.
type Health int

// The healths, from good to bad.
const (
	Healthy   Health = iota
	Idle             // nothing is managed, and nothing should be
	Underway         // a target is on its way to being steady
	Attention        // somebody should look
)

// Tone is the colour of a health.
func (h Health) Tone() Tone {
	return map[Health]Tone{Healthy: Good, Underway: Busy, Attention: Bad}[h]
}

// Finding is something about a Status that an operator should know.
type Finding struct {
	Wrong  bool   // somebody should do something; else it is merely good to know
	Target string // its name; "" for the daemon
	What   string // may have several lines
	Try    string // what to do about it; "" for nothing
}

// Findings is all there is to know about st beyond its numbers, what is wrong first.
func Findings(st *api.Status) []Finding {
	var all []Finding
	if st.ConfigError != "" {
		all = append(all, Finding{true, "", "the configuration in force is an earlier one, for this is wrong:\n" + st.ConfigError,
			"mend it, see `relinkd check-config`, then `relinkd reload`"})
	}
	if n := st.UnreadableProcesses; n > 0 {
		all = append(all, Finding{true, "", count(n, "process") + " cannot be read, so that every count may be too low",
			"run relinkd as root with CAP_SYS_PTRACE, as its unit does"})
	}
	for _, t := range st.Targets {
		all = append(all, targetFindings(&t)...)
	}
	if st.Accounting == "census" {
		all = append(all, Finding{false, "", "processes are counted by looking through /proc" + inParens(st.AccountingReason) +
			": a burst between two looks can pass a threshold", ""})
	}
	if st.Overflows > 0 {
		all = append(all, Finding{false, "", "events of the kernel were lost " + count(st.Overflows, "time") + ", each followed by a new count", ""})
	}
	slices.SortStableFunc(all, func(a, b Finding) int {
		switch {
		case a.Wrong == b.Wrong:
			return 0
		case a.Wrong:
			return -1
		}
		return 1
	})
	return all
}

func targetFindings(t *api.TargetStatus) []Finding {
	var all []Finding
	found := func(wrong bool, try, format string, args ...any) {
		all = append(all, Finding{wrong, t.Name, fmt.Sprintf(format, args...), try})
	}
	if t.Unable() {
		try := t.ExecutesTry
		if try == "" {
			try = "`relinkd plan`; `relinkd restore " + t.Name + "` puts the packaged file back"
		}
		found(true, try, "%s", t.ExecutesReason)
	}
	switch t.State {
	case api.Degraded:
		if t.Unable() && t.Reason == t.ExecutesReason {
			break // told above
		}
		try := "`relinkd plan`, and `journalctl -u relinkd` for what led to it"
		if t.AwaitsManage {
			try = "relinkd manage " + t.Name
		}
		found(true, try, "%s is degraded: %s", t.Name, t.Reason)
	case api.Released:
		if !t.AwaitsManage {
			found(false, "", "%s is released: %s", t.Name, t.Reason)
			break
		}
		found(false, "relinkd manage "+t.Name, "%s is released: not managed until you say so", t.Name)
	case api.Absent:
		found(false, "", "%s is absent: nothing is installed at %s; it is managed as soon as something is", t.Name, t.Path)
	default:
		if t.Reason != "" {
			found(false, "", "%s: %s", t.Name, t.Reason)
		}
	}
	switch {
	case t.Saturated && t.GrowthReason != "" && len(t.Copies) < t.MaxCopies:
		found(true, "make room for copies, or raise threshold and then `relinkd reload`",
			"%s is saturated: none of its %s has room below the mark of %d, and no more can be made: %s", t.Name, copies(len(t.Copies)), t.Mark, t.GrowthReason)
	case t.Saturated:
		found(true, "raise max_copies or threshold, then `relinkd reload`",
			"%s is saturated: none of its %s has room below the mark of %d, and max_copies is %d", t.Name, copies(len(t.Copies)), t.Mark, t.MaxCopies)
	}
	if n, worst := overThreshold(t); n > 0 {
		found(true, "wait, as no process begins there; if it comes again, lower rotate_at or raise threshold",
			"%s: %s over the threshold of %d, %s with %d processes", t.Name, isAre(n, "copy"), t.Threshold, worst.Name, worst.Processes)
	}
	return all
}

// overThreshold counts the copies over the threshold and returns the fullest one.
func overThreshold(t *api.TargetStatus) (n int, worst api.CopyStatus) {
	for _, c := range t.Copies {
		if c.Processes > t.Threshold {
			n++
		}
		if c.Processes > worst.Processes {
			worst = c
		}
	}
	return n, worst
}

// Verdict says in a line how all is.
func Verdict(st *api.Status) (Health, string) {
	wrong := 0
	for _, f := range Findings(st) {
		if f.Wrong {
			wrong++
		}
	}
	byState := map[api.State]int{}
	for _, t := range st.Targets {
		byState[t.State]++
	}
	told := tally(st, byState)
	for _, t := range st.Targets {
		if t.Unable() {
			told = unable(st) + "; " + told
			break
		}
	}
	switch busy := byState[api.Starting] + byState[api.Settling] + byState[api.Cloning] + byState[api.Bypassed]; {
	case wrong == 1:
		return Attention, "something needs attention; " + told
	case wrong > 1:
		return Attention, fmt.Sprintf("%d things need attention; %s", wrong, told)
	case len(st.Targets) == 0:
		return Idle, "no target is configured"
	case busy > 0:
		return Underway, "at work: " + told
	case byState[api.Steady] > 0:
		return Healthy, "healthy: " + told
	}
	return Idle, "nothing is managed: " + told
}

// unable names the targets that nobody can execute.
func unable(st *api.Status) string {
	var names []string
	for _, t := range st.Targets {
		if t.Unable() {
			names = append(names, t.Name)
		}
	}
	if len(names) == 1 {
		return names[0] + " does not execute"
	}
	return strings.Join(names, ", ") + " do not execute"
}

// tally counts targets by their states, or names the only one.
func tally(st *api.Status, byState map[api.State]int) string {
	if len(st.Targets) == 1 {
		return fmt.Sprintf("%s is %s", st.Targets[0].Name, st.Targets[0].State)
	}
	var all []string
	for _, state := range []api.State{api.Degraded, api.Steady, api.Starting, api.Settling, api.Cloning,
		api.Bypassed, api.Released, api.Absent} {
		if n := byState[state]; n > 0 {
			all = append(all, fmt.Sprintf("%d %s", n, state))
		}
	}
	return count(len(st.Targets), "target") + inParens(strings.Join(all, ", "))
}

// StateTone is the colour of a target's state.
func StateTone(state api.State) Tone {
	switch state {
	case api.Steady:
		return Good
	case api.Degraded:
		return Bad
	case api.Released, api.Absent:
		return Plain
	}
	return Busy
}

func copies(n int) string { return count(n, "copy") }

// isAre is count as the beginning of a sentence about what n of a thing are.
func isAre(n int, thing string) string {
	if n == 1 {
		return "1 " + thing + " is"
	}
	return count(n, thing) + " are"
}

func inParens(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}
