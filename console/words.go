package console

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/charmbracelet/x/ansi"
)

// Clean makes what others have written fit to be shown: one line without control characters, which
// could move the cursor or worse, and in ASCII where the screen has no more.
func (s Screen) Clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == unicode.ReplacementChar, !unicode.IsPrint(r), !s.Unicode && r > unicode.MaxASCII:
			return '?'
		}
		return r
	}, strings.TrimRight(text, "\n"))
}

// lines is the lines of a text of others, each clean.
func (s Screen) lines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		all = append(all, s.Clean(line))
	}
	return all
}

// Wrap breaks text at spaces into lines of so many columns. A longer word has a line to itself, and is
// left whole, so that it can be copied.
func Wrap(text string, columns int) []string {
	var lines []string
	line, width := "", 0
	for _, word := range strings.Fields(text) {
		w := ansi.StringWidth(word)
		switch {
		case line == "":
			line, width = word, w
		case width+1+w <= columns:
			line += " " + word
			width += 1 + w
		default:
			lines = append(lines, line)
			line, width = word, w
		}
	}
	return append(lines, line)
}

// hang is text wrapped behind a prefix, below which its further lines are indented.
func (s Screen) hang(b *strings.Builder, prefix, text string, tone Tone) {
	indent := ansi.StringWidth(prefix)
	for i, line := range Wrap(text, s.Width-indent) {
		if i > 0 {
			prefix = strings.Repeat(" ", indent)
		}
		b.WriteString(strings.TrimRight(prefix+s.Paint(line, tone), " ") + "\n")
	}
}

// When is a time of the past, exactly and as how long ago it was.
func (s Screen) When(t time.Time) string {
	return s.Clock(t) + ", " + s.ago(t)
}

// Clock is a time of the past, without the day if it was today.
func (s Screen) Clock(t time.Time) string {
	t = t.In(s.Now.Location())
	if t.Format(time.DateOnly) == s.Now.Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format("2006-01-02 15:04")
}

// ago is how long ago a time was, in its greatest unit.
func (s Screen) ago(t time.Time) string {
	switch d := max(0, s.Now.Sub(t)); {
	case d < time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", d/time.Hour)
	default:
		return fmt.Sprintf("%d days ago", d/(24*time.Hour))
	}
}

// lasted is a length of time in seconds, readable.
func lasted(seconds float64) string {
	switch {
	case seconds < 0.001:
		return fmt.Sprintf("%.2f ms", seconds*1000)
	case seconds < 1:
		return fmt.Sprintf("%.3g ms", seconds*1000)
	case seconds < 60:
		return fmt.Sprintf("%.3g s", seconds)
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}

// size is a number of bytes, readable.
func size(bytes int64) string {
	switch {
	case bytes < 10<<10:
		return count(int(bytes), "byte")
	case bytes < 10<<20:
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
	return fmt.Sprintf("%d MiB", bytes>>20)
}

// count is n of something, in the plural where there is not one of it.
func count(n int, thing string) string {
	switch stem, y := strings.CutSuffix(thing, "y"); {
	case n == 1:
	case y:
		thing = stem + "ies"
	case strings.HasSuffix(thing, "s"):
		thing += "es"
	default:
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
