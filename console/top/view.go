package top

import (
	"fmt"
	"path/filepath"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"relinkd/api"
	"relinkd/console"
)

// View is the picture, on the terminal's other screen, so that what was there comes back at the end.
func (m Model) View() tea.View {
	v := tea.NewView(strings.Join(m.picture(), "\n"))
	v.AltScreen = true
	return v
}

// picture is the lines of the screen, as many as it has.
func (m Model) picture() []string {
	s, t := m.screen, (*api.TargetStatus)(nil)
	t, _ = m.shown()
	l := m.layout()
	lines := append([]string{m.title()}, m.facts()...)
	switch {
	case m.help:
		lines = append(lines, s.Paint(strings.Repeat(s.Glyphs().Rule, s.Width), console.Dim))
		lines = append(lines, m.helpLines()...)
	case t != nil:
		lines = append(lines, m.ruler(t, l))
		copies := m.copies(t)
		for i := m.first; i < min(m.first+l.copies, l.grid.Lines(len(copies))); i++ {
			lines = append(lines, s.Line(l.grid, t, copies[i*l.grid.Columns:min((i+1)*l.grid.Columns, len(copies))]))
		}
		lines = append(lines, m.logLines(t, l.log)...)
	}
	footer := m.footer()
	lines = lines[:min(len(lines), max(1, m.height-len(footer)))]
	for len(lines) < m.height-len(footer) {
		lines = append(lines, "")
	}
	if m.lost != nil {
		lines = m.dimmed(lines)
	}
	lines = append(lines, footer...)
	lines = lines[:min(len(lines), m.height)]
	for i := range lines {
		lines[i] = s.Cut(lines[i], s.Width)
	}
	return lines
}

// dimmed is a picture that is of the past, below a title that says so.
func (m Model) dimmed(lines []string) []string {
	for i, line := range lines[1:] {
		lines[i+1] = m.screen.Paint(ansi.Strip(line), console.Dim)
	}
	return lines
}

// title is the first line: how all is, and the time of the picture.
func (m Model) title() string {
	s := m.screen
	health, text := console.Verdict(m.status)
	tone := health.Tone()
	if m.lost != nil {
		text, tone = fmt.Sprintf("NO ANSWER since %s; below is how it was", s.Clock(m.since)), console.Bad
	}
	left := s.Paint("relinkd "+s.Clean(m.status.Version)+": ", console.Strong) + s.Paint(s.Clean(text), tone)
	clock := s.Clock(m.taken)
	room := s.Width - len(clock) - 1
	if room < 20 {
		return s.Cut(left, s.Width)
	}
	return s.Fit(left, room) + " " + s.Paint(clock, console.Dim)
}

// facts is what there is to know about the target, and about what is wrong.
func (m Model) facts() []string {
	s := m.screen
	t, at := m.shown()
	if t == nil {
		return append(m.findings(), "no target is configured")
	}
	name := s.Paint(s.Clean(t.Name), console.Strong)
	if n := len(m.status.Targets); n > 1 {
		name += fmt.Sprintf(" (%d of %d)", at+1, n)
	}
	state := name + ": " + s.Paint(string(t.State), console.StateTone(t.State))
	if t.Current != "" {
		state += fmt.Sprintf(" %s %s", s.Glyphs().Arrow, s.Paint(s.Clean(t.Current), console.Strong))
	}
	lines := m.fold(state,
		fmt.Sprintf("%.1f new/s", t.ExecRate),
		fmt.Sprintf("%.1f rotations/s", m.rates[t.Name].perSecond()),
		fmt.Sprintf("%d in all", t.Rotations))
	if len(t.Copies) > 0 {
		lines = append(lines, m.fold(strings.Split("processes "+console.Processes(t), "; ")...)...)
		lines = append(lines, m.fold(
			fmt.Sprintf("threshold %d", t.Threshold), fmt.Sprintf("mark %d", t.Mark), fmt.Sprintf("highest so far %d", t.PeakCopyProcesses),
			fmt.Sprintf("room for %d more", console.Below(t)), fmt.Sprintf("%.1f ms late", 1000*t.EventLatencySeconds))...)
		if t.State == api.Steady {
			tone := console.Dim
			if !t.ThresholdPromised {
				tone = console.Busy
			}
			lines = append(lines, s.Paint(s.Cut(s.Clean(console.Promise(t)), s.Width), tone))
		}
	}
	return append(lines, m.findings()...)
}

// fold puts parts beside one another, with commas, on as many lines as that takes.
func (m Model) fold(parts ...string) []string {
	var lines []string
	line := ""
	for i, part := range parts {
		switch {
		case i == 0:
			line = part
		case ansi.StringWidth(line+", "+part) < m.screen.Width:
			line += ", " + part
		default:
			lines = append(lines, line+",")
			line = "  " + part
		}
	}
	return append(lines, line)
}

// mostFindings is how many lines what is wrong may take; `relinkd status` tells all of it.
const mostFindings = 5

