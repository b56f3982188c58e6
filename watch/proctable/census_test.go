package proctable

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestCensusOfFakeProc(t *testing.T) {
	exes := files(t, "", 3)
	type outcome struct{ counts, processes, unreadable any }
	for _, c := range []struct {
		what string
		make func(p *fakeProc)
		want outcome
	}{
		{"nobody but init", func(p *fakeProc) {}, outcome{[]int{0, 0, 0}, 1, 0}},
		{"some of each, and others", func(p *fakeProc) {
			for pid := 10; pid < 15; pid++ {
				p.exec(pid, exes[0])
			}
			p.exec(4194304, exes[2])
			p.exec(100, "/dev/null")
		}, outcome{[]int{5, 0, 1}, 8, 0}},
		{"init itself", func(p *fakeProc) { p.exec(1, exes[1]) }, outcome{[]int{0, 1, 0}, 1, 0}},
		{"the file counts, not the name", func(p *fakeProc) {
			other := filepath.Join(t.TempDir(), "other name")
			if err := os.Link(exes[1], other); err != nil {
				t.Fatal(err)
			}
			p.exec(10, other)
		}, outcome{[]int{0, 1, 0}, 2, 0}},
		{"a kernel thread, a zombie, one that vanishes", func(p *fakeProc) {
			p.mkdir("2")
			p.exec(3, filepath.Join(p.dir, "not there"))
		}, outcome{[]int{0, 0, 0}, 3, 0}},
		{"names that are no process", func(p *fakeProc) {
			for _, name := range []string{"self", "12x", "12345678901", "sys"} {
				dir := p.mkdir(name)
				if err := os.Symlink(exes[0], filepath.Join(dir, "exe")); err != nil {
					t.Fatal(err)
				}
			}
		}, outcome{[]int{0, 0, 0}, 1, 0}},
		{"an errno that nobody expects", func(p *fakeProc) {
			dir := p.mkdir("20")
			if err := os.Symlink("exe", filepath.Join(dir, "exe")); err != nil { // ELOOP
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(p.dir, "21"), nil, 0o644); err != nil { // ENOTDIR
				t.Fatal(err)
			}
			p.exec(22, exes[0])
		}, outcome{[]int{1, 0, 0}, 4, 2}},
		{"init is hidden", func(p *fakeProc) {
			p.exit(1)
			p.exec(10, exes[0])
		}, outcome{[]int{1, 0, 0}, 1, 1}},
		{"nothing at all", func(p *fakeProc) { p.exit(1) }, outcome{[]int{0, 0, 0}, 0, 1}},
	} {
		t.Run(c.what, func(t *testing.T) {
			proc := newFakeProc(t)
			c.make(proc)
			table := newTable(t, proc.dir)
			f, ids := follow(t, table, exes...)
			take(t, table)
			counts, s := f.Counts(), table.Stats()
			got := outcome{[]int{counts.Of(ids[0]), counts.Of(ids[1]), counts.Of(ids[2])}, s.Processes, s.Unreadable}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("{counts, processes, unreadable} is %v, want %v", got, c.want)
			}
		})
	}
}

// A pid that another process has taken over must not be taken for the one before.
func TestReusedPID(t *testing.T) {
	exes := files(t, "", 2)
	proc := newFakeProc(t)
	table := newTable(t, proc.dir)
	f, ids := follow(t, table, exes...)
	for round := range 4 {
		proc.exec(77, exes[round%2])
		take(t, table)
		c := f.Counts()
		if c.Of(ids[round%2]) != 1 || c.Of(ids[1-round%2]) != 0 {
			t.Fatalf("round %d: counts are %d and %d, want the process on executable %d alone",
				round, c.Of(ids[0]), c.Of(ids[1]), round%2+1)
		}
		proc.exit(77)
	}
}

// More entries than one buffer holds, each of them counted once.
func TestManyEntries(t *testing.T) {
	exes := files(t, "", 1)
	proc := newFakeProc(t)
	const n = 5000
	for pid := 100; pid < 100+n; pid++ {
		proc.exec(pid, exes[0])
	}
	table := newTable(t, proc.dir)
	f, ids := follow(t, table, exes...)
	for range 2 { // the second from the directory's beginning again
		take(t, table)
		if got := f.Counts().Of(ids[0]); got != n {
			t.Errorf("counted %d, want %d", got, n)
		}
	}
}

func TestNoProc(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "proc")
	_, err := New(Options{Proc: missing})
	mustContain(t, err, missing, "no such file", "mount procfs")
}

// A census that cannot be completed changes nothing of what is known.
func TestProcGone(t *testing.T) {
	exes := files(t, "", 1)
	proc := newFakeProc(t)
	proc.exec(10, exes[0])
	table := newTable(t, proc.dir)
	f, ids := follow(t, table, exes...)
	take(t, table)
	if err := os.RemoveAll(proc.dir); err != nil { // getdents64 says ENOENT from here on
		t.Fatal(err)
	}
	before := f.Counts()
	mustContain(t, table.Take(), "cannot list the processes in", proc.dir, "no such file")
	after := f.Counts()
	if after.Of(ids[0]) != 1 || !after.At.Equal(before.At) {
		t.Errorf("after a census that failed: %d processes at %v, want 1 at %v", after.Of(ids[0]), after.At, before.At)
	}
	if s := table.Stats(); s.Censuses != 1 {
		t.Errorf("%d complete censuses, want 1", s.Censuses)
	}
	f.Due(0)
	mustContain(t, table.Run(t.Context()), "cannot list the processes in", proc.dir)
}
