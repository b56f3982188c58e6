package top

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"relinkd/api"
	"relinkd/console"
)

var update = flag.Bool("update", false, "write the golden files anew")

// now is when the tests' pictures begin.
var now = time.Date(2026, 7, 5, 14, 2, 30, 0, time.UTC)

// target has so many copies, filled up to their mark from the first on.
func target(name string, n, full int) api.TargetStatus {
	t := api.TargetStatus{
		Name: name, Path: "/usr/lib/cyrus/bin/" + name, Publish: "symlink", State: api.Steady,
		Current: fmt.Sprintf("%s_%03d", name, full+1), Threshold: 200, Mark: 180, MaxCopies: 240,
		Rotations: full, PeakCopyProcesses: 181, ExecRate: 12.54, EventLatencySeconds: 0.0042,
		UnseenProcesses: 9, ThresholdPromised: true,
	}
	for i := range n {
		load := 0
		switch {
		case i < full:
			load = 180 - i%4
		case i == full:
			load = 34
		}
		t.Processes += load
		t.Copies = append(t.Copies, api.CopyStatus{Name: fmt.Sprintf("%s_%03d", name, i+1), Number: i + 1, Processes: load, Verified: true})
	}
	return t
}

func status(targets ...api.TargetStatus) *api.Status {
	return &api.Status{Version: "1.2.3", Accounting: "netlink", Targets: targets}
}

// event happened at a time after now.
func event(id uint64, after time.Duration, target string, kind api.EventKind, message string) api.Event {
	return api.Event{ID: id, Time: now.Add(after), Target: target, Kind: kind, Message: message}
}

// script is a Model and what is done with it.
type script struct {
	t *testing.T
	Model
	next tea.Cmd // of the last message
}

func start(t *testing.T, width, height int, st *api.Status) *script {
	s := &script{t: t, Model: New(&daemon{}, console.Screen{Width: 80, Unicode: true, Now: now}, st)}
	s.send(tea.WindowSizeMsg{Width: width, Height: height})
	return s
}

func (s *script) send(msgs ...tea.Msg) {
	for _, msg := range msgs {
		var m tea.Model
		m, s.next = s.Update(msg)
		s.Model = m.(Model)
	}
}

// press sends keys, by the names that a terminal's have.
func (s *script) press(keys ...string) {
	special := map[string]rune{
		"tab": tea.KeyTab, "esc": tea.KeyEscape, "up": tea.KeyUp, "down": tea.KeyDown, "pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown,
		"home": tea.KeyHome, "end": tea.KeyEnd, "space": tea.KeySpace,
	}
	for _, key := range keys {
		switch code, known := special[key]; {
		case known:
			s.send(tea.KeyPressMsg{Code: code})
		case key == "shift+tab":
			s.send(tea.KeyPressMsg{Code: tea.KeyTab, Mod: tea.ModShift})
		case key == "ctrl+c":
			s.send(tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl})
		default:
			s.send(tea.KeyPressMsg{Code: []rune(key)[0], Text: key})
		}
	}
}

// answer is a status after so many seconds.
func (s *script) answer(seconds int, st *api.Status) {
	s.send(statusMsg{status: st, at: now.Add(time.Duration(seconds) * time.Second)})
}

func (s *script) text() string { return s.View().Content }

func (s *script) shows(want ...string) {
	s.t.Helper()
	for _, w := range want {
		if !strings.Contains(s.text(), w) {
			s.t.Errorf("%q is missing in\n%s", w, s.text())
		}
	}
}

func (s *script) showsNot(unwanted ...string) {
	s.t.Helper()
	for _, w := range unwanted {
		if strings.Contains(s.text(), w) {
			s.t.Errorf("%q should not be in\n%s", w, s.text())
		}
	}
}

func (s *script) golden(name string) {
	s.t.Helper()
	path := filepath.Join("testdata", name+".golden")
	got := s.text() + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		s.t.Errorf("%s (-want +got; -update writes it anew):\n%s", path, diff)
	}
}

// daemon answers what it is told to.
type daemon struct {
	status  *api.Status
	report  *api.Report
	err     error
	rotated []string
}

func (d *daemon) Status(context.Context) (*api.Status, error) { return d.status, d.err }

func (d *daemon) Events(context.Context, string, uint64) ([]api.Event, error) { return nil, d.err }

func (d *daemon) Follow(context.Context, string, uint64, func(api.Event) error) error { return d.err }

func (d *daemon) Rotate(_ context.Context, target string, to int) (*api.Report, error) {
	d.rotated = append(d.rotated, fmt.Sprint(target, " ", to))
	return d.report, d.err
}

