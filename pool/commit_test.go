package pool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/internal/fstest"
)

// TestNewGeneration replaces copies of which one is open and one is asked for all the time.
func TestNewGeneration(t *testing.T) {
	onEach(t, func(t *testing.T, x *fixture) {
		x.make(x.makeSource("old", "old"), 1, 2)
		before := x.Owned()
		running, err := os.Open(x.copyPath(1))
		if err != nil {
			t.Fatal(err)
		}
		defer running.Close()

		staged := x.stage(x.source(fstest.Packaged), 1, 2, 3)
		stop, missing := make(chan struct{}), make(chan int)
		go func() {
			n := 0
			for {
				select {
				case <-stop:
					missing <- n
					return
				default:
					if _, err := os.Lstat(x.copyPath(2)); err != nil {
						n++
					}
				}
			}
		}()
		if _, err := staged.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		close(stop)
		if n := <-missing; n > 0 {
			t.Errorf("imapd_002 was missing %d times", n)
		}

		x.wantOwned(1, 2, 3)
		x.wantPrivate()
		for n := 1; n <= 3; n++ {
			x.wantEqual(fstest.Packaged, n)
		}
		for i, c := range before {
			if c.Info.ID == x.Owned()[i].Info.ID {
				t.Errorf("copy %d is the same file as before", c.Number)
			}
		}
		old := make([]byte, 10)
		if n, _ := running.Read(old); string(old[:n]) != "old" {
			t.Errorf("what ran of the old copy now reads %q", old[:n])
		}
	})
}

