package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"relinkd/api"
	"relinkd/control"
	"relinkd/internal/fstest"
	"relinkd/internal/standin"
)

// The real top at a real terminal, which tmux is, over a real daemon, which goes and comes back.
func TestTopAtATerminal(t *testing.T) {
	site := newTopSite(t, "")
	site.start()
	site.hold(3)
	x := newTmux(t, 80, 24)
	x.run("relinkd --config " + site.conf + " top")
	x.wait("imapd (1 of 2): steady → imapd_001", "processes 3 on 6 copies", "▸001 ████████████")

	x.press("s")
	x.wait("6 copies fullest first")
	x.press("?")
	x.wait("leave it", "the copy that new processes run")
	x.press("?")
	x.wait("what has happened")

	x.press("r")
	x.wait("Rotate imapd away from imapd_001 now? Waiting Cyrus workers end. (y/n)")
	x.press("n")
	x.wait("not rotated", "→ imapd_001")
	x.press("r", "y")
	x.wait("imapd: rotated from imapd_001 to imapd_002", "steady → imapd_002", "▸002", "rotated from imapd_001 to imapd_002 (operator)")

	site.kill()
	x.wait("NO ANSWER since", "→ imapd_002", "relinkd does not answer", "no relinkd is running", "systemctl")
	site.start()
	x.wait("imapd (1 of 2): steady → imapd_002", "answers again", "q quit")
	x.waitGone("NO ANSWER")

	x.resize(120, 30)
	x.wait(strings.Repeat("─", 60))
	for line := range strings.Lines(x.screen()) {
		if strings.HasPrefix(line, "──") && ansi.StringWidth(strings.TrimSpace(line)) != 120 {
			t.Errorf("a line across is of %d columns, not of 120: %q", ansi.StringWidth(strings.TrimSpace(line)), line)
		}
	}
	x.press("Tab")
	x.wait("lmtpd (2 of 2): steady → lmtpd_001")
	x.press("q")
	x.wait("ended with 0") // on the screen that was there before
	if got := x.screen(); strings.Contains(got, "lmtpd") {
		t.Errorf("the picture is still there:\n%s", got)
	}
}

// Without a daemon there is nothing to show, and what to do is said as by other verbs.
func TestTopWithoutADaemon(t *testing.T) {
	site := newTopSite(t, "")
	x := newTmux(t, 300, 24) // the terminal breaks no line
	x.run("relinkd --config " + site.conf + " top")
	x.wait("relinkd: no relinkd is running", "`relinkd run`", "ended with 4")
}

// Who may only look sees everything, and hears why nothing is rotated.
func TestTopOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("left out: only root can become another user")
	}
	site := newTopSite(t, "nogroup")
	site.start()
	x := newTmux(t, 80, 24)
	x.run("setpriv --reuid=65534 --regid=65534 --clear-groups " + site.program + " --config " + site.conf + " top")
	x.wait("imapd (1 of 2): steady → imapd_001", "what has happened", "imapd is steady now")
	x.press("r", "y")
	x.wait("not rotated: this is for root alone: try again as root", "→ imapd_001")
	x.press("q")
	x.wait("ended with 0")
}

// A signal ends it, and the terminal is as it was.
func TestTopEndsWithASignal(t *testing.T) {
	site := newTopSite(t, "")
	site.start()
	x := newTmux(t, 80, 24)
	x.run("sh -c 'echo $$ >" + site.dir + "/pid; exec relinkd --config " + site.conf + " top'")
	x.wait("imapd (1 of 2): steady")
	pid, err := os.ReadFile(filepath.Join(site.dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("kill", strings.TrimSpace(string(pid))).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	x.wait("ended with 0")
}

// relinkd asks a terminal nothing before it shows something on it, and runs nothing to find out about it:
// that would be the daemon's doing too, which must never fork.
func TestStartAsksTheTerminalNothing(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "tmux"), "#!/bin/sh\necho was here >"+dir+"/ran\n")
	if err := os.Chmod(filepath.Join(dir, "tmux"), 0o755); err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("relinkd")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "version")
	cmd.Env = []string{"PATH=" + dir, "TERM=tmux-256color", "TMUX=/tmp/tmux-0/default,1,0", "GORACE=" + os.Getenv("GORACE")}
	terminal := startAtTerminal(t, cmd)
	terminal.wait("\n")
	if got := terminal.seen.String(); strings.Contains(got, "\x1b") || !strings.HasPrefix(got, "relinkd ") {
		t.Errorf("at its start it says %q", got)
	}
	cmd.Wait()
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
		t.Error("it has run another program")
	}
}

// topSite is a directory with two targets and a daemon.
type topSite struct {
	t       *testing.T
	dir     string
	conf    string
	program string
	daemon  *exec.Cmd
}

