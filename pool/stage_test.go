package pool

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/internal/fstest"
)

func TestCopiesEqualTheirSource(t *testing.T) {
	onEach(t, func(t *testing.T, x *fixture) {
		adorn(t, x.path(fstest.Packaged))
		src := x.source(fstest.Packaged)
		staged := x.stage(src, 3, 1, 2, 3)
		x.wantPrivate("imapd_001.new", "imapd_002.new", "imapd_003.new")
		if err := staged.Executable(); err != nil {
			t.Error(err)
		}
		x.wantOwned()
		copies, err := staged.Commit(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(copies, x.Owned()) {
			t.Errorf("committed %+v, owned %+v", copies, x.Owned())
		}
		x.wantOwned(1, 2, 3)
		x.wantPrivate()
		for _, c := range copies {
			if c.SHA256 != src.SHA256() {
				t.Errorf("copy %d is of generation %s, want %s", c.Number, c.SHA256, src.SHA256())
			}
			x.wantEqual(fstest.Packaged, c.Number)
			execute(t, x.copyPath(c.Number))
			if problem, err := x.Verify(t.Context(), src, c.Number); problem != "" || err != nil {
				t.Errorf("Verify(%d) = %q, %v", c.Number, problem, err)
			}
		}
	})
}

// TestDefaultsOfTheDirectoryAreRemoved sees that a copy has no attribute that its source has not:
// the private directory hands out its group and an access list.
func TestDefaultsOfTheDirectoryAreRemoved(t *testing.T) {
	onEach(t, func(t *testing.T, x *fixture) {
		private := x.path(".relinkd")
		if err := unix.Setxattr(private, "system.posix_acl_default", accessList(4321), 0); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			if err := unix.Chown(private, 0, 5678); err != nil {
				t.Fatal(err)
			}
		}
		if err := unix.Chmod(private, 0o2755); err != nil {
			t.Fatal(err)
		}
		x.make(x.source(fstest.Packaged), 1)
		x.wantEqual(fstest.Packaged, 1)
	})
}

func TestReflinkWhereThereAreAny(t *testing.T) {
	onEach(t, func(t *testing.T, x *fixture) {
		x.make(x.source(fstest.Packaged), 1)
		copied := slices.Contains(x.hook.ops(), "clone: copy")
		switch kind := filepath.Base(t.Name()); kind {
		case "xfs", "btrfs":
			if copied {
				t.Errorf("%s has reflinks, but the content was copied", kind)
			}
		case "ext4", "tmpfs":
			if !copied {
				t.Errorf("%s has no reflinks, but nothing was copied", kind)
			}
		}
	})
}

// TestCopyWithoutReflink takes away the reflink where there is one.
func TestCopyWithoutReflink(t *testing.T) {
	onEach(t, func(t *testing.T, x *fixture) {
		adorn(t, x.path(fstest.Packaged))
		x.hook.on("clone: reflink", func(string) error { return unix.EOPNOTSUPP })
		x.make(x.source(fstest.Packaged), 1)
		x.wantEqual(fstest.Packaged, 1)
	})
}

