package doctor

import (
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"relinkd/console"
)

func TestText(t *testing.T) {
	r := &Report{
		Unseen: []string{"process events", "users' crontabs"},
		Findings: []Finding{
			{Kernel, "", Fine, "Linux 6.18.1", "it is new enough", ""},
			{Kernel, "", Note, "no process events: \x1b[2Jnone", "by events a process is known within a millisecond, by census within up to a second", "run relinkd on the host itself, not in a container, as root"},
			{Cyrus, "imapd", Needs, "maxchild of imap is 50000", "there is nowhere to rotate to", "set max_copies = 278"},
		},
	}
	const want = `Kernel
  fine  Linux 6.18.1
  note  no process events: ?[2Jnone
        why: by events a process is known within a millisecond, by census within
             up to a second
        do:  run relinkd on the host itself, not in a container, as root

imapd: Cyrus
  TODO  maxchild of imap is 50000
        why: there is nowhere to rotate to
        do:  set max_copies = 278

Not seen, as this is not root: process events, users' crontabs.
1 finding needs doing (TODO), 1 note, 1 fine.
`
	if got := r.Text(console.Screen{Width: 80}); got != want {
		t.Errorf("%s\nwant:\n%s", got, want)
	}
	coloured := r.Text(console.Screen{Width: 80, Colour: true})
	if !strings.Contains(coloured, "\x1b[") || strings.Contains(coloured, "\x1b[2J") {
		t.Errorf("%q", coloured)
	}
	if plain := ansi.Strip(coloured); plain != want {
		t.Errorf("in colours it says something else:\n%s", plain)
	}
	for _, width := range []int{1, 40, 300} {
		for line := range strings.Lines(r.Text(console.Screen{Width: width})) {
			if n := len(strings.TrimRight(line, "\n")); n > max(width, 40) && n > widest {
				t.Errorf("at %d columns: %d in %q", width, n, line)
			}
		}
	}
}
