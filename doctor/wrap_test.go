package doctor

import (
	"strings"
	"testing"
)

func TestWrap(t *testing.T) {
	long := strings.Repeat("x", 90)
	got := Wrap("  do: ", "      ", strings.Repeat("word ", 30)+long+" end")
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	if len(lines) < 4 || !strings.HasPrefix(lines[0], "  do: word") || !strings.HasPrefix(lines[1], "      word") {
		t.Errorf("%q", lines)
	}
	for _, line := range lines {
		if columns(line) > width && !strings.Contains(line, long) || line != strings.TrimRight(line, " ") {
			t.Errorf("%d columns: %q", columns(line), line)
		}
	}
	if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields("do: "+strings.Repeat("word ", 30)+long+" end"), " ") {
		t.Errorf("words were lost: %q", got)
	}
}