// findings is what is wrong and what to do, of the target that is shown and of the daemon.
func (m Model) findings() []string {
	s := m.screen
	name := ""
	if t, _ := m.shown(); t != nil {
		name = t.Name
	}
	var own, daemons []string
	for _, f := range console.Findings(m.status) {
		switch {
		case !f.Wrong:
		case f.Target == "":
			daemons = append(daemons, m.finding(f)...)
		case f.Target == name:
			own = append(own, m.finding(f)...)
		}
	}
	lines := append(own, daemons...)
	if len(lines) > mostFindings {
		lines = append(lines[:mostFindings-1], s.Paint("   more: relinkd status", console.Dim))
	}
	return lines
}

func (m Model) finding(f console.Finding) []string {
	s := m.screen
	text := s.Clean(f.What)
	if f.Try != "" {
		text += "; try: " + s.Clean(f.Try)
	}
	var lines []string
	prefix := s.Paint(" ! ", console.Bad)
	for _, line := range console.Wrap(text, s.Width-3) {
		lines = append(lines, prefix+line)
		prefix = "   "
	}
	return lines
}

// ruler is the line above the copies: which ones they are.
func (m Model) ruler(t *api.TargetStatus, l layout) string {
	s, n := m.screen, len(t.Copies)
	order := "by number"
	if m.byLoad {
		order = "fullest first"
	}
	text := fmt.Sprintf("%d copies %s", n, order)
	if n == 0 {
		return m.rule("no copies")
	}
	if all := l.grid.Lines(n); all > l.copies {
		from := m.first*l.grid.Columns + 1
		text = fmt.Sprintf("%d to %d of %s", from, min(from+l.copies*l.grid.Columns-1, n), text)
		if m.first > 0 {
			text += " " + s.Glyphs().Up
		}
		if m.first < all-l.copies {
			text += " " + s.Glyphs().Down
		}
	}
	return m.rule(text)
}

// rule is a line across with a title in it.
func (m Model) rule(title string) string {
	s := m.screen
	line := s.Glyphs().Rule + s.Glyphs().Rule + " " + title + " "
	return s.Paint(line+strings.Repeat(s.Glyphs().Rule, max(0, s.Width-ansi.StringWidth(line))), console.Dim)
}

// logLines is what has happened, below a line across, in so many lines altogether.
func (m Model) logLines(t *api.TargetStatus, n int) []string {
	if n < 2 {
		return nil
	}
	lines := []string{m.rule("what has happened")}
	for _, e := range m.log.last(n-1, t.Name) {
		e.Message = strings.ReplaceAll(e.Message, filepath.Dir(t.Path)+"/", "") // a line is short
		lines = append(lines, m.screen.Event(e))
	}
	if len(lines) == 1 {
		lines = append(lines, m.screen.Paint("nothing yet", console.Dim))
	}
	return lines
}

// footer is the last lines: a question, what came of the last key, why the daemon does not answer, or the keys.
func (m Model) footer() []string {
	s := m.screen
	text, tone := "", console.Strong
	switch t, _ := m.shown(); {
	case m.asking:
		text = question(t)
	case m.notice.text != "":
		text, tone = m.notice.text, m.notice.tone
	case m.lost != nil:
		text, tone = m.lost.Error(), console.Bad
	default:
		return []string{m.keyLine()}
	}
	lines := console.Wrap(s.Clean(text), s.Width)
	lines = lines[:min(len(lines), 3)]
	for i := range lines {
		lines[i] = s.Paint(lines[i], tone)
	}
	return lines
}

// question asks whether to rotate, and says what that costs.
func question(t *api.TargetStatus) string {
	price := " Waiting Cyrus workers end."
	if t.Publish == "launcher" { // which they look at, and which stays
		price = ""
	}
	return fmt.Sprintf("Rotate %s away from %s now?%s (y/n)", t.Name, t.Current, price)
}

// keyLine is the keys in a line.
func (m Model) keyLine() string {
	s := m.screen
	var all []string
	for _, k := range keys {
		if k.short != "" {
			all = append(all, s.Paint(k.key, console.Strong)+" "+k.short)
		}
	}
	return strings.Join(all, "   ")
}

// helpLines is the keys, and what the picture means.
func (m Model) helpLines() []string {
	s := m.screen
	var lines []string
	say := func(key, text string) {
		prefix := s.Paint(fmt.Sprintf(" %-18s ", key), console.Strong)
		for _, line := range console.Wrap(text, s.Width-20) {
			lines = append(lines, prefix+line)
			prefix = strings.Repeat(" ", 20)
		}
	}
	for _, k := range keys {
		say(k.key, k.long)
	}
	lines = append(lines, "")
	say("a bar", "the processes of a copy; the whole length is the threshold, and "+s.Glyphs().Tick+" the mark, where relinkd moves on")
	say(s.Glyphs().Pointer, "the copy that new processes run")
	say("!", "over the threshold")
	say("?", "not trusted, being made again")
	return lines
}