func TestCopyByHand(t *testing.T) {
	onEach(t, func(t *testing.T, x *fixture) {
		content := strings.Repeat("0123456789abcde\n", readBuffer/16) + "and more"
		src := x.makeSource("imapd", content)
		for _, done := range []int64{0, 1, readBuffer, int64(len(content)) - 1} {
			f, err := os.Create(x.path("by-hand"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString(content[:done]); err != nil {
				t.Fatal(err)
			}
			err = src.copyByHand(t.Context(), int(f.Fd()), done)
			f.Close()
			if err != nil || x.content("by-hand") != content {
				t.Errorf("from byte %d on: %v, %d bytes of %d", done, err, len(x.content("by-hand")), len(content))
			}
		}
	})
}

// TestSourceOnAnotherFileSystem is the case in which neither a reflink nor copy_file_range works.
func TestSourceOnAnotherFileSystem(t *testing.T) {
	other := &fixture{t: t, dir: fstest.Small(t, 4<<20)}
	src := other.makeSource("imapd", strings.Repeat("x", 3<<20))
	x := onScratch(t)
	x.make(src, 1)
	if x.content("imapd_001") != other.content("imapd") {
		t.Error("content differs")
	}
}

func TestEmptyAndOddSizes(t *testing.T) {
	onEach(t, func(t *testing.T, x *fixture) {
		for i, size := range []int{0, 1, 4095, 4097, copyChunk + 1} {
			name := "source" + string(rune('a'+i))
			x.make(x.makeSource(name, strings.Repeat("y", size)), i+1)
			x.wantEqual(name, i+1)
		}
	})
}

// TestMoreThanABatch makes more copies than are open at once.
func TestMoreThanABatch(t *testing.T) {
	x := onScratch(t)
	src := x.makeSource("imapd", "#!/bin/true\n")
	all := numbers(stageBatch + 3)
	x.make(src, all...)
	x.wantOwned(all...)
	for _, n := range all {
		x.wantEqual("imapd", n)
	}
}

// TestStageFailsAtEachCall makes each call of Stage fail, at the first copy and at a later one,
// and sees that nothing is left and nothing in place was touched.
func TestStageFailsAtEachCall(t *testing.T) {
	x := onScratch(t)
	src := x.makeSource("imapd", "new")
	x.write(".relinkd/imapd_002.new", "a left-over")
	if err := x.stage(src, 1, 2, 3).Discard(); err != nil {
		t.Fatal(err)
	}
	labels := x.hook.ops()
	if len(labels) < 9 {
		t.Fatalf("too few labels to be true: %q", labels)
	}
	for _, label := range labels {
		if label == "discard: remove" {
			continue // has a test of its own
		}
		for _, nth := range []int{1, 2} {
			if label == "clone: remove left-over" && nth > 1 {
				continue // there is but one
			}
			x.hook.reset()
			x.write(".relinkd/imapd_002.new", "a left-over")
			calls := 0
			x.hook.on(label, func(string) error {
				if calls++; calls == nth {
					return unix.EIO
				}
				return nil
			})
			_, err := x.Stage(t.Context(), src, []int{1, 2, 3})
			if !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), "cannot clone imapd_00") {
				t.Errorf("%s, call %d: error %v", label, nth, err)
			}
			x.hook.reset()
			if _, err := x.Clean(&Manifest{}); err != nil { // the left-over of a failure before its turn came
				t.Fatal(err)
			}
			if calls >= nth && label != "clone: create" && label != "clone: remove left-over" {
				x.wantPrivate()
			}
		}
	}
	x.wantOwned()
}

func TestDiscardFails(t *testing.T) {
	x := onScratch(t)
	staged := x.stage(x.makeSource("imapd", "new"), 1, 2)
	x.hook.once("discard: remove", fails)
	if err := staged.Discard(); !errors.Is(err, unix.EIO) {
		t.Errorf("error %v, want EIO", err)
	}
	x.wantPrivate("imapd_001.new") // the other one is gone all the same
	if _, err := x.Clean(&Manifest{}); err != nil {
		t.Error(err)
	}
	x.wantPrivate()
}

func TestNoSpace(t *testing.T) {
	x := newFixture(t, fstest.Small(t, 1<<20))
	src := x.makeSource("imapd", strings.Repeat("z", 300<<10))
	_, err := x.Stage(t.Context(), src, numbers(5))
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "cannot clone imapd_003") {
		t.Errorf("error %v, want no space for imapd_003", err)
	}
	x.wantPrivate()
	x.make(src, 1, 2) // fits again
}

func TestSourceChangesWhileItIsCloned(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, x *fixture){
		"grows":        func(t *testing.T, x *fixture) { x.write("imapd", "original and more") },
		"shrinks":      func(t *testing.T, x *fixture) { x.write("imapd", "orig") },
		"is rewritten": func(t *testing.T, x *fixture) { x.write("imapd", "modified") },
		"other mode": func(t *testing.T, x *fixture) {
			if err := os.Chmod(x.path("imapd"), 0o700); err != nil {
				t.Error(err)
			}
		},
		"other attributes": func(t *testing.T, x *fixture) {
			if err := unix.Setxattr(x.path("imapd"), "user.new", []byte("1"), 0); err != nil {
				t.Error(err)
			}
		},
	} {
		for _, when := range []fsys.Op{"clone: create", "clone: copy", "clone: chown", "clone: sync", "clone: check"} {
			t.Run(name+" at "+string(when), func(t *testing.T) {
				x := onScratch(t)
				x.hook.on("clone: reflink", func(string) error { return unix.EOPNOTSUPP })
				src := x.makeSource("imapd", "original")
				setMtime(t, x.path("imapd"), 1) // so that a rewriting shows in the time
				src, err := Known(src.File(), src.SHA256())
				if err != nil {
					t.Fatal(err)
				}
				x.hook.once(when, func(string) error { change(t, x); return nil })
				if _, err := x.Stage(t.Context(), src, []int{1, 2}); !errors.Is(err, ErrChanged) {
					t.Errorf("error %v, want ErrChanged", err)
				}
				x.wantPrivate()
			})
		}
	}
}

