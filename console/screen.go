package console

import (
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// Screen is what can be shown, and when.
type Screen struct {
	Width   int       // columns, at least 1
	Colour  bool      // colours and bold letters
	Unicode bool      // more than ASCII
	Now     time.Time // times are told in its time zone, and as how long before it they were
}

// usualWidth is the width of what goes to no terminal, or to one that does not tell.
const usualWidth = 80

// Detect finds out about a screen from its environment. width is that of the terminal, 0 if the output
// goes to none.
func Detect(width int, env func(string) string) Screen {
	s := Screen{
		Width:   width,
		Colour:  width > 0 && env("NO_COLOR") == "" && env("TERM") != "dumb",
		Unicode: isUTF8(env),
		Now:     time.Now(),
	}
	if n, err := strconv.Atoi(env("COLUMNS")); width == 0 && err == nil && n > 0 {
		s.Width = n
	}
	if s.Width < 1 {
		s.Width = usualWidth
	}
	return s
}

// isUTF8 reports whether the locale's characters are UTF-8, as setlocale(3) finds it: the first variable
// that is set counts.
func isUTF8(env func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToLower(env(name)); locale != "" {
			return strings.HasSuffix(locale, "utf-8") || strings.HasSuffix(locale, "utf8")
		}
	}
	return false
}

// Tone is what a colour means here.
type Tone int

// The tones. The terminal's own sixteen colours are used, so that they fit its background.
const (
	Plain  Tone = iota
	Strong      // what the eye should find
	Dim         // what it may pass over
	Good        // well, or with room
	Full        // as full as it should be
	Busy        // under way
	Bad         // wrong
	Chosen      // current
)

var styles = map[Tone]ansi.Style{
	Strong: ansi.NewStyle().Bold(),
	Dim:    ansi.NewStyle().Faint(),
	Good:   ansi.NewStyle().ForegroundColor(ansi.Green),
	Full:   ansi.NewStyle().ForegroundColor(ansi.Blue),
	Busy:   ansi.NewStyle().ForegroundColor(ansi.Yellow),
	Bad:    ansi.NewStyle().Bold().ForegroundColor(ansi.Red),
	Chosen: ansi.NewStyle().Reverse(true),
}

// Paint gives text a tone, where there are colours and something to see.
func (s Screen) Paint(text string, tone Tone) string {
	style, known := styles[tone]
	if !s.Colour || !known || strings.TrimSpace(text) == "" && tone != Chosen {
		return text
	}
	return style.Styled(text)
}

// Glyphs are the characters that have a meaning.
type Glyphs struct {
	Pointer  string // before the current copy
	Arrow    string // between what was and what is
	Tick     string // the mark, in the rest of a bar
	Track    string // the rest of a bar
	Rule     string // a line across
	Ellipsis string // in the place of what was cut
	Bullet   string
	Up, Down string // there is more above, below
}

var (
	unicodeGlyphs = Glyphs{"▸", "→", "│", "·", "─", "…", "•", "↑", "↓"}
	asciiGlyphs   = Glyphs{">", "->", "|", ".", "-", "...", "-", "^", "v"}
)

// Glyphs is those of this screen.
func (s Screen) Glyphs() Glyphs {
	if s.Unicode {
		return unicodeGlyphs
	}
	return asciiGlyphs
}

// Cut shortens text, which may be painted, to so many columns.
func (s Screen) Cut(text string, columns int) string {
	return ansi.Truncate(text, max(0, columns), s.Glyphs().Ellipsis)
}

// Fit is text cut or filled up to exactly so many columns.
func (s Screen) Fit(text string, columns int) string {
	text = s.Cut(text, columns)
	return text + strings.Repeat(" ", max(0, columns-ansi.StringWidth(text)))
}