func TestExecutable(t *testing.T) {
	x := onScratch(t)
	x.write("script", "#!/bin/true\n")
	if err := x.stage(x.source("script"), 1).Executable(); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(x.path("script"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := x.stage(x.source("script"), 1).Executable()
	if err == nil || !strings.Contains(err.Error(), "imapd_001.new: permission denied") {
		t.Errorf("a file without an x bit: %v", err)
	}
	if err := x.stage(x.source("script")).Executable(); err != nil {
		t.Errorf("no copy: %v", err)
	}
}

func TestExecutableSaysNoexec(t *testing.T) {
	x := newFixture(t, fstest.NoExec(t))
	staged := x.stage(x.makeSource("imapd", "#!/bin/true\n"), 1)
	if err := staged.Executable(); err == nil || !strings.Contains(err.Error(), "mounted noexec") {
		t.Errorf("error %v, want the noexec mount", err)
	}
}

// TestForeignFiles puts others' files at a copy's name and sees that they are left alone.
func TestForeignFiles(t *testing.T) {
	onEach(t, func(t *testing.T, x *fixture) {
		for what, put := range map[string]func(path string) error{
			"file":      func(path string) error { return os.WriteFile(path, []byte("foreign"), 0o644) },
			"symlink":   func(path string) error { return os.Symlink(fstest.Packaged, path) },
			"broken":    func(path string) error { return os.Symlink("nowhere", path) },
			"directory": func(path string) error { return os.Mkdir(path, 0o755) },
			"fifo":      func(path string) error { return unix.Mkfifo(path, 0o644) },
		} {
			x.make(x.makeSource("old", "old"), 1, 3)
			staged := x.stage(x.source(fstest.Packaged), 1, 2, 3)
			if err := put(x.copyPath(2)); err != nil {
				t.Fatal(err)
			}
			before := lstat(t, x.copyPath(2))
			wantForeign(t, x.Check(numbers(3)), "imapd_002")
			committed, err := staged.Commit(t.Context())
			wantForeign(t, err, "imapd_002")
			if now := lstat(t, x.copyPath(2)); now != before {
				t.Errorf("%s was changed: %+v, now %+v", what, before, now)
			}
			if len(committed) != 2 || committed[0].Number != 1 || committed[1].Number != 3 {
				t.Errorf("committed %+v, want all but copy 2", committed)
			}
			x.wantEqual(fstest.Packaged, 1)
			x.wantEqual(fstest.Packaged, 3)
			x.wantOwned(1, 3)
			x.wantPrivate()
			wantForeign(t, x.Remove(2), "imapd_002")
			if err := os.Remove(x.copyPath(2)); err != nil {
				t.Fatal(err)
			}
			if err := x.Check(numbers(3)); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestACopyIsReplacedByAnother sees that a file with another identity at the name of an owned copy
// is foreign, whatever it holds.
func TestACopyIsReplacedByAnother(t *testing.T) {
	x := onScratch(t)
	src := x.makeSource("imapd", "content")
	x.make(src, 1)
	x.write("other", "content")
	if err := os.Rename(x.path("other"), x.copyPath(1)); err != nil {
		t.Fatal(err)
	}
	wantForeign(t, x.Check([]int{1}), "imapd_001")
	_, err := x.stage(src, 1).Commit(t.Context())
	wantForeign(t, err, "imapd_001")
	wantForeign(t, x.Remove(1), "imapd_001")
	if x.content("imapd_001") != "content" {
		t.Error("the other file was touched")
	}
}

// race is a commit over an owned copy 1 (old -> new) in which somebody does something ahead of one
// of the calls.
func race(x *fixture, label fsys.Op, what func() error) (committed []Copy, err error) {
	x.make(x.makeSource("old", "old"), 1)
	staged := x.stage(x.makeSource("new", "new"), 1)
	x.hook.once(label, func(string) error { return what() })
	return staged.Commit(context.Background())
}

// putForeign renames a file with the content onto the name of copy 1.
func putForeign(x *fixture, content string) func() error {
	return func() error {
		x.write("foreign", content)
		return os.Rename(x.path("foreign"), x.copyPath(1))
	}
}

func TestForeignFileComesBeforeTheMove(t *testing.T) {
	x := onScratch(t)
	staged := x.stage(x.makeSource("new", "new"), 1)
	x.hook.once("commit: move", func(string) error { return putForeign(x, "foreign")() })
	_, err := staged.Commit(t.Context())
	wantForeign(t, err, "imapd_001")
	if got := x.content("imapd_001"); got != "foreign" {
		t.Errorf("the name leads to %q", got)
	}
	x.wantOwned()
	x.wantPrivate()
}

func TestForeignFileComesBeforeTheExchange(t *testing.T) {
	onEach(t, func(t *testing.T, x *fixture) {
		_, err := race(x, "commit: exchange", putForeign(x, "foreign"))
		wantForeign(t, err, "imapd_001")
		if got := x.content("imapd_001"); got != "foreign" {
			t.Errorf("the name leads to %q", got)
		}
		x.wantPrivate()
	})
}

func TestFurtherFileComesBeforeTheExchangeBack(t *testing.T) {
	x := onScratch(t)
	x.hook.once("commit: exchange back", func(string) error { return putForeign(x, "second")() })
	_, err := race(x, "commit: exchange", putForeign(x, "first"))
	wantForeign(t, err, "imapd_001")
	if got := x.content("imapd_001"); got != "first" {
		t.Errorf("the name leads to %q", got)
	}
	x.wantPrivate("imapd_001.drifted")
	if got := x.content(".relinkd/imapd_001.drifted"); got != "second" || !strings.Contains(err.Error(), "imapd_001.drifted") {
		t.Errorf("%q is kept, and the error is %v", got, err)
	}
}

// TestFurtherFileCannotBeKept has even the keeping fail: the file stays where it is.
func TestFurtherFileCannotBeKept(t *testing.T) {
	x := onScratch(t)
	x.hook.once("commit: exchange back", func(string) error { return putForeign(x, "second")() })
	x.hook.on("commit: keep", fails)
	_, err := race(x, "commit: exchange", putForeign(x, "first"))
	wantForeign(t, err, "imapd_001")
	x.wantPrivate("imapd_001.new")
	if got := x.content(".relinkd/imapd_001.new"); got != "second" || !strings.Contains(err.Error(), "imapd_001.new") {
		t.Errorf("%q is left, and the error is %v", got, err)
	}
}

func TestNameIsFreedBeforeTheExchangeBack(t *testing.T) {
	x := onScratch(t)
	x.hook.once("commit: exchange back", func(path string) error { return os.Remove(path) })
	_, err := race(x, "commit: exchange", putForeign(x, "foreign"))
	wantForeign(t, err, "imapd_001")
	if got := x.content("imapd_001"); got != "foreign" {
		t.Errorf("the name leads to %q", got)
	}
	x.wantPrivate()
}

func TestExchangeBackFails(t *testing.T) {
	for _, label := range []fsys.Op{"commit: exchange back", "commit: move back"} {
		x := onScratch(t)
		if label == "commit: move back" {
			x.hook.once("commit: exchange back", func(path string) error { return os.Remove(path) })
		}
		x.hook.on(label, fails)
		_, err := race(x, "commit: exchange", putForeign(x, "foreign"))
		if !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), "kept as") {
			t.Errorf("error %v", err)
		}
		x.wantPrivate("imapd_001.drifted")
		if got := x.content(".relinkd/imapd_001.drifted"); got != "foreign" {
			t.Errorf("%q is kept", got)
		}
		x.hook.reset()
		if _, err := x.Clean(&Manifest{}); err != nil {
			t.Error(err)
		}
		x.wantPrivate("imapd_001.drifted")
	}
}

func TestNameIsFreedBeforeTheExchange(t *testing.T) {
	x := onScratch(t)
	if _, err := race(x, "commit: exchange", func() error { return os.Remove(x.copyPath(1)) }); err != nil {
		t.Error(err)
	}
	x.wantEqual("new", 1)
	x.wantOwned(1)
	x.wantPrivate()
}

func TestNewCopyIsGoneBeforeTheExchange(t *testing.T) {
	x := onScratch(t)
	_, err := race(x, "commit: exchange", func() error { return os.Remove(x.path(".relinkd/imapd_001.new")) })
	if !errors.Is(err, unix.ENOENT) {
		t.Errorf("error %v, want ENOENT", err)
	}
	x.wantEqual("old", 1)
	x.wantOwned(1)
}

// TestDriftedCopyIsKept sees that a copy which somebody has written into is kept when it is
// replaced, with exchange and without.
func TestDriftedCopyIsKept(t *testing.T) {
	for _, exchange := range []bool{true, false} {
		x := onScratch(t)
		if !exchange {
			x.hook.on("commit: exchange", func(string) error { return unix.EINVAL })
		}
		x.make(x.makeSource("old", "old"), 1)
		x.write("imapd_001", "somebody's work")
		if _, err := x.stage(x.makeSource("new", "new"), 1).Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		x.wantEqual("new", 1)
		x.wantOwned(1)
		x.wantPrivate("imapd_001.drifted")
		if got := x.content(".relinkd/imapd_001.drifted"); got != "somebody's work" {
			t.Errorf("%q is kept", got)
		}
	}
}

// TestCopyIsWrittenToBeforeTheExchange is the same for a writer that comes after the look.
func TestCopyIsWrittenToBeforeTheExchange(t *testing.T) {
	x := onScratch(t)
	if _, err := race(x, "commit: exchange", func() error {
		return os.WriteFile(x.copyPath(1), []byte("somebody's work"), 0)
	}); err != nil {
		t.Error(err)
	}
	x.wantEqual("new", 1)
	x.wantOwned(1)
	x.wantPrivate("imapd_001.drifted")
}

func TestFileSystemWithoutExchange(t *testing.T) {
	for _, errno := range []error{unix.EINVAL, unix.ENOSYS} {
		x := onScratch(t)
		x.hook.on("commit: exchange", func(string) error { return errno })
		x.make(x.makeSource("old", "old"), 1, 2)
		x.make(x.makeSource("new", "new"), 1, 2, 3)
		for n := 1; n <= 3; n++ {
			x.wantEqual("new", n)
		}
		x.wantOwned(1, 2, 3)
		x.wantPrivate()
	}
}

// TestCommitFailsAtEachCall makes each call of Commit fail for the second of three copies and sees
// that every copy is a whole one of one generation or the other, and that what is owned is true.
func TestCommitFailsAtEachCall(t *testing.T) {
	for _, tt := range []struct {
		label     fsys.Op
		before    func(x *fixture)
		committed int
		left      []string
	}{
		{label: "commit: exchange", committed: 1},
		{label: "commit: remove", committed: 2, left: []string{"imapd_002.new"}},
		{label: "commit: move", committed: 1, before: func(x *fixture) { must(x.t, x.Remove(2)) }},
		{label: "commit: keep", committed: 1, before: func(x *fixture) { x.write("imapd_002", "drifted") }},
		{label: "commit: replace", committed: 1,
			before: func(x *fixture) { x.hook.on("commit: exchange", func(string) error { return unix.EINVAL }) }},
	} {
		t.Run(string(tt.label), func(t *testing.T) {
			x := onScratch(t)
			x.make(x.makeSource("old", "old"), 1, 2, 3)
			staged := x.stage(x.makeSource("new", "new"), 1, 2, 3)
			if tt.before != nil {
				tt.before(x)
			}
			x.hook.on(tt.label, func(path string) error {
				if strings.Contains(path, "imapd_002") {
					return unix.EIO
				}
				return nil
			})
			committed, err := staged.Commit(t.Context())
			if !errors.Is(err, unix.EIO) {
				t.Errorf("error %v, want EIO", err)
			}
			if len(committed) != tt.committed {
				t.Errorf("%d copies are committed, want %d", len(committed), tt.committed)
			}
			for _, c := range committed {
				x.wantEqual("new", c.Number)
				if !slices.Contains(x.Owned(), c) {
					t.Errorf("committed %+v, but owned are %+v", c, x.Owned())
				}
			}
			for n := tt.committed + 1; n <= 3; n++ {
				if info, err := x.Pool.dir.Lstat(CopyName("imapd", n)); err == nil && !x.made(n, info) {
					t.Errorf("copy %d is no longer owned", n)
				}
			}
			x.wantPrivate(tt.left...)
		})
	}
}

func TestCommitIsCancelled(t *testing.T) {
	x := onScratch(t)
	staged := x.stage(x.makeSource("new", "new"), 1, 2, 3)
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	x.hook.on("commit: move", func(string) error {
		if calls++; calls == 2 {
			cancel()
		}
		return nil
	})
	committed, err := staged.Commit(ctx)
	if !errors.Is(err, context.Canceled) || len(committed) != 2 {
		t.Errorf("%d committed, error %v", len(committed), err)
	}
	x.wantOwned(1, 2)
	x.wantPrivate()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestCommitOverADriftedCopy sees that a copy's name leads to a file throughout, also when the file
// there was changed in place, and that the changed file is kept.
func TestCommitOverADriftedCopy(t *testing.T) {
	x := onScratch(t)
	src := x.makeSource("source", "source")
	x.make(src, 1)
	x.write("imapd_001", "drifted")
	staged := x.stage(src, 1)
	seen := 0
	for _, label := range []fsys.Op{"commit: keep", "commit: exchange", "commit: remove"} {
		x.hook.on(label, func(string) error {
			seen++
			if _, err := x.Pool.dir.Lstat("imapd_001"); err != nil {
				t.Errorf("before %s: %v", label, err)
			}
			return nil
		})
	}
	if _, err := staged.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if seen != 3 {
		t.Errorf("%d calls, want keep, exchange and remove", seen)
	}
	x.wantEqual("source", 1)
	x.wantPrivate("imapd_001.drifted")
}

// AT_EXECVE_CHECK is in Linux 6.14 and later, and no earlier distribution kernel has it.
func TestExecveCheck(t *testing.T) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	if got, want := ExecveCheck(), major > 6 || major == 6 && minor >= 14; got != want {
		t.Errorf("Linux %d.%d: %v", major, minor, got)
	}
}
