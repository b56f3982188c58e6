package doctor

import "strings"

// width is of the narrowest terminal that administrators still use.
const width = 80

// Wrap breaks text into lines of at most 80 columns: the first one begins with first, the others with
// rest. A word that is longer stays whole. The last line ends with a newline too.
func Wrap(first, rest, text string) string {
	var b strings.Builder
	line, empty := first, true
	for word := range strings.FieldsSeq(text) {
		switch {
		case empty:
			line += word
		case columns(line)+1+columns(word) <= width:
			line += " " + word
		default:
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = rest + word
		}
		empty = false
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
	return b.String()
}

func columns(text string) int { return len([]rune(text)) }
