package fsys

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/internal/fstest"
)

// must ends the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens a directory for the test's length.
func open(t testing.TB, path string, fs *FS) *Dir {
	t.Helper()
	d, err := OpenDir(path, fs)
	must(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

func write(t testing.TB, d *Dir, name, content string) ID {
	t.Helper()
	must(t, os.WriteFile(d.Join(name), []byte(content), 0o644))
	return lstat(t, d, name).ID
}

func lstat(t testing.TB, d *Dir, name string) Info {
	t.Helper()
	info, err := d.Lstat(name)
	must(t, err)
	return info
}

func names(t testing.TB, d *Dir) []string {
	t.Helper()
	all, err := d.Names()
	must(t, err)
	return all
}

// change is one changing call on a directory that holds the files a and b, a directory sub and a link.
type change struct {
	name string
	path string // of the error, relative
	call func(d *Dir) error
	want []string // the names afterwards
}

func changes() []change {
	return []change{
		{"create", "new", func(d *Dir) error {
			f, err := d.Create("test: create", "new", 0o600)
			if err == nil {
				err = f.Close()
			}
			return err
		}, []string{"a", "b", "link", "new", "sub"}},
		{"file", "a", func(d *Dir) error {
			f, err := d.Open("a")
			if err != nil {
				return err
			}
			defer f.Close()
			return d.File("test: file", f, func(fd int) error { return unix.Fchmod(fd, 0o755) })
		}, []string{"a", "b", "link", "sub"}},
		{"mkdir", "new", func(d *Dir) error { return d.Mkdir("test: mkdir", "new", 0o755) }, []string{"a", "b", "link", "new", "sub"}},
		{"symlink", "new", func(d *Dir) error { return d.Symlink("test: symlink", "a", "new") }, []string{"a", "b", "link", "new", "sub"}},
		{"link", "new", func(d *Dir) error { return d.Link("test: link", "a", d, "new") }, []string{"a", "b", "link", "new", "sub"}},
		{"replace", "b", func(d *Dir) error { return d.Replace("test: replace", "a", d, "b") }, []string{"b", "link", "sub"}},
		{"move", "new", func(d *Dir) error { return d.Move("test: move", "a", d, "new") }, []string{"b", "link", "new", "sub"}},
		{"exchange", "link", func(d *Dir) error { return d.Exchange("test: exchange", "a", d, "link") }, []string{"a", "b", "link", "sub"}},
		{"unlink", "link", func(d *Dir) error { return d.Unlink("test: unlink", "link") }, []string{"a", "b", "sub"}},
		{"rmdir", "sub", func(d *Dir) error { return d.Rmdir("test: rmdir", "sub") }, []string{"a", "b", "link"}},
		{"sync", "", func(d *Dir) error { return d.Sync("test: sync") }, []string{"a", "b", "link", "sub"}},
		{"chmod", "", func(d *Dir) error { return d.Chmod("test: chmod", 0o750) }, []string{"a", "b", "link", "sub"}},
	}
}

func filled(t *testing.T, dir string, fs *FS) *Dir {
	t.Helper()
	own, err := os.MkdirTemp(dir, "fsys")
	must(t, err)
	d := open(t, own, fs)
	write(t, d, "a", "A")
	write(t, d, "b", "B")
	must(t, os.Mkdir(d.Join("sub"), 0o755))
	must(t, os.Symlink("a", d.Join("link")))
	return d
}

func TestChanges(t *testing.T) {
	fstest.Each(t, func(t *testing.T, dir string) {
		for _, c := range changes() {
			t.Run(c.name, func(t *testing.T) {
				d := filled(t, dir, nil)
				must(t, c.call(d))
				if got := names(t, d); !slices.Equal(got, c.want) {
					t.Errorf("left %q, want %q", got, c.want)
				}
			})
		}
	})
}

// TestBefore: the hook sees each changing call, and one that it fails is not made.
func TestBefore(t *testing.T) {
	for _, c := range changes() {
		t.Run(c.name, func(t *testing.T) {
			op := Op("test: " + c.name)
			var seen []string
			d := filled(t, t.TempDir(), &FS{Before: func(op Op, path string) error {
				seen = append(seen, string(op)+" "+path)
				return unix.ENOSPC
			}})
			mode := lstat(t, d, "a").Mode
			err := c.call(d)
			path := filepath.Join(d.Path(), c.path)
			if want := []string{string(op) + " " + path}; !slices.Equal(seen, want) {
				t.Errorf("seen %q, want %q", seen, want)
			}
			var e *Error
			if !errors.As(err, &e) || e.Op != op || e.Path != path || !errors.Is(err, unix.ENOSPC) {
				t.Errorf("error %#v, want that of %s on %s", err, op, path)
			}
			if want := string(op) + " " + path + ": no space left on device"; err.Error() != want {
				t.Errorf("error %q, want %q", err, want)
			}
			if got, want := names(t, d), []string{"a", "b", "link", "sub"}; !slices.Equal(got, want) {
				t.Errorf("left %q, want %q", got, want)
			}
			if lstat(t, d, "a").Mode != mode || !lstat(t, d, "link").IsSymlink() {
				t.Error("the call was made all the same")
			}
		})
	}
}

// TestRefused has what each call must not do, and the errno that its callers look for.
func TestRefused(t *testing.T) {
	fstest.Each(t, func(t *testing.T, dir string) {
		d := filled(t, dir, nil)
		sub, err := d.OpenDir("sub")
		must(t, err)
		defer sub.Close()
		before := names(t, d)
		for _, test := range []struct {
			name string
			err  error
			want unix.Errno
			text string
		}{
			{"create over a file", second(d.Create("x: create", "a", 0o600)), unix.EEXIST, "x: create " + d.Join("a") + ": file exists"},
			{"create through a link", second(d.Create("x: create", "link", 0o600)), unix.EEXIST, "x: create " + d.Join("link") + ": file exists"},
			{"mkdir over a file", d.Mkdir("x: mkdir", "a", 0o755), unix.EEXIST, "x: mkdir " + d.Join("a") + ": file exists"},
			{"symlink over a link", d.Symlink("x: symlink", "b", "link"), unix.EEXIST, "x: symlink " + d.Join("link") + ": file exists"},
			{"link over a file", d.Link("x: link", "a", d, "b"), unix.EEXIST, "x: link " + d.Join("b") + ": file exists"},
			{"link of nothing", d.Link("x: link", "none", sub, "b"), unix.ENOENT, "x: link " + sub.Join("b") + ": no such file or directory"},
			{"move over a file", d.Move("x: move", "a", d, "b"), unix.EEXIST, "x: move " + d.Join("b") + ": file exists"},
			{"move over a link", d.Move("x: move", "a", d, "link"), unix.EEXIST, "x: move " + d.Join("link") + ": file exists"},
			{"move of nothing", d.Move("x: move", "none", sub, "new"), unix.ENOENT, "x: move " + sub.Join("new") + ": no such file or directory"},
			{"replace by nothing", d.Replace("x: rename", "none", d, "a"), unix.ENOENT, "x: rename " + d.Join("a") + ": no such file or directory"},
			{"replace a directory", d.Replace("x: rename", "a", d, "sub"), unix.EISDIR, "x: rename " + d.Join("sub") + ": is a directory"},
			{"exchange with nothing", d.Exchange("x: exchange", "a", d, "none"), unix.ENOENT, "x: exchange " + d.Join("none") + ": no such file or directory"},
			{"unlink of nothing", d.Unlink("x: unlink", "none"), unix.ENOENT, "x: unlink " + d.Join("none") + ": no such file or directory"},
			{"unlink of a directory", d.Unlink("x: unlink", "sub"), unix.EISDIR, "x: unlink " + d.Join("sub") + ": is a directory"},
			{"rmdir of a file", d.Rmdir("x: rmdir", "a"), unix.ENOTDIR, "x: rmdir " + d.Join("a") + ": not a directory"},
			{"open of a link", second(d.Open("link")), unix.ELOOP, "open " + d.Join("link") + ": too many levels of symbolic links"},
			{"open of nothing", second(d.Open("none")), unix.ENOENT, "open " + d.Join("none") + ": no such file or directory"},
			{"directory of a file", second(d.OpenDir("a")), unix.ENOTDIR, "open directory " + d.Join("a") + ": not a directory"},
			{"directory of nothing", second(OpenDir(d.Join("none"), nil)), unix.ENOENT, "open directory " + d.Join("none") + ": no such file or directory"},
			{"stat of nothing", second(d.Lstat("none")), unix.ENOENT, "stat " + d.Join("none") + ": no such file or directory"},
			{"text of a file", second(d.Readlink("a")), unix.EINVAL, "read link " + d.Join("a") + ": invalid argument"},
		} {
			if !errors.Is(test.err, test.want) || test.err.Error() != test.text {
				t.Errorf("%s: %v, want %q", test.name, test.err, test.text)
			}
		}
		if after := names(t, d); !slices.Equal(after, before) {
			t.Errorf("left %q, want %q", after, before)
		}
	})
}

func second[T any](_ T, err error) error { return err }

// TestOpenDirLink: a directory inside an open one is never reached through a symbolic link.
func TestOpenDirLink(t *testing.T) {
	d := filled(t, t.TempDir(), nil)
	must(t, os.Symlink("sub", d.Join("way")))
	if sub, err := d.OpenDir("way"); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("%v, %v, want ENOTDIR", sub, err)
	}
}

// TestOpenFifo: a fifo that nobody writes to does not hold the opener up.
func TestOpenFifo(t *testing.T) {
	d := filled(t, t.TempDir(), nil)
	must(t, unix.Mkfifo(d.Join("fifo"), 0o644))
	f, err := d.Open("fifo")
	must(t, err)
	defer f.Close()
	if info, err := Fstat(f); err != nil || info.IsRegular() {
		t.Errorf("%+v, %v, want a fifo", info, err)
	}
}

// TestDirStays: an open directory is the same one under another name, and its files are reached.
func TestDirStays(t *testing.T) {
	parent := t.TempDir()
	d := filled(t, parent, nil)
	before, err := d.Stat()
	must(t, err)
	must(t, os.Rename(d.Path(), filepath.Join(parent, "renamed")))
	after, err := d.Stat()
	if err != nil || after.ID != before.ID || !after.IsDir() {
		t.Errorf("%+v, %v, want %+v", after, err, before)
	}
	must(t, d.Unlink("test: unlink", "a"))
	if got := names(t, d); !slices.Equal(got, []string{"b", "link", "sub"}) {
		t.Errorf("left %q", got)
	}
}

func TestInfo(t *testing.T) {
	d := filled(t, t.TempDir(), nil)
	when := time.Unix(1_000_000_000, 123_456_789)
	must(t, os.Chtimes(d.Join("a"), when, when))
	must(t, os.Chmod(d.Join("a"), 0o755|os.ModeSetuid))
	must(t, os.Link(d.Join("a"), d.Join("a2")))

	a := lstat(t, d, "a")
	if !a.IsRegular() || a.IsSymlink() || a.IsDir() {
		t.Errorf("mode %o is not a regular file's", a.Mode)
	}
	if a.Perm() != 0o4755 || a.Size != 1 || a.Nlink != 2 || a.UID != uint32(os.Geteuid()) {
		t.Errorf("%+v, want mode 4755, one byte, two names, our own", a)
	}
	if a.Mtime != when.UnixNano() || !a.ModTime().Equal(when) {
		t.Errorf("modified at %v, want %v", a.ModTime(), when)
	}
	link := lstat(t, d, "link")
	if !link.IsSymlink() || link.IsRegular() {
		t.Errorf("mode %o is not a link's", link.Mode)
	}
	if text, err := d.Readlink("link"); text != "a" || err != nil {
		t.Errorf("the link says %q, %v", text, err)
	}
	if led, err := d.StatTarget("link"); err != nil || led != a {
		t.Errorf("the link leads to %+v (%v), want %+v", led, err, a)
	}
	if a.IsZero() || !(ID{}).IsZero() {
		t.Error("a file has the identity of none")
	}
}

// TestSameContent: a rename, a chmod and a further name leave the content; a write does not.
func TestSameContent(t *testing.T) {
	d := filled(t, t.TempDir(), nil)
	a := lstat(t, d, "a")
	must(t, d.Replace("test: rename", "a", d, "c"))
	must(t, os.Chmod(d.Join("c"), 0o755))
	must(t, d.Link("test: link", "c", d, "d"))
	if now := lstat(t, d, "c"); !now.SameContent(a) || now == a {
		t.Errorf("%+v and %+v are not one content in two states", now, a)
	}
	must(t, os.Truncate(d.Join("c"), 5))
	if lstat(t, d, "c").SameContent(a) {
		t.Error("a longer file has the same content")
	}
	if lstat(t, d, "b").SameContent(a) {
		t.Error("another file has the same content")
	}
}

// TestInterrupted: EINTR is no failure; the call is made again, the hook is not.
func TestInterrupted(t *testing.T) {
	hooks, calls := 0, 0
	d := filled(t, t.TempDir(), &FS{Before: func(Op, string) error { hooks++; return nil }})
	f, err := d.Open("a")
	must(t, err)
	defer f.Close()
	must(t, d.File("test: interrupted", f, func(int) error {
		if calls++; calls < 3 {
			return unix.EINTR
		}
		return nil
	}))
	if hooks != 1 || calls != 3 {
		t.Errorf("%d hooks and %d calls, want 1 and 3", hooks, calls)
	}
}

func TestErrors(t *testing.T) {
	wrap := func(errno unix.Errno) error { return &Error{Op: "x: y", Path: "/p", Err: errno} }
	for _, test := range []struct {
		name string
		is   func(error) bool
		yes  []unix.Errno
	}{
		{"NotExist", NotExist, []unix.Errno{unix.ENOENT}},
		{"Exist", Exist, []unix.Errno{unix.EEXIST}},
		{"NoExchange", NoExchange, []unix.Errno{unix.EINVAL, unix.ENOSYS}},
	} {
		for _, errno := range []unix.Errno{unix.ENOENT, unix.EEXIST, unix.EINVAL, unix.ENOSYS, unix.EIO, unix.EXDEV} {
			if got, want := test.is(wrap(errno)), slices.Contains(test.yes, errno); got != want {
				t.Errorf("%s of %v: %v", test.name, errno, got)
			}
		}
		if test.is(nil) {
			t.Errorf("%s of no error", test.name)
		}
	}
}

// TestClosed: a closed directory gives errors, not another directory's names.
func TestClosed(t *testing.T) {
	path := t.TempDir()
	d, err := OpenDir(path, nil)
	must(t, err)
	must(t, d.Close())
	if _, err := d.Names(); err == nil || !strings.HasPrefix(err.Error(), "list directory "+path+": ") {
		t.Errorf("names: %v", err)
	}
	if _, err := d.Stat(); !errors.Is(err, unix.EBADF) {
		t.Errorf("stat: %v, want EBADF", err)
	}
}
