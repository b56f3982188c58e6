package top

import (
	tea "charm.land/bubbletea/v2"

	"relinkd/console"
)

// keys are what the help tells; the short ones are in the last line too.
var keys = []struct{ key, short, long string }{
	{"q", "quit", "quit; so does ctrl-c"},
	{"t", "target", "show the next target; so does tab, and shift-tab the one before"},
	{"s", "sort", "show the fullest copies first, or all by number again"},
	{"r", "rotate", "let new processes run another copy, after a question; for root alone"},
	{"?", "help", "show this, or leave it"},
	{"up, down", "", "scroll the copies by a line; so do k and j"},
	{"page up, page down", "", "scroll the copies by a page; so does space"},
	{"home, end", "", "show the first copies, the last ones; so do g and G"},
}

// key does what a key asks for.
func (m *Model) key(key string) tea.Cmd {
	m.notice = notice{}
	if m.asking {
		m.asking = false
		return m.answer(key)
	}
	switch key {
	case "q", "ctrl+c":
		return tea.Quit
	case "?", "h":
		m.help = !m.help
	case "esc":
		m.help = false
	case "s":
		m.byLoad, m.first = !m.byLoad, 0
	case "t", "tab":
		m.turn(1)
	case "shift+tab", "T":
		m.turn(-1)
	case "r":
		m.question()
	case "up", "k":
		m.first--
	case "down", "j":
		m.first++
	case "pgup", "b":
		m.first -= m.layout().copies
	case "pgdown", "space":
		m.first += m.layout().copies
	case "home", "g":
		m.first = 0
	case "end", "G":
		m.first = m.lastLine()
	}
	return nil
}

// turn shows another target, so many after the present one.
func (m *Model) turn(by int) {
	if n := len(m.status.Targets); n > 0 {
		_, at := m.shown()
		m.target, m.first = m.status.Targets[(at+by+n)%n].Name, 0
	}
}

// question asks whether to rotate, where that can be.
func (m *Model) question() {
	t, _ := m.shown()
	switch {
	case m.lost != nil:
		m.notice = notice{"relinkd does not answer: nothing can be rotated now", console.Bad}
	case t == nil || t.Current == "":
		m.notice = notice{"there is no copy that a link leads to", console.Bad}
	default:
		m.target, m.asking, m.help = t.Name, true, false
	}
}

// answer rotates if the answer is yes. Any key but y is no.
func (m *Model) answer(key string) tea.Cmd {
	if key != "y" && key != "Y" {
		m.notice = notice{"not rotated", console.Plain}
		return nil
	}
	m.notice = notice{"rotating " + m.target, console.Busy}
	return m.rotate(m.target)
}