var errGone = errors.New("no relinkd is running (socket /run/relinkd/relinkd.sock): start it with `systemctl start relinkd` or `relinkd run`")

func TestPictures(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {140, 40}} {
		name := func(what string) string { return fmt.Sprintf("%s-%dx%d", what, size[0], size[1]) }

		few := start(t, size[0], size[1], status(target("imapd", 6, 3)))
		few.golden(name("few"))
		few.press("r")
		few.golden(name("question"))

		many := start(t, size[0], size[1], status(target("imapd", 240, 130), target("lmtpd", 4, 1)))
		many.send(eventsMsg{
			event(1, -4*time.Minute, "imapd", api.EventState, "/usr/lib/cyrus/bin/imapd is steady now, and was cloning"),
			event(2, -3*time.Minute, "imapd", api.EventUpgrade, "upgraded from 11ab22cd33ef to 3f2a5c1be0d9"),
			event(3, -2*time.Minute, "imapd", api.EventRotation, "rotated from imapd_129 to imapd_130 (threshold)"),
			event(4, -time.Minute, "lmtpd", api.EventRotation, "rotated from lmtpd_001 to lmtpd_002 (threshold)"),
			event(5, -time.Second, "imapd", api.EventRotation, "rotated from imapd_130 to imapd_131 (threshold)"),
		})
		many.golden(name("many"))
		many.press("s", "pgdown")
		many.golden(name("fullest"))
		many.send(statusMsg{err: errGone, at: now.Add(3 * time.Second)})
		many.golden(name("gone"))
		many.press("?")
		many.golden(name("help"))
	}
}

// What is wrong is there with what to do, whatever the target.
func TestPictureOfTrouble(t *testing.T) {
	bad := api.TargetStatus{Name: "imapd", State: api.Degraded, Publish: "symlink",
		Reason: "path is a symbolic link to imapd_004 that relinkd did not make, a hand-made pool: nothing is touched until relinkd manage", AwaitsManage: true}
	st := status(bad, target("lmtpd", 4, 1))
	st.ConfigError = "/etc/relinkd/relinkd.toml:3: target.imapd.copies: found 0, allowed: a whole number from 1 to 999"
	start(t, 80, 24, st).golden("trouble-80x24")
	start(t, 80, 24, status()).golden("empty-80x24")
}

// No picture is greater than its screen, however small that is, and whatever is shown.
func TestPicturesFit(t *testing.T) {
	for _, width := range []int{1, 7, 20, 33, 40, 57, 80, 81, 132, 200} {
		for _, height := range []int{1, 2, 3, 5, 8, 12, 24, 25, 60} {
			for _, st := range []*api.Status{status(), status(target("imapd", 240, 130)), status(target("imapd", 2, 1), target("a-very-long-name-of-a-target", 60, 50))} {
				for _, keys := range [][]string{nil, {"?"}, {"r"}, {"t", "s", "end"}} {
					s := start(t, width, height, st)
					s.press(keys...)
					s.fits(width, height)
					s.send(statusMsg{err: errGone, at: now})
					s.fits(width, height)
				}
			}
		}
	}
}

func (s *script) fits(width, height int) {
	s.t.Helper()
	lines := strings.Split(s.text(), "\n")
	if len(lines) > height {
		s.t.Fatalf("%d lines on a screen of %d x %d:\n%s", len(lines), width, height, s.text())
	}
	for _, line := range lines {
		if w := ansi.StringWidth(line); w > width {
			s.t.Fatalf("%d columns in %q on a screen of %d x %d", w, line, width, height)
		}
	}
}

func TestColoursChangeNothingElse(t *testing.T) {
	st := status(target("imapd", 60, 40))
	plain := start(t, 80, 24, st)
	coloured := start(t, 80, 24, st)
	coloured.screen.Colour = true
	if diff := cmp.Diff(plain.text(), ansi.Strip(coloured.text())); diff != "" {
		t.Errorf("(-without colours +stripped of them):\n%s", diff)
	}
	dim := ansi.NewStyle().Faint()
	coloured.send(statusMsg{err: errGone, at: now})
	coloured.shows(dim.Styled("threshold 200, mark 180, highest so far 181, room for " + fmt.Sprint(console.Below(&st.Targets[0])) + " more, 4.2 ms late"))
	coloured.shows(dim.Styled("no copy passes the threshold if no more than 9 start before relinkd acts"))
	st.Targets[0].ThresholdPromised, st.Targets[0].ThresholdReason = false, "no copy has room"
	coloured.send(statusMsg{status: st, at: now})
	coloured.shows("no threshold is promised: no copy has room")
}