func newTopSite(t *testing.T, group string) *topSite {
	t.Helper()
	program, err := exec.LookPath("relinkd")
	if err != nil {
		t.Fatal(err)
	}
	dir := fstest.Passable(t, t.TempDir())
	for _, path := range []string{dir, program} {
		if group == "" {
			break // there is no other user
		}
		for ; path != "/"; path = filepath.Dir(path) {
			if st, err := os.Stat(path); err == nil && st.Mode()&0o011 != 0o011 {
				if err := os.Chmod(path, st.Mode()|0o055); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	mkdir(t, dir, "bin")
	text := ""
	for _, name := range []string{"imapd", "lmtpd"} {
		path := filepath.Join(dir, "bin", name)
		if err := standin.Write(path, "1"); err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("[target.%s]\npath = %q\ncopies = 6\nmax_copies = 6\nthreshold = 10\nsettle = { quiet = \"50ms\", max = \"1s\" }\n", name, path)
	}
	text += fmt.Sprintf("[census]\ninterval = \"50ms\"\n[control]\nsocket = %q\ngroup = %q\n[state]\ndir = %q\n", dir+"/run/relinkd.sock", group, dir+"/state")
	s := &topSite{t: t, dir: dir, conf: filepath.Join(dir, "relinkd.toml"), program: program}
	write(t, s.conf, text)
	return s
}

// start starts a daemon, and returns when both targets are steady.
func (s *topSite) start() {
	s.t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "daemon.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(s.program, "--config", s.conf, "run")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GORACE=" + os.Getenv("GORACE")}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.daemon = cmd
	s.t.Cleanup(s.kill)
	client := control.NewClient(filepath.Join(s.dir, "run", "relinkd.sock"))
	last := ""
	s.until(func() bool {
		st, err := client.Status(context.Background())
		last = fmt.Sprint(st, err)
		return err == nil && st.Targets[0].State == api.Steady && st.Targets[1].State == api.Steady
	}, func() string { return "the daemon to be steady: " + last })
}

func (s *topSite) kill() {
	if s.daemon != nil {
		s.daemon.Process.Kill()
		s.daemon.Wait()
		s.daemon = nil
	}
}

// hold has so many processes run imapd until the test ends.
func (s *topSite) hold(n int) {
	s.t.Helper()
	for range n {
		cmd := exec.Command(filepath.Join(s.dir, "bin", "imapd"))
		stdin, err := cmd.StdinPipe()
		if err != nil {
			s.t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() {
			stdin.Close()
			cmd.Wait()
		})
	}
}

func (s *topSite) until(cond func() bool, what func() string) { until(s.t, cond, what) }

// until looks until cond holds; what says what was waited for.
func until(t *testing.T, cond func() bool, what func() string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !cond(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what())
		}
		time.Sleep(20 * time.Millisecond) // between two looks, not instead of one
	}
}

// tmux is a terminal of a tmux server of its own.
type tmux struct {
	t             *testing.T
	socket        string
	width, height int
}

func newTmux(t *testing.T, width, height int) *tmux {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("left out: there is no tmux here")
	}
	dir, err := os.MkdirTemp("", "tmux") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &tmux{t, filepath.Join(dir, "socket"), width, height}
}

// run runs a command at the terminal, which then shows how it has ended.
func (x *tmux) run(command string) {
	x.t.Helper()
	x.do("new-session", "-d", "-s", "top", "-x", fmt.Sprint(x.width), "-y", fmt.Sprint(x.height),
		command+"; echo ended with $?; read wait")
	x.t.Cleanup(func() { x.try("kill-server") })
}

// press sends keys, by tmux's names.
func (x *tmux) press(keys ...string) {
	x.t.Helper()
	for _, key := range keys {
		x.do("send-keys", "-t", "top", key)
	}
}

func (x *tmux) resize(width, height int) {
	x.t.Helper()
	x.do("resize-window", "-t", "top", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height))
}

func (x *tmux) screen() string {
	x.t.Helper()
	return x.do("capture-pane", "-p", "-t", "top")
}

// wait waits until all texts are on the screen at once.
func (x *tmux) wait(texts ...string) {
	x.t.Helper()
	x.until(texts, true)
}

// waitGone waits until none of the texts is on the screen.
func (x *tmux) waitGone(texts ...string) {
	x.t.Helper()
	x.until(texts, false)
}

func (x *tmux) until(texts []string, there bool) {
	x.t.Helper()
	screen := ""
	until(x.t, func() bool {
		screen = x.screen()
		for _, text := range texts {
			if strings.Contains(screen, text) != there {
				return false
			}
		}
		return true
	}, func() string { return fmt.Sprintf("%q (there: %v), the screen is\n%s", texts, there, screen) })
}

func (x *tmux) do(args ...string) string {
	x.t.Helper()
	out, err := x.try(args...)
	if err != nil {
		x.t.Fatalf("tmux %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

func (x *tmux) try(args ...string) (string, error) {
	cmd := exec.Command("tmux", append([]string{"-S", x.socket, "-f", "/dev/null", "-u"}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "HOME=/", "SHELL=/bin/sh", "GORACE=" + os.Getenv("GORACE")}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}
