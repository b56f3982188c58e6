package linker

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

const (
	envStorm = "RELINKD_TEST_STORM" // the path that a storm executes
	envLong  = "LONG_TESTS"         // "1" for the long run
)

// TestMain is also the storm: executing is left to processes that never write an executable. A child
// that the test forked while it had one open for writing would make that one fail with ETXTBSY.
func TestMain(m *testing.M) {
	if path := os.Getenv(envStorm); path != "" {
		if err := storm(path); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// storm executes path over and over until its input ends, and prints how often, each thousand times
// and at the end. Any exec that fails ends it.
func storm(path string) error {
	over := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(over)
	}()
	for n := 0; ; n++ {
		if n%1000 == 0 {
			fmt.Println(n)
		}
		select {
		case <-over:
			fmt.Println(n)
			return nil
		default:
		}
		if err := run(path); err != nil {
			return fmt.Errorf("exec number %d: %w", n+1, err)
		}
	}
}

// storming is a storm from the outside.
type storming struct {
	cmd   *exec.Cmd
	in    io.Closer
	lines *bufio.Scanner
	execs int
	said  string
}

// startStorm starts a storm and waits for its first word.
func startStorm(t testing.TB, path string) *storming {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	s := &storming{cmd: exec.Command(self)}
	s.cmd.Env = append(os.Environ(), envStorm+"="+path)
	s.in, err = s.cmd.StdinPipe()
	must(t, err)
	out, err := s.cmd.StdoutPipe()
	must(t, err)
	s.lines = bufio.NewScanner(out)
	must(t, s.cmd.Start())
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	})
	if !s.next() {
		t.Fatalf("the storm does not begin: %s", s.said)
	}
	return s
}

// next reads one more count. False means that the storm is over.
func (s *storming) next() bool {
	if !s.lines.Scan() {
		return false
	}
	s.said = s.lines.Text()
	n, err := strconv.Atoi(s.said)
	if err == nil {
		s.execs = n
	}
	return err == nil
}

// end lets the storm end and returns how many times path was executed.
func (s *storming) end(t testing.TB) int {
	t.Helper()
	must(t, s.in.Close())
	for s.next() {
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("path did not execute every time: %s (%v)", s.said, err)
	}
	return s.execs
}

// TestExecStorm changes what path leads to as fast as it goes, in each way that relinkd has, while
// processes execute path all the time: every exec finds its file.
func TestExecStorm(t *testing.T) {
	eachForm(t, func(t *testing.T, dir string, form Form) {
		s := newSiteOf(t, dir, form).published()
		storms := []*storming{startStorm(t, s.path), startStorm(t, s.path)}
		l := s.open(nil)
		defer l.Close()
		rotations, rounds := 0, 0
		for end := time.Now().Add(time.Second); time.Now().Before(end); rounds++ {
			for i := range 200 {
				must(t, l.Rotate(i%copies+1))
				rotations++
			}
			kept, err := l.Restore()
			if kept || err != nil {
				t.Fatalf("restore: kept %v, %v", kept, err)
			}
			must(t, l.Rotate(1))
			must(t, l.Publish(s.lstat(s.path)))
			s.link("imapd_002", s.path)
			at, err := l.Look()
			must(t, err)
			must(t, l.Reclaim(at))
			for range 2 { // to the other form and back
				at, err = l.Look()
				must(t, err)
				l.SetForm(Launcher - l.form)
				must(t, l.Reclaim(at))
			}
		}
		execs := 0
		for _, storm := range storms {
			execs += storm.end(t)
		}
		t.Logf("%d execs, %d rotations, %d restores and publishes", execs, rotations, rounds)
		if execs < 10 || rounds == 0 {
			t.Error("too few to prove anything")
		}
		s.rested()
	})
}

// TestExecStormLong holds the bar of DESIGN.md §11: no failed exec in 1,000,000 under rotations.
func TestExecStormLong(t *testing.T) {
	if os.Getenv(envLong) != "1" {
		t.Skipf("left out 1,000,000 execs, which take minutes: set %s=1", envLong)
	}
	const each = 500_000
	s := newSite(t, t.TempDir()).published()
	storms := []*storming{startStorm(t, s.path), startStorm(t, s.path)}
	done := make(chan error)
	for _, storm := range storms {
		go func() {
			for storm.execs < each {
				if !storm.next() {
					done <- errors.New(storm.said)
					return
				}
			}
			done <- nil
		}()
	}
	l := s.open(nil)
	defer l.Close()
	rotations := 0
	for left := len(storms); left > 0; rotations++ {
		must(t, l.Rotate(rotations%copies+1))
		select {
		case err := <-done:
			if left--; err != nil {
				t.Error(err)
			}
		default:
		}
	}
	execs := 0
	for _, storm := range storms {
		execs += storm.end(t)
	}
	t.Logf("%d execs under %d rotations", execs, rotations)
}
