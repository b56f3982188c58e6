package console

import (
	"strings"

	"relinkd/api"
)

// eighths fill a column from the left.
var eighths = []string{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"}

// Bar shows n in so many columns, which stand for limit. Only 0 shows as empty, and only limit and
// more as full. A tick in what is empty shows mark, where a bar is long enough for that to tell.
func (s Screen) Bar(n, mark, limit, columns int, tone Tone) string {
	steps := 1 // a column has
	if s.Unicode {
		steps = 8
	}
	filled := 0
	switch all := columns * steps; {
	case n >= limit:
		filled = all
	case n > 0:
		filled = min(max(1, n*all/limit), all-1)
	}
	full := strings.Repeat("#", filled)
	if s.Unicode {
		full = strings.Repeat("█", filled/8) + eighths[filled%8]
	}
	used := (filled + steps - 1) / steps
	return s.Paint(full, tone) + s.Paint(s.track(mark, limit, used, columns), Dim)
}

// shortestTicked is the shortest bar that shows the mark: in a shorter one it is in the last column as a
// rule, and only noise.
const shortestTicked = 10

// track is what is empty of a bar.
func (s Screen) track(mark, limit, used, columns int) string {
	g := s.Glyphs()
	at := mark * columns / max(1, limit)
	if columns < shortestTicked || at < used || at >= columns {
		return strings.Repeat(g.Track, columns-used)
	}
	return strings.Repeat(g.Track, at-used) + g.Tick + strings.Repeat(g.Track, columns-at-1)
}

// toneOf is the tone of a copy's bar. A copy at its mark is as full as it should be, which is no
// reason to alarm anybody.
func toneOf(n int, t *api.TargetStatus) Tone {
	switch {
	case n > t.Threshold:
		return Bad
	case n >= t.Mark:
		return Full
	}
	return Good
}

// levels are the heights of a copy in a strip, below the mark.
var (
	unicodeLevels = []string{"▁", "▂", "▃", "▄", "▅", "▆", "▇"}
	asciiLevels   = []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"}
)

// level is a copy in one column.
func (s Screen) level(n int, t *api.TargetStatus) string {
	levels, full := asciiLevels, "#"
	if s.Unicode {
		levels, full = unicodeLevels, "█"
	}
	switch {
	case n > t.Threshold:
		return "!"
	case n >= t.Mark:
		return full
	case n == 0:
		return s.Glyphs().Track
	}
	return levels[n*len(levels)/max(1, t.Mark)]
}
