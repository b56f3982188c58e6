package linker

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/internal/fstest"
)

// scenario is one thing that relinkd does, and what others do meanwhile.
type scenario struct {
	name  string
	setup func(s *site) // from newSite's state
	act   func(s *site, l *Link) error
	// race is what somebody else does just ahead of the nth call (from 1) of that label.
	race map[string]func(s *site)
	// finish is done after recovery, and must bring a site to rest whatever act came to; nil is act.
	finish func(s *site, l *Link) error
	absent bool // path is missing at the beginning, until act has put something there
	// rest checks the end beyond what site.rested does.
	rest func(s *site)
}

// fault makes one changing call fail, and, for a crash, everything after it.
type fault struct {
	at    int // the number of the call, from 1; 0 for none
	err   error
	crash bool
}

// attempt runs the scenario up to its act, under the fault, and returns the labels of the calls.
func (c scenario) attempt(s *site, f fault, noExchange bool) (l *Link, ops []fsys.Op, err error) {
	if c.setup != nil {
		c.setup(s)
	}
	nth := map[fsys.Op]int{}
	raced, armed := false, true
	fs := &fsys.FS{Before: func(op fsys.Op, _ string) error {
		if !armed {
			if noExchange && strings.HasSuffix(string(op), ": exchange") {
				return unix.EINVAL
			}
			return nil
		}
		ops = append(ops, op)
		crashed := f.crash && f.at > 0 && len(ops) > f.at
		nth[op]++
		if race := c.race[fmt.Sprintf("%s %d", op, nth[op])]; race != nil && !crashed {
			race(s)
			raced = true
		}
		if !c.absent && !raced {
			s.kept("before " + string(op))
		}
		switch {
		case len(ops) == f.at, crashed:
			return f.err
		case noExchange && strings.HasSuffix(string(op), ": exchange"):
			return unix.EINVAL
		}
		return nil
	}}
	l = s.open(fs)
	err = c.act(s, l)
	armed = false
	return l, ops, err
}

// recovered brings the site to rest after attempt.
func (c scenario) recovered(s *site, l *Link) {
	s.t.Helper()
	defer l.Close()
	if s.writer != nil {
		must(s.t, s.writer.Close())
		s.writer = nil
	}
	if _, err := l.Recover(isCopy); err != nil {
		s.t.Errorf("recover: %v", err)
	}
	finish := c.finish
	if finish == nil {
		finish = c.act
	}
	if err := finish(s, l); err != nil {
		s.t.Errorf("finish: %v", err)
	}
	if repair, err := l.RepairNeeded(isCopy); repair != RepairNone || err != nil {
		s.t.Errorf("at rest there is still something to recover: %v, %v", repair, err)
	}
	s.rested()
	if c.rest != nil {
		c.rest(s)
	}
}

// plain opens the site as the next relinkd does, on a file system with or without exchange.
func plain(s *site, noExchange bool) *Link {
	s.t.Helper()
	return s.open(&fsys.FS{Before: func(op fsys.Op, _ string) error {
		if noExchange && strings.HasSuffix(string(op), ": exchange") {
			return unix.EINVAL
		}
		return nil
	}})
}

// TestEachCallFails makes each changing call of each scenario fail, alone and as the last thing that
// is done before a crash, on file systems with and without exchange. Whatever the call: path executes
// before every one, nobody's file is lost, and recovery brings the site to rest.
func TestEachCallFails(t *testing.T) {
	tried := map[fsys.Op]bool{}
	fstest.Each(t, func(t *testing.T, dir string) {
		for _, c := range scenarios() {
			for _, noExchange := range []bool{false, true} {
				name := c.name
				if noExchange {
					name += ", no exchange"
				}
				t.Run(name, func(t *testing.T) {
					for _, op := range c.faults(t, dir, noExchange) {
						tried[op] = true
					}
				})
			}
		}
	})
	if t.Failed() {
		return
	}
	for _, op := range labels(t) {
		if !tried[op] {
			t.Errorf("no scenario makes %q", op)
		}
	}
}

// faults runs the scenario without a fault, then with each, and returns the labels it made fail.
func (c scenario) faults(t *testing.T, dir string, noExchange bool) []fsys.Op {
	s := newSite(t, dir)
	l, clean, _ := c.attempt(s, fault{}, noExchange)
	c.recovered(s, l)
	for i, op := range clean {
		for _, f := range []fault{
			{at: i + 1, err: unix.ENOSPC},
			{at: i + 1, err: unix.EIO, crash: true},
		} {
			how := "fails"
			if f.crash {
				how = "crashes"
			}
			t.Run(fmt.Sprintf("%d %s %s", f.at, op, how), func(t *testing.T) {
				s := newSite(t, dir)
				l, ops, err := c.attempt(s, f, noExchange)
				if len(ops) < f.at || ops[f.at-1] != op {
					t.Fatalf("calls %q, want %q as number %d", ops, op, f.at)
				}
				if f.crash {
					l.Close()
					l = plain(s, noExchange)
				}
				if err != nil && !errors.Is(err, f.err) && !errors.Is(err, ErrSuperseded) {
					t.Errorf("the error %v does not tell of %v", err, f.err)
				}
				c.recovered(s, l)
			})
		}
	}
	return clean
}

// labels lists every label in the package's source: each string literal "what: call" that is an
// argument.
func labels(t *testing.T) (ops []fsys.Op) {
	t.Helper()
	label := regexp.MustCompile(`^[a-z ]+: [a-z ]+$`)
	files, err := filepath.Glob("*.go")
	must(t, err)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		must(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			for _, arg := range call.Args {
				if lit, ok := arg.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					if text, err := strconv.Unquote(lit.Value); err == nil && label.MatchString(text) {
						ops = append(ops, fsys.Op(text))
					}
				}
			}
			return true
		})
	}
	slices.Sort(ops)
	if ops = slices.Compact(ops); len(ops) < 20 {
		t.Fatalf("found only the labels %q", ops)
	}
	return ops
}

// openForWriting is a writer that has not finished.
func openForWriting(s *site) {
	var err error
	s.writer, err = os.OpenFile(s.path, os.O_WRONLY, 0)
	must(s.t, err)
}
