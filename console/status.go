package console

import (
	"fmt"
	"strings"

	"relinkd/api"
)

// Status is st for people: how all is in the first line, then what to know and do, then each target
// with its copies. events are what the daemon keeps of the past, in their order.
func (s Screen) Status(st *api.Status, events []api.Event) string {
	var b strings.Builder
	health, verdict := Verdict(st)
	s.hang(&b, "relinkd "+s.Clean(st.Version)+": ", s.Clean(verdict), health.Tone())
	for _, f := range Findings(st) {
		s.finding(&b, f)
	}
	if st.LastError != "" {
		when := ""
		if !st.LastErrorAt.IsZero() {
			when = ", " + s.When(st.LastErrorAt)
		}
		s.hang(&b, s.Paint(" "+s.Glyphs().Bullet+" ", Dim), "last error"+when+": "+s.Clean(st.LastError), Plain)
	}
	for _, t := range st.Targets {
		b.WriteByte('\n')
		s.target(&b, &t, events)
	}
	return b.String()
}

// finding writes what was found, and what to do about it below that.
func (s Screen) finding(b *strings.Builder, f Finding) {
	prefix := s.Paint(" "+s.Glyphs().Bullet+" ", Dim)
	if f.Wrong {
		prefix = s.Paint(" ! ", Bad)
	}
	for _, line := range s.lines(f.What) {
		s.hang(b, prefix, line, Plain)
		prefix = "     "
	}
	if f.Try != "" {
		s.hang(b, "   try: ", s.Clean(f.Try), Strong)
	}
}

// row writes a line about a target, in further lines where it does not fit.
func (s Screen) row(b *strings.Builder, name, format string, args ...any) {
	s.hang(b, "  "+s.Paint(fmt.Sprintf("%-11s", name), Dim)+" ", s.Clean(fmt.Sprintf(format, args...)), Plain)
}

func (s Screen) target(b *strings.Builder, t *api.TargetStatus, events []api.Event) {
	b.WriteString(s.Paint(s.Clean(t.Name), Strong) + ": " + s.Paint(string(t.State), StateTone(t.State)) + "\n")
	switch {
	case t.Executes:
		s.row(b, "executes", "yes")
	case t.ExecutesReason != "":
		s.row(b, "executes", "no: %s", t.ExecutesReason)
	}
	s.row(b, "path", "%s (publish = %q)", t.Path, t.Publish)
	if t.Current != "" {
		s.row(b, "link", "%s %s %s%s", t.PrivateLink, s.Glyphs().Arrow, t.Current, inParens(currentLoad(t)))
	}
	if len(t.Copies)+t.Processes+t.StaleProcesses+t.SourceProcesses > 0 {
		s.row(b, "processes", "%s", Processes(t))
	}
	if len(t.Copies) == 0 {
		return
	}
	s.row(b, "limits", "%d on a copy, moves on at %d; most so far %d", t.Threshold, t.Mark, t.PeakCopyProcesses)
	s.row(b, "promise", "%s", Promise(t))
	s.row(b, "room", "%s", room(t))
	s.row(b, "starts", "%s", starts(t))
	s.row(b, "rotations", "%s", rotations(t))
	s.history(b, t, events)
	if g := t.Generation; g.SHA256 != "" {
		since := ""
		if !g.Since.IsZero() {
			since = ", published " + s.When(g.Since)
		}
		s.row(b, "generation", "%.12s, %s%s", g.SHA256, size(g.Size), since)
	}
	b.WriteByte('\n')
	s.bars(b, t)
}

// currentLoad says how many processes run the current copy.
func currentLoad(t *api.TargetStatus) string {
	for _, c := range t.Copies {
		if c.Name == t.Current {
			return count(c.Processes, "process")
		}
	}
	return ""
}

// Processes says how many processes of t there are, and on what.
func Processes(t *api.TargetStatus) string {
	text := fmt.Sprintf("%d on %s", t.Processes, copies(len(t.Copies)))
	if n := t.StaleProcesses; n > 0 {
		text += fmt.Sprintf("; %d on replaced copies until they end", n)
	}
	if n := t.SourceProcesses; n > 0 {
		text += fmt.Sprintf("; %d on the packaged file", n)
	}
	return text
}

// starts says how many processes begin, and how late that is known.
func starts(t *api.TargetStatus) string {
	text := fmt.Sprintf("%.1f a second", t.ExecRate)
	if t.EventLatencySeconds > 0 {
		text += ", seen after " + lasted(t.EventLatencySeconds)
	}
	return text
}

// Below is how many processes can still begin before all copies are at their mark.
func Below(t *api.TargetStatus) int {
	room := 0
	for _, c := range t.Copies {
		if c.Verified {
			room += max(0, t.Mark-c.Processes)
		}
	}
	return room
}

// room says how many processes can still begin, also when more copies are made.
func room(t *api.TargetStatus) string {
	text := fmt.Sprintf("%d more below the mark", Below(t))
	if more := t.GrowableCopies; more > 0 {
		text += fmt.Sprintf(", then %d in up to %s more", more*t.Mark, copies(more))
	} else if t.GrowthReason != "" {
		text += ", and no more copies can be made: " + t.GrowthReason
	}
	return text
}

// Promise says what the threshold is worth just now.
func Promise(t *api.TargetStatus) string {
	if !t.ThresholdPromised {
		return "no threshold is promised: " + t.ThresholdReason
	}
	return fmt.Sprintf("no copy passes the threshold if no more than %d start before relinkd acts", t.UnseenProcesses)
}

// rotations counts the rotations by what asked for them, as far as there were any.
func rotations(t *api.TargetStatus) string {
	by := t.RotationsByReason
	var all []string
	for _, r := range []struct {
		n   int
		why string
	}{{by.Threshold, "threshold"}, {by.Interval, "interval"}, {by.Saturated, "saturated"}, {by.Operator, "operator"}} {
		if r.n > 0 {
			all = append(all, fmt.Sprintf("%d %s", r.n, r.why))
		}
	}
	return fmt.Sprintf("%d since the daemon's start%s", t.Rotations, inParens(strings.Join(all, ", ")))
}
