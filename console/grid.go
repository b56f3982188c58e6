package console

import (
	"fmt"
	"strings"

	"relinkd/api"
)

// A cell shows a copy: the pointer if it is current, its number, its bar, its processes and a remark if
// there is something about it. Beside the bar and the processes that takes cellText columns.
const (
	cellText    = 1 + 3 + 1 + 1 + 1
	cellGap     = 1
	shortestBar = 5
	longestBar  = 40
)

// Grid is how copies are laid out: beside one another in their order, line by line.
type Grid struct {
	Columns int // cells beside one another
	Bar     int // columns of a cell's bar; 0 leaves it out
	digits  int // columns of a cell's processes
}

// Grid lays the copies of t out: in as few lines as the width allows, but not in fewer than is asked
// for, since a long bar tells more.
func (s Screen) Grid(t *api.TargetStatus, lines int) Grid {
	n, most := len(t.Copies), t.Threshold
	for _, c := range t.Copies {
		most = max(most, c.Processes)
	}
	g := Grid{digits: max(3, len(fmt.Sprint(most)))}
	least := cellText + g.digits + shortestBar + cellGap
	g.Columns = max(1, min((n+lines-1)/max(1, lines), (s.Width+cellGap)/least))
	g.Bar = min(longestBar, (s.Width+cellGap)/g.Columns-cellGap-cellText-g.digits)
	if g.Bar < shortestBar { // a very narrow screen: all that fits is the numbers
		g.Bar = 0
	}
	return g
}

// Lines is how many lines so many copies take.
func (g Grid) Lines(copies int) int { return (copies + g.Columns - 1) / g.Columns }

// Line is one line of copies of t, at most g.Columns of them.
func (s Screen) Line(g Grid, t *api.TargetStatus, copies []api.CopyStatus) string {
	cells := make([]string, len(copies))
	for i, c := range copies {
		cells[i] = s.cell(g, t, c)
	}
	return strings.TrimRight(strings.Join(cells, strings.Repeat(" ", cellGap)), " ")
}

func (s Screen) cell(g Grid, t *api.TargetStatus, c api.CopyStatus) string {
	tone := toneOf(c.Processes, t)
	name, text := fmt.Sprintf("%03d", c.Number), Plain
	pointer := " "
	if c.Name == t.Current {
		pointer, text = s.Glyphs().Pointer, Strong
	}
	bar := ""
	if g.Bar > 0 {
		bar = s.Bar(c.Processes, t.Mark, t.Threshold, g.Bar, tone) + " "
	}
	if tone == Bad {
		text = Bad
	}
	return s.Paint(pointer+name, text) + " " + bar + s.Paint(fmt.Sprintf("%*d", g.digits, c.Processes), text) + s.Paint(remark(t, c), text)
}

// remark marks what a bar does not tell.
func remark(t *api.TargetStatus, c api.CopyStatus) string {
	switch {
	case !c.Verified:
		return "?"
	case c.Processes > t.Threshold:
		return "!"
	}
	return " "
}

// Legend explains the flags that occur; "" if none does.
func Legend(t *api.TargetStatus) string {
	var all []string
	over, suspect := false, false
	for _, c := range t.Copies {
		over = over || c.Processes > t.Threshold
		suspect = suspect || !c.Verified
	}
	if over {
		all = append(all, "! over the threshold")
	}
	if suspect {
		all = append(all, "? not trusted, being made again")
	}
	return strings.Join(all, ", ")
}

const (
	wellFilled = 12 // lines, before copies are shown beside one another
	mostLines  = 30 // lines, before copies are shown as a strip
)

// bars writes the copies of t: as cells, or as a strip with a column a copy if they are too many.
func (s Screen) bars(b *strings.Builder, t *api.TargetStatus) {
	inner := s
	inner.Width = max(1, s.Width-1)
	g := inner.Grid(t, wellFilled)
	legend := Legend(t)
	if g.Lines(len(t.Copies)) > mostLines {
		inner.strip(b, t)
		legend = fmt.Sprintf("%s none, %s to %s below the mark, %s at the mark, ! over the threshold",
			s.level(0, t), s.level(1, t), s.level(t.Mark-1, t), s.level(t.Mark, t))
	} else {
		for i := 0; i < len(t.Copies); i += g.Columns {
			b.WriteString(" " + inner.Line(g, t, t.Copies[i:min(i+g.Columns, len(t.Copies))]) + "\n")
		}
	}
	if legend != "" {
		s.hang(b, "  ", legend, Dim)
	}
}

// A strip has its copies in groups, so that one can be found.
const (
	stripGroup = 10
	stripText  = 1 + 3 + 1 // the number of a line's first copy
)

// strip writes a column a copy.
func (s Screen) strip(b *strings.Builder, t *api.TargetStatus) {
	groups := max(1, (s.Width-stripText+1)/(stripGroup+1))
	for i, c := range t.Copies {
		switch {
		case i%(groups*stripGroup) == 0:
			if i > 0 {
				b.WriteByte('\n')
			}
			fmt.Fprintf(b, "  %03d ", c.Number)
		case i%stripGroup == 0:
			b.WriteByte(' ')
		}
		tone := toneOf(c.Processes, t)
		if c.Name == t.Current {
			tone = Chosen
		}
		b.WriteString(s.Paint(s.level(c.Processes, t), tone))
	}
	b.WriteByte('\n')
}
