package pool

import (
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

func TestRemove(t *testing.T) {
	x := onScratch(t)
	src := x.makeSource("imapd", "content")
	x.make(src, 1, 2, 3)
	must(t, x.Remove(2))
	x.wantOwned(1, 3)
	if _, err := os.Lstat(x.copyPath(2)); !fsys.NotExist(err) {
		t.Errorf("imapd_002 is still there: %v", err)
	}
	must(t, os.Remove(x.copyPath(3)))
	must(t, x.Remove(3)) // gone already
	x.wantOwned(1)

	x.hook.on("remove: copy", fails)
	if err := x.Remove(1); !errors.Is(err, unix.EIO) {
		t.Errorf("error %v, want EIO", err)
	}
	x.wantOwned(1)
	x.hook.reset()

	x.write("imapd_001", "drifted")
	wantForeign(t, x.Remove(1), "imapd_001")
	if got := x.content("imapd_001"); got != "drifted" {
		t.Errorf("a drifted copy now holds %q", got)
	}
	x.write("imapd_004", "foreign")
	wantForeign(t, x.Remove(4), "imapd_004")
}

func TestClean(t *testing.T) {
	x := onScratch(t)
	for _, name := range []string{"imapd_001.new", "imapd_999.new", "imapd_000.new", "imapd.new", "pop3d_001.new", "imapd_001.drifted", "imapd.pristine"} {
		x.write(".relinkd/"+name, "")
	}
	x.hook.on("clean: remove", fails)
	if _, err := x.Clean(&Manifest{}); !errors.Is(err, unix.EIO) {
		t.Errorf("error %v, want EIO", err)
	}
	x.hook.reset()
	kept, err := x.Clean(&Manifest{})
	must(t, err)
	if len(kept) != 0 {
		t.Errorf("kept %q", kept)
	}
	x.wantPrivate("imapd.new", "imapd.pristine", "imapd_000.new", "imapd_001.drifted", "pop3d_001.new")
}

// TestCleanKeeps sees that what a crash in the midst of Commit has left is removed if relinkd made it, and
// kept if somebody else did: it came out of a copy's place.
func TestCleanKeeps(t *testing.T) {
	x := onScratch(t)
	m := &Manifest{Copies: map[int]fsys.Info{}, Staged: map[int]fsys.Info{}}
	for n := 1; n <= 4; n++ {
		x.write(fmt.Sprintf(".relinkd/imapd_%03d.new", n), fmt.Sprint("content ", n))
	}
	x.write(".relinkd/imapd_003.drifted", "")
	left := func(n int) fsys.Info { return lstat(t, x.path(fmt.Sprintf(".relinkd/imapd_%03d.new", n))) }
	m.Staged[1] = left(1)                                   // ours, staged
	m.Copies[2], m.Staged[2] = left(2), fsys.Info{Size: 10} // ours, of the generation before
	m.Staged[3] = fsys.Info{Size: 10}                       // somebody's
	m.Staged[4] = left(4)
	x.write(".relinkd/imapd_004.new", "ours, but written to since")
	x.hook.on("clean: keep", fails)
	if _, err := x.Clean(m); !errors.Is(err, unix.EIO) {
		t.Errorf("error %v, want EIO", err)
	}
	x.hook.reset()
	kept, err := x.Clean(m)
	must(t, err)
	if want := []string{"imapd_003.drifted.2", "imapd_004.drifted"}; !slices.Equal(kept, want) {
		t.Errorf("kept %q, want %q", kept, want)
	}
	x.wantPrivate("imapd_003.drifted", "imapd_003.drifted.2", "imapd_004.drifted")
	if got := x.content(".relinkd/imapd_003.drifted.2"); got != "content 3" {
		t.Errorf("%q is kept", got)
	}
}

// TestSetAttrs changes mode, owner and attributes of the source and sees that the copies follow,
// and keep their capabilities over the chown.
func TestSetAttrs(t *testing.T) {
	onEach(t, func(t *testing.T, x *fixture) {
		adorn(t, x.path(fstest.Packaged))
		src := x.source(fstest.Packaged)
		x.make(src, 1, 2, 3, 4, 5)
		must(t, os.Remove(x.copyPath(3)))
		must(t, os.Remove(x.copyPath(4)))
		must(t, os.Symlink(fstest.Packaged, x.copyPath(4)))
		x.write("imapd_005", "drifted")
		drifted := lstat(t, x.copyPath(5))

		uid, gid := os.Geteuid(), os.Getegid()
		if uid == 0 {
			uid, gid = 4321, 8765
		}
		attrs := attributes(t, x.path(fstest.Packaged))
		must(t, os.Chown(x.path(fstest.Packaged), uid, gid))
		for name, value := range attrs { // chown has dropped the capabilities
			must(t, unix.Setxattr(x.path(fstest.Packaged), name, []byte(value), 0))
		}
		must(t, unix.Setxattr(x.path(fstest.Packaged), "user.comment", []byte("overridden"), 0))
		must(t, unix.Chmod(x.path(fstest.Packaged), 0o4750))

		changed := x.source(fstest.Packaged)
		must(t, x.SetAttrs(t.Context(), changed))
		for _, n := range []int{1, 2} {
			x.wantEqual(fstest.Packaged, n)
			if info := lstat(t, x.copyPath(n)); info != x.owned[n].Info {
				t.Errorf("copy %d is recorded as %+v, but is %+v", n, x.owned[n].Info, info)
			}
		}
		if now := lstat(t, x.copyPath(5)); now != drifted {
			t.Errorf("a drifted copy was changed: %+v, now %+v", drifted, now)
		}
	})
}

func TestSetAttrsFailsAtEachCall(t *testing.T) {
	x := onScratch(t)
	src := x.makeSource("imapd", "content")
	x.make(src, 1, 2)
	must(t, os.Chmod(x.path("imapd"), 0o700))
	src = x.source("imapd")
	for _, label := range []fsys.Op{"attrs: chown", "attrs: chmod", "attrs: xattr", "attrs: sync"} {
		x.hook.reset()
		x.hook.once(label, fails)
		if err := x.SetAttrs(t.Context(), src); !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), "imapd_001") {
			t.Errorf("%s: error %v", label, err)
		}
		if err := x.Check(numbers(2)); err != nil {
			t.Error(err)
		}
	}
	must(t, x.SetAttrs(t.Context(), src))
	x.wantOwned(1, 2)
	x.wantEqual("imapd", 1)
	x.wantEqual("imapd", 2)
}

