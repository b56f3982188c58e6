package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"relinkd/internal/fstest"
)

// build makes the relinkd of this source tree.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "relinkd")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, "relinkd/cmd/relinkd").CombinedOutput(); err != nil {
		t.Fatalf("cannot build relinkd: %v\n%s", err, out)
	}
	return program
}

// quickly is the options of a test, with a scratch directory that must be empty afterwards: its path
// is short enough for sockets.
func quickly(t *testing.T, program string) options {
	t.Helper()
	dir, err := os.MkdirTemp("", "peers-test-")
	if err != nil {
		t.Fatal(err)
	}
	fstest.Passable(t, dir)
	t.Cleanup(func() {
		left, err := os.ReadDir(dir)
		if err != nil || len(left) > 0 {
			t.Errorf("left in the scratch directory: %v (%v)", left, err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
		mounts, err := os.ReadFile("/proc/self/mounts")
		if err != nil || bytes.Contains(mounts, []byte(dir+"/")) {
			t.Errorf("a mount is left in %s (%v)", dir, err)
		}
		if left := running(t, dir); len(left) > 0 {
			t.Errorf("processes are left: %v", left)
		}
	})
	return options{relinkd: program, root: "../..", dir: dir, quick: true, progress: t.Output()}
}

// running is the processes that execute something in dir or work there.
func running(t *testing.T, dir string) (found []string) {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if name := filepath.Base(link); name != "exe" && name != "cwd" {
			continue
		}
		if text, err := os.Readlink(link); err == nil && strings.HasPrefix(text, dir+"/") { // others may end meanwhile
			found = append(found, link+" -> "+text)
		}
	}
	return found
}

// TestQuick measures everything with small numbers: every limit has its row, and nothing fails.
func TestQuick(t *testing.T) {
	o := quickly(t, build(t))
	report, err := run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	text := report.markdown()
	t.Log("\n" + text)
	for _, limit := range []string{
		"≤ 1.30 ×", "≥ 8 × faster", "| census of 120 processes on 60 executables, allocations a process |", // census
		"≤ 0.2 ms", "≤ 1 ms", "the longest", "histogram", // exec event to moved link
		"≥ 10000", "1,000,000", // rotation
		"≤ 1.50 ×", "no data", // clone
		"≤ 0.5 s",                                      // upgrade
		"≤ 0.2 %", "censuses included: ", "≤ 24.0 MiB", // idle
		"≤ 64 B",                               // memory
		"≤ 200",                                // the threshold under a burst
		"/bin/true as fast as two shells fork", // foreign processes
	} {
		if !strings.Contains(text, limit) {
			t.Errorf("there is no row with %q", limit)
		}
	}
	for _, r := range report.rows {
		switch reason, not := strings.CutPrefix(r.met, "not measured: "); {
		case not:
			t.Logf("left out: %s: %s", r.what, reason)
		case r.relinkd == "":
			t.Errorf("%s: there is no figure", r.what)
		}
	}
}

// TestMissingPeers: without any tool relinkd is still measured, and each row says what is missing.
func TestMissingPeers(t *testing.T) {
	o := quickly(t, build(t))
	o.only = []string{"rotation", "upgrade", "census"}
	path := t.TempDir()
	nice, err := exec.LookPath("nice") // which root runs the daemon with
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(nice, filepath.Join(path, "nice")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", path)
	report, err := run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	text := report.markdown()
	for _, pkg := range []string{"procps", "psmisc", "lsof", "inotify-tools", "gcc"} {
		if want := "from Debian's package " + pkg + " |"; !strings.Contains(text, want) {
			t.Errorf("%q is not said of any row:\n%s", want, text)
		}
	}
}

// TestInterrupted ends a run while many processes are there.
func TestInterrupted(t *testing.T) {
	o := quickly(t, build(t))
	o.only = []string{"idle"}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	o.progress = writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("watching the idle daemon")) {
			interrupt()
		}
		return len(p), nil
	})
	if report, err := run(ctx, o); err == nil || report != nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("an interrupted run returns %v, %v", report, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestBroken: a relinkd that does not work is a failure, which the table names.
func TestBroken(t *testing.T) {
	o := quickly(t, "/bin/false")
	o.only = []string{"upgrade"}
	report, err := run(t.Context(), o)
	if err == nil || report == nil || !strings.Contains(report.markdown(), "failed: relinkd does not do as it should") {
		t.Errorf("run returns %v, %v", report, err)
	}
}

func TestCommandLine(t *testing.T) {
	var said bytes.Buffer
	err := command(t.Context(), []string{"-relinkd", "/bin/true", "-only", "lunch"}, io.Discard, &said)
	if err == nil || !strings.Contains(err.Error(), `there is no row "lunch", only latency, `) {
		t.Errorf("an unknown row: %v", err)
	}
	err = command(t.Context(), []string{"-relinkd", "/nonexistent"}, io.Discard, &said)
	if err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("no program: %v", err)
	}
	if err := command(t.Context(), []string{"-wrong"}, io.Discard, &said); !errors.Is(err, errUsage) {
		t.Errorf("an unknown flag: %v", err)
	}
	dir, err := os.MkdirTemp("", "peers-test-")
	if err != nil {
		t.Fatal(err)
	}
	fstest.Passable(t, dir)
	defer os.RemoveAll(dir)
	var out bytes.Buffer
	file := filepath.Join(dir, "table.md")
	err = command(t.Context(), []string{"-relinkd", "/bin/true", "-quick", "-only", "clone", "-dir", dir, "-o", file}, &out, &said)
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	if written, err := os.ReadFile(file); err != nil || !bytes.Equal(written, out.Bytes()) || !strings.Contains(out.String(), "| clone 60 copies") {
		t.Errorf("the file differs from the output (%v):\n%s\n%s", err, written, out.String())
	}
}

