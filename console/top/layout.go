package top

import "relinkd/console"

// layout is how the lines of the screen are shared.
type layout struct {
	grid   console.Grid
	copies int // lines of copies
	log    int // lines of what has happened, with the line above them
}

// least and most lines of the log, with the line above them, where there is room.
const (
	leastLog = 4
	mostLog  = 9
)

// layout gives the copies what they need before the log gets more than its least.
func (m Model) layout() layout {
	t, _ := m.shown()
	free := m.height - 1 - len(m.facts()) - 1 - len(m.footer()) // without title, facts, ruler and footer
	if t == nil || free < 1 {
		return layout{grid: console.Grid{Columns: 1}}
	}
	log := min(mostLog, max(leastLog, free/3))
	if free < 2*leastLog {
		log = 0
	}
	l := layout{grid: m.screen.Grid(t, free-log)}
	l.copies = min(free-log, l.grid.Lines(len(t.Copies)))
	l.log = free - l.copies
	return l
}

// lastLine is the greatest line of copies that may be shown first.
func (m Model) lastLine() int {
	t, _ := m.shown()
	if t == nil {
		return 0
	}
	l := m.layout()
	return max(0, l.grid.Lines(len(t.Copies))-l.copies)
}
