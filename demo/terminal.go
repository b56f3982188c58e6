package demo

import (
	"fmt"
	"io"
	"strings"
	"time"

	"relinkd/watch"
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

	bold   = "\x1b[1m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	red    = "\x1b[31m"
	normal = "\x1b[0m"
)

const (
	rowsAtMost   = 12 // copies below one another, so that all fits in 24 lines
	eventsAtMost = 4  // shown at a time
	columnGap    = 2
	cellText     = 10 // a cell's columns beside its bar: "> 001 ", " ", "250"
	narrowestBar = 4  // a shorter one is left out
)

// terminal redraws in place.
type terminal struct {
	out    io.Writer
	width  int // columns; 0 when it is not known
	colour bool
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
	width := s.width
	if width <= 0 {
		width = 80
	}
	lines := []string{
		cut(fmt.Sprintf("%s -> %s, %s, %d of %d s", target, f.target.Current, f.target.State, f.elapsed/time.Second, f.length/time.Second), width),
		cut(f.path, width),
	}
	lines = append(lines, fold(f.numbers(), width)...)
	lines = append(lines, "")
	lines = append(lines, s.grid(f.target, width)...)
	lines = append(lines, "")
	for _, e := range f.events[max(0, len(f.events)-eventsAtMost):] {
		lines = append(lines, cut(fmt.Sprintf("%5.1f s  %s", e.at.Seconds(), e.text), width))
	}
	return lines
}

// grid shows the copies, one below the other and then side by side.
func (s *terminal) grid(t watch.TargetStatus, width int) []string {
	columns := max(1, (len(t.Copies)+rowsAtMost-1)/rowsAtMost)
	rows := (len(t.Copies) + columns - 1) / columns
	cell := (width - (columns-1)*columnGap) / columns
	lines := make([]string, rows)
	for i, c := range t.Copies {
		if i >= rows {
			lines[i%rows] += strings.Repeat(" ", columnGap)
		}
		lines[i%rows] += s.cell(c, t, cell)
	}
	return lines
}

// cell shows one copy in so many columns: its number, marked if the path leads to it, a bar against
// the threshold with the mark in it, and its processes.
func (s *terminal) cell(c watch.CopyStatus, t watch.TargetStatus, width int) string {
	pointer := " "
	if c.Name == t.Current {
		pointer = ">"
	}
	size := min(width-cellText, 2*t.Threshold)
	if size < narrowestBar {
		return cut(fmt.Sprintf("%s %03d %3d", pointer, c.Number, c.Processes), width)
	}
	return fmt.Sprintf("%s %03d %s %3d", s.paint(pointer, bold), c.Number, s.bar(c.Processes, t, size), c.Processes)
}

// bar is size columns wide, which stand for the threshold.
func (s *terminal) bar(processes int, t watch.TargetStatus, size int) string {
	filled := min(size, processes*size/max(1, t.Threshold))
	rest := []byte(strings.Repeat(".", size-filled))
	if mark := t.Mark * size / max(1, t.Threshold); mark >= filled && mark < size {
		rest[mark-filled] = '|'
	}
	colour := green
	switch {
	case processes > t.Threshold:
		colour = red
	case processes >= t.Mark:
		colour = yellow
	}
	return s.paint(strings.Repeat("#", filled), colour) + string(rest)
}

// paint gives text a colour, where colours are wanted and there is something to see.
func (s *terminal) paint(text, colour string) string {
	if !s.colour || strings.TrimSpace(text) == "" {
		return text
	}
	return colour + text + normal
}

// cut shortens text to so many columns. All text here is ASCII but for the path, which may at worst
// be cut too early.
func cut(text string, width int) string {
	runes := []rune(text)
	return string(runes[:min(len(runes), width)])
}

// fold breaks a list at its commas into lines of so many columns.
func fold(list string, width int) []string {
	var lines []string
	line := ""
	for i, item := range strings.Split(list, ", ") {
		switch {
		case i == 0:
			line = item
		case len(line)+len(", ")+len(item)+len(",") <= width:
			line += ", " + item
		default:
			lines = append(lines, cut(line+",", width))
			line = item
		}
	}
	return append(lines, cut(line, width))
}