func TestVerify(t *testing.T) {
	onEach(t, func(t *testing.T, x *fixture) {
		must(t, unix.Setxattr(x.path(fstest.Packaged), "user.comment", []byte("1"), 0))
		src := x.source(fstest.Packaged)
		problems := map[string]func(path string) error{
			"":        func(string) error { return nil },
			"missing": os.Remove,
			"is a symbolic link": func(path string) error {
				return errors.Join(os.Remove(path), os.Symlink(fstest.Packaged, path))
			},
			"is not a regular file": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) },
			"is packaged itself by another name": func(path string) error {
				return errors.Join(os.Remove(path), os.Link(x.path(fstest.Packaged), path))
			},
			"has 5 bytes, should have ": func(path string) error { return os.Truncate(path, 5) },
			"content differs from packaged": func(path string) error {
				f, err := os.OpenFile(path, os.O_WRONLY, 0)
				if err != nil {
					return err
				}
				_, err = f.WriteAt([]byte("!"), src.Info().Size-1)
				return errors.Join(err, f.Close(), os.Chtimes(path, src.Info().ModTime(), src.Info().ModTime()))
			},
			"mode is 0644, should be 0755":            func(path string) error { return os.Chmod(path, 0o644) },
			"modification time is 1970-01-01 00:00:0": func(path string) error { setMtime(t, path, 1); return nil },
			"extended attribute user.comment differs from packaged": func(path string) error {
				return unix.Setxattr(path, "user.comment", []byte("2"), 0)
			},
			"extended attribute user.comment of packaged is missing": func(path string) error {
				return unix.Removexattr(path, "user.comment")
			},
			"extended attribute user.more is not on packaged": func(path string) error {
				return unix.Setxattr(path, "user.more", nil, 0)
			},
		}
		if os.Geteuid() == 0 {
			problems["owner is 12:34, should be 0:0"] = func(path string) error { return os.Chown(path, 12, 34) }
		} else {
			t.Log("not root: left out a foreign owner")
		}
		for want, spoil := range problems {
			x.make(src, 1)
			must(t, spoil(x.copyPath(1)))
			problem, err := x.Verify(t.Context(), src, 1)
			if err != nil || !strings.HasPrefix(problem, want) || want == "" && problem != "" {
				t.Errorf("Verify = %q (%v), want %q", problem, err, want)
			}
			must(t, os.RemoveAll(x.copyPath(1)))
		}
	})
}

func TestVerifyMeetsAWriter(t *testing.T) {
	x := onScratch(t)
	src := x.makeSource("imapd", strings.Repeat("x", readBuffer))
	x.make(src, 1)
	asked := 0
	problem, err := x.Verify(lookedAt{t.Context(), func() {
		if asked++; asked == 2 { // the end of the file is not read yet
			f, err := os.OpenFile(x.copyPath(1), os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteAt([]byte("y"), 0)
			must(t, errors.Join(err, f.Close()))
		}
	}}, src, 1)
	if err != nil || problem != "was written to while it was read" {
		t.Errorf("Verify = %q, %v", problem, err)
	}
}

// Somebody writes to a copy while its attributes are set: what it is then is not taken for what relinkd has made.
func TestSetAttrsWhileSomebodyWrites(t *testing.T) {
	x := onScratch(t)
	x.make(x.makeSource("imapd", "content"), 1, 2)
	must(t, os.Chmod(x.path("imapd"), 0o700))
	x.hook.once("attrs: sync", func(path string) error { return os.WriteFile(path, []byte("another content"), 0) })
	must(t, x.SetAttrs(t.Context(), x.source("imapd")))
	for n, want := range map[int]bool{1: false, 2: true} {
		if got := x.intact(n, lstat(t, x.copyPath(n))); got != want {
			t.Errorf("copy %d is taken for intact: %v", n, got)
		}
	}
}