// TestSourceIsRenamedWhileItIsCloned sees that what a package manager does to a complete file, a
// rename and a backup link, is no change.
func TestSourceIsRenamedWhileItIsCloned(t *testing.T) {
	x := onScratch(t)
	src := x.makeSource("imapd", "original")
	x.hook.once("clone: chown", func(string) error {
		return errors.Join(os.Link(x.path("imapd"), x.path("imapd.dpkg-tmp")), os.Rename(x.path("imapd"), x.path("moved")))
	})
	x.make(src, 1)
	x.wantEqual("moved", 1)
}

// TestTheFileSystemDoesNotDoAsTold sees that a copy which does not equal its source is not staged.
func TestTheFileSystemDoesNotDoAsTold(t *testing.T) {
	for what, spoil := range map[string]func(path string) error{
		"content differs":   func(path string) error { return os.WriteFile(path, []byte("0riginal"), 0) },
		"has 3 bytes":       func(path string) error { return os.Truncate(path, 3) },
		"mode is 0600":      func(path string) error { return os.Chmod(path, 0o600) },
		"modification time": func(path string) error { return unix.Utimes(path, make([]unix.Timeval, 2)) },
		"user.more":         func(path string) error { return unix.Setxattr(path, "user.more", nil, 0) },
		"user.gone":         func(path string) error { return unix.Removexattr(path, "user.gone") },
		"user.other":        func(path string) error { return unix.Setxattr(path, "user.other", []byte("2"), 0) },
	} {
		x := onScratch(t)
		x.write("imapd", "original")
		for _, name := range []string{"user.gone", "user.other"} {
			if err := unix.Setxattr(x.path("imapd"), name, []byte("1"), 0); err != nil {
				t.Fatal(err)
			}
		}
		x.hook.once("clone: sync", spoil)
		_, err := x.Stage(t.Context(), x.source("imapd"), []int{1})
		if err == nil || !strings.Contains(err.Error(), what) || errors.Is(err, ErrChanged) {
			t.Errorf("error %v, want %q", err, what)
		}
		x.wantPrivate()
	}
}

func TestStageIsCancelled(t *testing.T) {
	for _, label := range []fsys.Op{"clone: create", "clone: copy", "clone: mtime", "clone: sync", "clone: check"} {
		x := onScratch(t)
		x.hook.on("clone: reflink", func(string) error { return unix.EOPNOTSUPP })
		src := x.makeSource("imapd", strings.Repeat("original", 100))
		ctx, cancel := context.WithCancel(t.Context())
		x.hook.once(label, func(string) error { cancel(); return nil })
		if _, err := x.Stage(ctx, src, numbers(20)); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled at %s: %v", label, err)
		}
		x.wantPrivate()
		created := 0
		for _, op := range x.hook.called {
			if op == "clone: create" {
				created++
			}
		}
		if (label == "clone: create" || label == "clone: copy" || label == "clone: mtime") && created != 1 {
			t.Errorf("cancelled at %s of the first copy, but %d were begun", label, created)
		}
	}
}

// TestStageBesideTheOwner has the race detector look at Stage and Verify beside the owner's calls.
func TestStageBesideTheOwner(t *testing.T) {
	x := onScratch(t)
	src := x.makeSource("imapd", "new")
	x.make(src, 1)
	done := make(chan error)
	go func() {
		s, err := x.Stage(context.Background(), src, numbers(30))
		if err == nil {
			err = s.Discard()
		}
		done <- err
	}()
	go func() {
		_, err := x.Verify(context.Background(), src, 1)
		done <- err
	}()
	for pending := 2; pending > 0; {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			pending--
		default:
			x.Own(x.Owned()[0])
			if err := x.Check([]int{1}); err != nil {
				t.Error(err)
			}
		}
	}
}
