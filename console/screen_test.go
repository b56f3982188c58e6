package console

import (
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"relinkd/api"
)

func TestDetect(t *testing.T) {
	for _, test := range []struct {
		width int
		env   map[string]string
		want  Screen
	}{
		{100, map[string]string{"TERM": "xterm", "LANG": "de_DE.UTF-8"}, Screen{Width: 100, Colour: true, Unicode: true}},
		{100, map[string]string{"TERM": "xterm", "LANG": "C.utf8", "NO_COLOR": "1"}, Screen{Width: 100, Unicode: true}},
		{100, map[string]string{"TERM": "dumb", "LC_ALL": "C", "LANG": "C.UTF-8"}, Screen{Width: 100}},
		{100, map[string]string{"TERM": "xterm", "COLUMNS": "20"}, Screen{Width: 100, Colour: true}},
		{0, map[string]string{"TERM": "xterm", "LC_CTYPE": "en_GB.UTF-8", "LANG": "C"}, Screen{Width: 80, Unicode: true}},
		{0, map[string]string{"COLUMNS": "132"}, Screen{Width: 132}},
		{0, map[string]string{"COLUMNS": "-3"}, Screen{Width: 80}},
	} {
		got := Detect(test.width, func(name string) string { return test.env[name] })
		got.Now = time.Time{}
		if got != test.want {
			t.Errorf("%d columns, %v: %+v, want %+v", test.width, test.env, got, test.want)
		}
	}
}

func TestBar(t *testing.T) {
	for _, test := range []struct {
		n, mark, limit, columns int
		unicode, ascii          string
	}{
		{0, 180, 200, 10, "·········│", ".........|"},
		{1, 180, 200, 10, "▏········│", "#........|"},
		{90, 180, 200, 10, "████▌····│", "####.....|"},
		{180, 180, 200, 10, "█████████│", "#########|"},
		{199, 180, 200, 10, "█████████▉", "#########|"},
		{200, 180, 200, 10, "██████████", "##########"},
		{999, 180, 200, 10, "██████████", "##########"},
		{100, 180, 200, 5, "██▌··", "##..."},
		{0, 1, 1, 5, "·····", "....."},
		{1, 1, 1, 5, "█████", "#####"},
		{0, 0, 0, 5, "█████", "#####"},
	} {
		for unicode, want := range map[bool]string{true: test.unicode, false: test.ascii} {
			if got := screen(80, unicode).Bar(test.n, test.mark, test.limit, test.columns, Plain); got != want {
				t.Errorf("%d of %d at mark %d in %d columns: %q, want %q", test.n, test.limit, test.mark, test.columns, got, want)
			}
		}
	}
}

// A bar is never wider than asked for, and never shorter for more processes.
func TestBarGrows(t *testing.T) {
	for _, unicode := range []bool{true, false} {
		for _, columns := range []int{1, 2, 5, 9, 10, 29} {
			before := ""
			for n := range 300 {
				bar := screen(80, unicode).Bar(n, 180, 200, columns, Plain)
				if w := ansi.StringWidth(bar); w != columns {
					t.Fatalf("%d processes: %d columns, want %d", n, w, columns)
				}
				full := strings.Count(bar, "█") + strings.Count(bar, "#")
				if full < strings.Count(before, "█")+strings.Count(before, "#") {
					t.Fatalf("%d processes: %q after %q", n, bar, before)
				}
				before = bar
			}
		}
	}
}

func TestWords(t *testing.T) {
	s := screen(80, true)
	for want, got := range map[string]string{
		"14:02:11, 19 s ago":            s.When(now.Add(-19 * time.Second)),
		"13:00:30, 1 h ago":             s.When(now.Add(-62 * time.Minute)),
		"2026-07-04 14:02, 24 h ago":    s.When(now.Add(-24 * time.Hour)),
		"2026-06-05 14:02, 30 days ago": s.When(now.AddDate(0, 0, -30)),
		"14:03:30, just now":            s.When(now.Add(time.Minute)), // clocks that disagree
		"0.12 ms":                       lasted(0.00012),
		"76.5 ms":                       lasted(0.0765),
		"1.23 s":                        lasted(1.2345),
		"1m15s":                         lasted(75),
		"1 byte":                        size(1),
		"9000 bytes":                    size(9000),
		"351 KiB":                       size(360224),
		"12 MiB":                        size(12 << 20),
		"1 process":                     count(1, "process"),
		"2 processes":                   count(2, "process"),
		"0 copies":                      count(0, "copy"),
		"3 times":                       count(3, "time"),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, test := range []struct {
		text    string
		columns int
		want    []string
	}{
		{"", 10, []string{""}},
		{"one two three", 7, []string{"one two", "three"}},
		{"/a/very/long/path is gone", 8, []string{"/a/very/long/path", "is gone"}},
		{"x", -3, []string{"x"}},
		{"größer wäre", 6, []string{"größer", "wäre"}},
	} {
		if diff := cmp.Diff(test.want, Wrap(test.text, test.columns)); diff != "" {
			t.Errorf("%q in %d columns (-want +got):\n%s", test.text, test.columns, diff)
		}
	}
}

func TestVerdict(t *testing.T) {
	for want, st := range map[string]*api.Status{
		"healthy: imapd is steady": {Targets: []api.TargetStatus{imapd(3)}},
		"healthy: 2 targets (1 steady, 1 released)": {
			Targets: []api.TargetStatus{imapd(3), {State: api.Released, AwaitsManage: true}}},
		"at work: 2 targets (1 steady, 1 cloning)": {
			Targets: []api.TargetStatus{imapd(3), {State: api.Cloning}}},
		"nothing is managed: imapd is released": {
			Targets: []api.TargetStatus{{Name: "imapd", State: api.Released, AwaitsManage: true}}},
		"something needs attention; imapd is degraded": {
			Targets: []api.TargetStatus{{Name: "imapd", State: api.Degraded}}},
		"2 things need attention; imapd is steady": {ConfigError: "x", UnreadableProcesses: 1,
			Targets: []api.TargetStatus{imapd(3)}},
		"no target is configured": {},
	} {
		if _, got := Verdict(st); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
