package console

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"relinkd/api"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", path, diff)
	}
}

// now is when the tests' screens are looked at.
var now = time.Date(2026, 7, 5, 14, 2, 30, 0, time.UTC)

func screen(width int, unicode bool) Screen {
	return Screen{Width: width, Unicode: unicode, Now: now}
}

// widths are a telephone's, everybody's and a wide monitor's.
var widths = []int{40, 80, 160}

// imapd is a healthy target with so many copies, most of them as full as they should be.
func imapd(n int) api.TargetStatus {
	t := api.TargetStatus{
		Name: "imapd", Path: "/usr/lib/cyrus/bin/imapd", PrivateLink: "/usr/lib/cyrus/bin/.relinkd/imapd",
		Publish: "symlink", State: api.Steady, Executes: true, Current: "imapd_003", Threshold: 200, Mark: 180, MaxCopies: 240,
		StaleProcesses: 3, SourceProcesses: 1,
		Rotations: 66, RotationsByReason: api.RotationsByReason{Threshold: 64, Operator: 2},
		PeakCopyProcesses: 181, ExecRate: 12.54, EventLatencySeconds: 0.00012,
		GrowableCopies: 240 - n, UnseenProcesses: 9, ThresholdPromised: true,
		Generation: api.Generation{
			SHA256: "3f2a5c1be0d94d0a8f5a7b1f1d0c9e8b7a6f5e4d3c2b1a0918273645546372f1",
			Size:   360224, Since: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC),
		},
	}
	for i := range n {
		load := 180 - i%3
		switch {
		case i == 2:
			load = 34
		case i == 3:
			load = 1
		case i > n*3/4:
			load = 0
		}
		t.Processes += load
		t.Copies = append(t.Copies, api.CopyStatus{
			Name: fmt.Sprintf("imapd_%03d", i+1), Number: i + 1, Processes: load, Inode: uint64(11 + i), Verified: true,
		})
	}
	return t
}

// past is what has happened before now.
var past = []api.Event{
	{ID: 1, Time: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC), Target: "imapd", Kind: api.EventUpgrade,
		From: "11ab22cd33ef", To: "3f2a5c1be0d9", Seconds: 0.077, Message: "/usr/lib/cyrus/bin/imapd leads to 6 copies of generation 3f2a5c1be0d9, made in 77ms"},
	{ID: 2, Time: now.Add(-3 * time.Hour), Target: "imapd", Kind: api.EventRotation, Reason: "threshold",
		From: "imapd_001", To: "imapd_002", Seconds: 0.00014, Message: "rotated from imapd_001 to imapd_002 (threshold)"},
	{ID: 3, Time: now.Add(-2 * time.Hour), Target: "imapd", Kind: api.EventError,
		Reason: "cannot clone imapd_017: no space left on device", Message: "trying again: cannot clone imapd_017: no space left on device"},
	{ID: 4, Time: now.Add(-19 * time.Second), Target: "imapd", Kind: api.EventRotation, Reason: "threshold",
		From: "imapd_002", To: "imapd_003", Seconds: 0.00012, Message: "rotated from imapd_002 to imapd_003 (threshold)"},
	{ID: 5, Time: now.Add(-9 * time.Second), Target: "lmtpd", Kind: api.EventRotation, Message: "rotated from lmtpd_001 to lmtpd_002 (operator)"},
}

// statuses are what there may be to show.
func statuses() map[string]*api.Status {
	few, suspect, full := imapd(6), imapd(6), imapd(6)
	suspect.Copies[1].Verified = false
	suspect.Copies[4].Processes = 213
	suspect.PeakCopyProcesses = 213
	full.Saturated, full.MaxCopies, full.GrowableCopies = true, 6, 0
	full.ThresholdPromised, full.ThresholdReason = false, "no copy has room for the 9 processes that may start before relinkd acts, and no more copies can be made"
	stuck := full
	stuck.MaxCopies, stuck.GrowthReason = 240, "4 KiB are free on the file system of /usr/lib/cyrus/bin: a copy takes 352 KiB, and 64MiB are to stay free (keep_free)"
	all := map[string]*api.Status{
		"healthy":   {Version: "1.2.3", Accounting: "netlink", Targets: []api.TargetStatus{few}},
		"over":      {Version: "1.2.3", Accounting: "netlink", Overflows: 2, Targets: []api.TargetStatus{suspect}},
		"saturated": {Version: "1.2.3", Accounting: "netlink", Targets: []api.TargetStatus{full}},
		"stuck":     {Version: "1.2.3", Accounting: "netlink", Targets: []api.TargetStatus{stuck}},
		"troubled": {
			Version: "1.2.3", Accounting: "census", AccountingReason: "census.events is off", UnreadableProcesses: 17,
			ConfigError: "/etc/relinkd/relinkd.toml:3: target.imapd.copies: found 0, allowed: a whole number from 1 to 999\n/etc/relinkd/relinkd.toml:4: another\n",
			LastError:   "imapd: cannot clone imapd_017: no space left on device", LastErrorAt: now.Add(-2 * time.Hour),
			Targets: []api.TargetStatus{
				{Name: "imapd", Path: "/x/imapd", Publish: "none", State: api.Degraded, Reason: "/x/imapd is a directory",
					Threshold: 200, Mark: 180, MaxCopies: 240},
				{Name: "lmtpd", Path: "/x/lmtpd", Publish: "symlink", State: api.Released, AwaitsManage: true},
				{Name: "pop3d", Path: "/x/pop3d", Publish: "symlink", State: api.Degraded, AwaitsManage: true,
					Reason: "path is a symbolic link to pop3d_004 that relinkd did not make, a hand-made pool: nothing is touched until relinkd manage"},
				{Name: "nntpd", Path: "/x/nntpd", Publish: "symlink", State: api.Absent},
				{Name: "timsieved", Path: "/x/timsieved", Publish: "symlink", State: api.Cloning, Reason: "a new source stands at path", Threshold: 9, Mark: 8, MaxCopies: 9, SourceProcesses: 5},
			},
		},
		"empty": {Version: "1.2.3", Accounting: "netlink"},
	}
	for _, n := range []int{60, 240} {
		all[fmt.Sprintf("copies-%d", n)] = &api.Status{Version: "1.2.3", Accounting: "netlink", Targets: []api.TargetStatus{imapd(n)}}
	}
	return all
}

