// Command suite runs all tests of relinkd, and tells where the time went:
//
//	go run ./internal/suite            what `make test` does, in stages
//	go run ./internal/suite ./watch …  the tests of these packages alone
//
// Its stages are the tools (tools/setup), the checks (`make check`), all tests with the race detector as
// whoever calls it, and for root the tests of ordinary.txt as an ordinary user. It prints a line a package,
// every skip with its reason, the whole output of each test that failed, and a table of the stages, the
// packages and the slowest tests. With LONG_TESTS=1 the storms and soaks are long, and the ordinary user
// runs every test: one whose verdict is not root's and that ordinary.txt does not list fails the run.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// long reports whether the long forms of the tests are asked for.
func long() bool { return os.Getenv("LONG_TESTS") != "" }

// run runs the stages, each only if those before it went well, and prints the table whatever happened.
func run(ctx context.Context, patterns []string) error {
	if _, err := os.Stat("go.mod"); err != nil {
		return fmt.Errorf("run it at the top of the repository: %w", err)
	}
	scratch, err := os.MkdirTemp("/var/tmp", "relinkd-suite-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	s := &suite{scratch: scratch, whole: len(patterns) == 0, patterns: patterns}
	if s.whole {
		s.patterns = []string{"./..."}
	}
	err = s.stages(ctx)
	s.report(os.Stdout)
	return err
}

// suite is one run.
type suite struct {
	scratch  string // a directory of its own, of no other file system than packages are built on
	whole    bool   // all stages of all packages, not some packages' tests
	patterns []string
	took     []stage
	results  []result // of the tests, as they were run by the caller
	ordinary []result // and by an ordinary user
}

// stage is how long a part of the run took.
type stage struct {
	name string
	took time.Duration
}

func (s *suite) stages(ctx context.Context) error {
	if s.whole {
		if err := s.stage("setup", func() error { return command(ctx, "tools/setup") }); err != nil {
			return err
		}
		if err := s.stage("check", func() error { return command(ctx, "make", "--no-print-directory", "check") }); err != nil {
			return err
		}
	}
	root := os.Geteuid() == 0
	if err := s.stage("tests", func() error { return s.tests(ctx) }); err != nil || !s.whole {
		return err
	}
	if !root {
		fmt.Println("LEFT OUT: the tests that need root; run make test as root for them")
		return nil
	}
	return s.stage("as an ordinary user", func() error { return s.asOrdinaryUser(ctx) })
}

// stage runs a part and writes down how long it took.
func (s *suite) stage(name string, part func() error) error {
	fmt.Printf("---- %s\n", name)
	began := time.Now()
	err := part()
	s.took = append(s.took, stage{name, time.Since(began)})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// quickExit keeps the race detector from sleeping a second before each process ends, of which some tests
// start a hundred. A race it has seen is reported all the same.
const quickExit = "GORACE=atexit_sleep_ms=0"

// tests runs the tests of all packages as whoever calls it. A whole run by root is what FAULTS.md tells of.
func (s *suite) tests(ctx context.Context) error {
	recorded := filepath.Join(s.scratch, "faults")
	if err := os.WriteFile(recorded, nil, 0o600); err != nil {
		return err
	}
	race := []string{"-race"}
	if _, err := exec.LookPath("gcc"); err != nil {
		race = nil
		fmt.Println("LEFT OUT: the race detector, which needs gcc")
	}
	binaries, err := compile(ctx, filepath.Join(s.scratch, "bin"), race, s.patterns)
	if err != nil {
		return err
	}
	r := runner{env: append(os.Environ(), "FAULTS_RECORDED="+recorded, quickExit)}
	s.results = schedule(binaries, func(b binary) result { return r.run(ctx, b) })
	if err := verdict(os.Stdout, s.results); err != nil {
		return err
	}
	if os.Geteuid() != 0 || !s.whole || long() {
		return nil
	}
	log := filepath.Join(s.scratch, "log")
	if err := os.WriteFile(log, skips(s.results), 0o600); err != nil {
		return err
	}
	return command(ctx, "go", "run", "./internal/faults/table", "-log", log, recorded)
}

// command runs a program on the suite's own terminal.
func command(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Run(); err != nil {
		return errors.Join(ctx.Err(), fmt.Errorf("%s: %w", name, err))
	}
	return nil
}
