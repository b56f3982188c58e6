package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/control"
	"relinkd/watch"
)

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("disk full"), 1},
		{fmt.Errorf("imapd: %w", api.ErrRefused), 1},
		{&usageError{"what?"}, 2},
		{errors.Join(errFound, nil), 3},
		{fmt.Errorf("nobody: %w", control.ErrNoDaemon), 4},
		{fmt.Errorf("/usr is read-only: %w", watch.ErrRestart), 75},
	} {
		if got := exitCode(test.err); got != test.want {
			t.Errorf("exit code of %v is %d, want %d", test.err, got, test.want)
		}
		if code := fmt.Sprintf("\n  %-3d ", test.want); !strings.Contains(exitHelp(), code) {
			t.Errorf("the help does not tell exit code %d", test.want)
		}
	}
}

// Every verb says what it is for, how it is called, and checks its arguments.
func TestEveryVerbHasHelp(t *testing.T) {
	for _, cmd := range new(app).rootCmd().Commands() {
		if cmd.Short == "" || cmd.Args == nil || cmd.RunE == nil {
			t.Errorf("%s lacks a description, a check of its arguments, or errors", cmd.Name())
		}
		if !strings.HasPrefix(cmd.Example, "  relinkd "+cmd.Name()) {
			t.Errorf("the help of %s has no example of it: %q", cmd.Name(), cmd.Example)
		}
	}
}

func TestLogFormat(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	journal := fmt.Sprintf("%d:%d", st.Dev, st.Ino)
	for _, test := range []struct {
		stream, want string
	}{
		{"", "json"},
		{journal, "journal"},
		{journal + "0", "json"}, // inherited: our output goes elsewhere
		{":", "json"},
	} {
		if got := chooseFormat(file, test.stream); got != test.want {
			t.Errorf("JOURNAL_STREAM=%q: %s, want %s", test.stream, got, test.want)
		}
	}
	if got := chooseFormat(new(bytes.Buffer), journal); got != "json" {
		t.Errorf("no file: %s, want json", got)
	}
	if got := chooseFormat(pty(t), journal); got != "console" {
		t.Errorf("a terminal: %s, want console", got)
	}
}

// pty is the slave of a new pseudo-terminal.
func pty(t *testing.T) *os.File {
	t.Helper()
	_, slave := ptyPair(t)
	return slave
}

func ptyPair(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

func TestLogLevelAndFormat(t *testing.T) {
	for format, want := range map[string]string{"json": `"level":"warn"`, "console": "WRN"} {
		var b bytes.Buffer
		log, err := newLogger(config.Log{Level: "warn", Format: format}, &b)
		if err != nil {
			t.Fatal(err)
		}
		log.Info().Msg("quiet")
		log.Warn().Msg("loud")
		if got := b.String(); !strings.Contains(got, want) || !strings.Contains(got, "loud") || strings.Contains(got, "quiet") {
			t.Errorf("%s: %q", format, got)
		}
	}
}

func TestTakes(t *testing.T) {
	cmd := &cobra.Command{Use: "verb"}
	for _, test := range []struct {
		names, args []string
		want        string
	}{
		{nil, nil, ""},
		{nil, []string{"x"}, `"x" is one argument too many: see ` + "`verb --help`"},
		{[]string{"TARGET"}, nil, "TARGET is missing: see `verb --help`"},
		{[]string{"TARGET"}, []string{""}, "TARGET is empty: see `verb --help`"},
		{[]string{"TARGET", "FILE"}, []string{"x"}, "FILE is missing: see `verb --help`"},
		{[]string{"[TARGET]"}, nil, ""},
		{[]string{"[TARGET]"}, []string{""}, "TARGET is empty: see `verb --help`"},
	} {
		err := takes(test.names...)(cmd, test.args)
		if got := fmt.Sprint(err); got != test.want && (err != nil || test.want != "") {
			t.Errorf("takes(%q) of %q: %s, want %s", test.names, test.args, got, test.want)
		}
	}
}

// stubborn is a Service with three targets, of which the second cannot be restored.
type stubborn struct {
	api.Service
	restored []string
}

func (*stubborn) Status(context.Context) (*api.Status, error) {
	return &api.Status{Targets: []api.TargetStatus{{Name: "imapd"}, {Name: "lmtpd"}, {Name: "pop3d"}}}, nil
}

func (s *stubborn) Restore(_ context.Context, target string, force bool) (*api.Report, error) {
	s.restored = append(s.restored, fmt.Sprint(target, force))
	if target == "lmtpd" {
		return nil, errors.New("cannot restore lmtpd")
	}
	return &api.Report{Target: target, Done: []string{"restored"}, Warnings: []string{"mind the step"}}, nil
}

func TestRestoreAllGoesOnAfterAnError(t *testing.T) {
	var out, errOut bytes.Buffer
	a := &app{out: &out, errOut: &errOut}
	svc := new(stubborn)
	err := a.restoreAll(context.Background(), svc, true)
	if err == nil || err.Error() != "cannot restore lmtpd" {
		t.Errorf("error is %v", err)
	}
	if got, want := fmt.Sprint(svc.restored), "[imapdtrue lmtpdtrue pop3dtrue]"; got != want {
		t.Errorf("restored %s, want %s", got, want)
	}
	if got, want := out.String(), "imapd: restored\npop3d: restored\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
	if got, want := errOut.String(), "relinkd: warning: imapd: mind the step\nrelinkd: warning: pop3d: mind the step\n"; got != want {
		t.Errorf("warned %q, want %q", got, want)
	}
}

func TestScreenIsThatOfStandardOutput(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	t.Setenv("COLUMNS", "50")
	slave := pty(t)
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 90}); err != nil {
		t.Fatal(err)
	}
	if s := (&app{out: slave}).screen(); s.Width != 90 || !s.Colour {
		t.Errorf("a terminal of 90 columns: %+v", s)
	}
	if s := (&app{out: new(bytes.Buffer)}).screen(); s.Width != 50 || s.Colour {
		t.Errorf("no terminal, COLUMNS=50: %+v", s)
	}
	t.Setenv("NO_COLOR", "1")
	if s := (&app{out: slave}).screen(); s.Colour {
		t.Errorf("NO_COLOR: %+v", s)
	}
}
