package demo

import (
	"fmt"
	"io"
	"strings"
	"time"

	"relinkd/console"
)

// Control sequences of ECMA-48 and of the DEC private modes, which every terminal since the VT100
// understands.
const (
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
	noWrap     = "\x1b[?7l" // a window that was made narrower cuts lines instead of breaking them
	wrap       = "\x1b[?7h"
	clearLine  = "\x1b[K"
	clearBelow = "\x1b[J"
)

const (
	rowsAtMost   = 12 // copies below one another, so that all fits in 24 lines
	eventsAtMost = 4  // shown at a time
)

// terminal redraws in place.
type terminal struct {
	out    io.Writer
	screen console.Screen
	lines  int // drawn last time
}

func (s *terminal) draw(f frame) {
	var b strings.Builder
	if s.lines == 0 {
		b.WriteString(hideCursor + noWrap)
	} else {
		fmt.Fprintf(&b, "\x1b[%dA", s.lines)
	}
	lines := s.compose(f)
	for _, line := range lines {
		b.WriteString("\r" + line + clearLine + "\n")
	}
	b.WriteString(clearBelow)
	s.lines = len(lines)
	io.WriteString(s.out, b.String())
}

func (s *terminal) end() {
	if s.lines > 0 {
		io.WriteString(s.out, showCursor+wrap)
	}
}

// compose lays a frame out in lines that are no wider than the terminal.
func (s *terminal) compose(f frame) []string {
	lines := []string{
		s.cut(fmt.Sprintf("%s -> %s, %s, %d of %d s", target, f.target.Current, f.target.State, f.elapsed/time.Second, f.length/time.Second)),
		s.cut(f.path),
	}
	for _, line := range console.Wrap(f.numbers(), s.screen.Width) {
		lines = append(lines, s.cut(line))
	}
	lines = append(lines, "")
	grid, copies := s.screen.Grid(&f.target, rowsAtMost), f.target.Copies
	for i := 0; i < len(copies); i += grid.Columns {
		lines = append(lines, s.cut(s.screen.Line(grid, &f.target, copies[i:min(i+grid.Columns, len(copies))])))
	}
	lines = append(lines, "")
	for _, e := range f.events[max(0, len(f.events)-eventsAtMost):] {
		lines = append(lines, s.cut(fmt.Sprintf("%5.1f s  %s", e.at.Seconds(), e.text)))
	}
	return lines
}

// cut shortens a line to the width.
func (s *terminal) cut(line string) string { return s.screen.Cut(line, s.screen.Width) }
