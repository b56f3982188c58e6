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
	form  *Form         // what path must be to become, for this to be anything; nil for either
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
	over := false
	rest := plain(noExchange).Before
	fs := &fsys.FS{Before: func(op fsys.Op, path string) error {
		if over {
			return rest(op, path)
		}
		ops = append(ops, op)
		crashed := f.crash && f.at > 0 && len(ops) > f.at
		nth[op]++
		if race := c.race[fmt.Sprintf("%s %d", op, nth[op])]; race != nil && !crashed {
			race(s)
		}
		s.keeps("before " + string(op))
		if !c.absent {
			s.executes("before " + string(op))
		}
		if len(ops) == f.at || crashed {
			return f.err
		}
		return rest(op, path)
	}}
	l = s.open(fs)
	err = c.act(s, l)
	over = true
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

// plain is a file system with or without exchange.
func plain(noExchange bool) *fsys.FS {
	return &fsys.FS{Before: func(op fsys.Op, _ string) error {
		if noExchange && strings.HasSuffix(string(op), ": exchange") {
			return unix.EINVAL
		}
		return nil
	}}
}

// TestEachCallFails makes each changing call of each scenario fail as the last thing that is done
// before a crash. Whatever the call: path executes before every one, nobody's file is lost, and
// recovery brings the site to rest. A call that fails alone, and a file system without exchange, which
// none of these is, leave nothing to the file system's own ways: one of them is enough, with path as a
// symbolic link and as a launcher. On the others each scenario has one of the two in turn, and each label
// fails once, where it comes first; LONG_TESTS=1 makes each call fail there too.
func TestEachCallFails(t *testing.T) {
	tried := map[fsys.Op]bool{}
	turn := 0
	try := func(t *testing.T, dir string, noExchange bool, faults ...fault) {
		both := inMemory(t)
		every := both || os.Getenv(envLong) == "1"
		failed := map[fsys.Op]bool{}
		turn++
		for i, c := range scenarios() {
			for form := range Launcher + 1 {
				switch {
				case c.form != nil && *c.form != form,
					c.form == nil && !both && Form(i+turn)%2 != form:
					continue
				}
				t.Run(c.name+", "+form.String(), func(t *testing.T) {
					c.faults(t, dir, form, noExchange, faults, func(op fsys.Op) bool {
						due := every || !failed[op]
						tried[op], failed[op] = true, true
						return due
					})
				})
			}
		}
	}
	crash, alone := fault{err: unix.EIO, crash: true}, fault{err: unix.ENOSPC}
	fstest.Each(t, func(t *testing.T, dir string) {
		try(t, dir, false, crash)
		if inMemory(t) {
			t.Run("alone", func(t *testing.T) { try(t, dir, false, alone) })
			t.Run("no exchange", func(t *testing.T) { try(t, dir, true, crash, alone) })
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

// inMemory reports whether the test, or one that it is part of, runs on the file system that all is tried
// on: tmpfs, or what an ordinary user has.
func inMemory(t *testing.T) bool {
	return slices.ContainsFunc(strings.Split(t.Name(), "/"), func(part string) bool { return part == "tmpfs" || part == "scratch" })
}

// eachForm is fstest.Each for either thing that relinkd puts at path.
func eachForm(t *testing.T, fn func(t *testing.T, dir string, form Form)) {
	t.Helper()
	fstest.Each(t, func(t *testing.T, dir string) {
		for form := range Launcher + 1 {
			t.Run(form.String(), func(t *testing.T) { fn(t, dir, form) })
		}
	})
}

// faults runs the scenario without a fault, then with each fault at each of its calls that is due.
func (c scenario) faults(t *testing.T, dir string, form Form, noExchange bool, faults []fault, due func(fsys.Op) bool) {
	s := newSiteOf(t, dir, form)
	l, clean, _ := c.attempt(s, fault{}, noExchange)
	c.recovered(s, l)
	for i, op := range clean {
		if !due(op) {
			continue
		}
		for _, f := range faults {
			f.at = i + 1
			t.Run(fmt.Sprintf("%d %s, %v", f.at, op, f.err), func(t *testing.T) {
				s := newSiteOf(t, dir, form)
				l, ops, err := c.attempt(s, f, noExchange)
				if len(ops) < f.at || ops[f.at-1] != op {
					t.Fatalf("calls %q, want %q as number %d", ops, op, f.at)
				}
				if f.crash {
					l.Close()
					l = s.open(plain(noExchange))
				}
				if err != nil && !errors.Is(err, f.err) && !errors.Is(err, ErrSuperseded) {
					t.Errorf("the error %v does not tell of %v", err, f.err)
				}
				c.recovered(s, l)
			})
		}
	}
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