func TestSeries(t *testing.T) {
	s := series{5, 1, 4, 2, 3}
	for _, test := range []struct {
		name      string
		got, want float64
	}{
		{"median", s.median(), 3},
		{"median of two", series{1, 2}.median(), 1.5},
		{"median of none", series(nil).median(), 0},
		{"least", s.min(), 1},
		{"greatest", s.max(), 5},
		{"p99 of 1..200", func() float64 {
			var all series
			for i := range 200 {
				all.add(float64(200 - i))
			}
			return all.quantile(0.99)
		}(), 199},
		{"ratio of a round", s.over(series{1, 1, 2})[2], 2},
	} {
		if math.Abs(test.got-test.want) > 1e-9 {
			t.Errorf("%s is %v, want %v", test.name, test.got, test.want)
		}
	}
	if got, want := (series{3, 0.1, 1, 1, 9, 2}).histogram("ms", 0.1, 1, 2, 2.5, 5), "≤ 0.1 ms: 1, ≤ 1 ms: 2, ≤ 2 ms: 1, ≤ 5 ms: 1, > 5 ms: 1"; got != want {
		t.Errorf("the histogram is %q, want %q", got, want)
	}
	for seconds, want := range map[float64]string{0.0001234: "0.123 ms", 0.0123: "12.3 ms", 1.5: "1500 ms", 61: "61.0 s"} {
		if got := duration(seconds); got != want {
			t.Errorf("%v s shows as %q, want %q", seconds, got, want)
		}
	}
}

func TestRotationLog(t *testing.T) {
	var l rotationLog
	for _, part := range []string{
		`{"level":"debug","event_to_link":0.25,"reason":"threshold","message":"rotated"}` + "\n" + `{"event_to_`,
		`link":1.5,"reason":"threshold","message":"rotated"}` + "\nno JSON\n",
		`{"event_to_link":9,"reason":"operator","message":"rotated"}` + "\n" + `{"reason":"threshold","message":"rotated"}` + "\n",
		`{"event_to_link":7,"message":"something else"}` + "\n" + `{"event_to_link":3,"reason":"threshold","message":"rotated"}`,
	} {
		l.read([]byte(part))
	}
	if len(l.milliseconds) != 2 || l.milliseconds[0] != 0.25 || l.milliseconds[1] != 1.5 || l.silent != 1 {
		t.Errorf("read %v and %d without the field, want [0.25 1.5] and 1", l.milliseconds, l.silent)
	}
}

// TestChildIsEndedWithItsOwn: what a shell loop has started ends with it.
func TestChildIsEndedWithItsOwn(t *testing.T) {
	dir := t.TempDir()
	c, err := startChild(filepath.Join(dir, "log"), dir, "sh", "-c", "sleep 1000 & echo $! >pid; wait")
	if err != nil {
		t.Fatal(err)
	}
	defer c.stop()
	written := func() bool {
		content, err := os.ReadFile(filepath.Join(dir, "pid"))
		return err == nil && bytes.HasSuffix(content, []byte("\n"))
	}
	if err := await(t.Context(), 10*time.Second, time.Millisecond, "the shell has started something", written); err != nil {
		t.Fatal(err)
	}
	c.stop()
	gone := func() bool { return len(running(t, filepath.Dir(dir))) == 0 }
	if err := await(t.Context(), 10*time.Second, time.Millisecond, "it has ended", gone); err != nil {
		t.Errorf("%v: %v", err, running(t, dir))
	}
	if !c.ended() || c.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("the shell: %v, want ended by SIGTERM", c.cmd.ProcessState)
	}
}