func TestStatusText(t *testing.T) {
	for name, st := range statuses() {
		for _, width := range widths {
			golden(t, fmt.Sprintf("status-%s-%d", name, width), screen(width, true).Status(st, past))
		}
	}
	golden(t, "status-healthy-80-ascii", screen(80, false).Status(statuses()["healthy"], past))
	golden(t, "status-copies-240-80-ascii", screen(80, false).Status(statuses()["copies-240"], past))
}

// What is shown fits the width but for words that must not be broken, is without ASCII's controls, and in
// ASCII alone where the screen has no more.
func TestStatusFits(t *testing.T) {
	for name, st := range statuses() {
		for _, width := range []int{1, 3, 9, 20, 33, 40, 41, 59, 80, 81, 132, 160, 249} {
			for _, unicode := range []bool{true, false} {
				for line := range strings.Lines(screen(width, unicode).Status(st, past)) {
					line = strings.TrimRight(line, "\n")
					words := strings.Fields(line)
					if ansi.StringWidth(line) > width && len(words) > 2 && width >= 40 {
						t.Fatalf("%s, %d columns: %d in %q", name, width, ansi.StringWidth(line), line)
					}
					for _, r := range line {
						if r < ' ' || !unicode && r > '~' {
							t.Fatalf("%s, %d columns, unicode %v: %q has %q", name, width, unicode, line, r)
						}
					}
				}
			}
		}
	}
}

// Colours change nothing but colours.
func TestStatusColours(t *testing.T) {
	for name, st := range statuses() {
		plain, coloured := screen(80, true), screen(80, true)
		coloured.Colour = true
		text := coloured.Status(st, past)
		if diff := cmp.Diff(plain.Status(st, past), ansi.Strip(text)); diff != "" {
			t.Errorf("%s (-without colour +stripped of it):\n%s", name, diff)
		}
	}
	red := ansi.NewStyle().Bold().ForegroundColor(ansi.Red)
	over := screen(80, true)
	over.Colour = true
	for _, want := range []string{red.Styled("something needs attention; imapd is steady"), red.Styled("213") + red.Styled("!")} {
		if text := over.Status(statuses()["over"], past); !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%q", want, text)
		}
	}
}

// The last rotation that was told of need not be the last one.
func TestStatusInAStorm(t *testing.T) {
	st := statuses()["healthy"]
	st.Targets[0].Current = "imapd_004"
	if text, want := screen(100, true).Status(st, past), "from imapd_002 to imapd_003 (threshold), and on since\n"; !strings.Contains(text, want) {
		t.Errorf("%q is missing in\n%s", want, text)
	}
}

// What others have named is shown and does nothing.
func TestStatusOfHostileNames(t *testing.T) {
	st := &api.Status{Version: "1\x1b]0;x\a", Accounting: "netlink", LastError: "cannot open \x1b[2Jx\r\ny", Targets: []api.TargetStatus{{
		Name: "imapd", Path: "/x\x1b[31m/\u202eimapd", State: api.Degraded, Reason: "path is a symbolic link to \x9b2J\x00\xff",
	}}}
	for _, unicode := range []bool{true, false} {
		text := screen(80, unicode).Status(st, past)
		if i := strings.IndexFunc(text, func(r rune) bool {
			return r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == '\u202e' || r == '\ufffd'
		}); i >= 0 {
			t.Errorf("a control character in %q", text[i:])
		}
		if !strings.Contains(text, "cannot open ?[2Jx") {
			t.Errorf("what was harmless is gone:\n%s", text)
		}
	}
}
