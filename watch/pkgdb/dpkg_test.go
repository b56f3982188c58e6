package pkgdb

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

// adminDir fakes a database of dpkg: its lists are replaced as dpkg does it.
type adminDir struct {
	t   *testing.T
	dir string
}

func newAdminDir(t *testing.T) adminDir {
	a := adminDir{t, filepath.Join(t.TempDir(), "dpkg")}
	check(t, os.MkdirAll(filepath.Join(a.dir, "info"), 0o755))
	return a
}

// list replaces the list of a package.
func (a adminDir) list(pkg string, lines ...string) {
	a.t.Helper()
	a.write(filepath.Join("info", pkg+".list"), lines...)
}

func (a adminDir) write(name string, lines ...string) {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	check(a.t, os.WriteFile(path+"-new", []byte(strings.Join(lines, "\n")+"\n"), 0o644))
	check(a.t, os.Rename(path+"-new", path))
}

func (a adminDir) drop(pkg string) {
	a.t.Helper()
	check(a.t, os.Remove(filepath.Join(a.dir, "info", pkg+".list")))
}

// removed waits until the answer is certain, and checks it.
func removed(t *testing.T, d *Lists, want bool, when string) {
	t.Helper()
	await(t, "a certain answer", func() bool {
		d.mu.Lock()
		_, sure, err := d.look(time.Now())
		d.mu.Unlock()
		check(t, err)
		return sure
	})
	if reason, err := d.Removed(time.Now()); (reason != "") != want || err != nil {
		t.Errorf("%s: %q, %v, want removed: %v", when, reason, err, want)
	}
}

// learn waits until it is known whether a list names the path.
func learn(t *testing.T, d *Lists) (named bool) {
	t.Helper()
	await(t, "the lists", func() bool {
		n, sure, err := d.Learn(time.Now())
		check(t, err)
		named = n
		return sure
	})
	return named
}

const imapd = "/usr/lib/cyrus/bin/imapd"

func TestDpkgRemoved(t *testing.T) {
	a := newAdminDir(t)
	d := NewLists(a.dir, imapd, false)
	a.list("base", "/.", imapd+"x", "x"+imapd, imapd+"/")
	if learn(t, d) || d.Named() {
		t.Fatal("named by a list of other paths")
	}
	removed(t, d, false, "never named")

	a.list("cyrus-imapd:amd64", "/.", "/usr", imapd)
	if !learn(t, d) || !d.Named() {
		t.Fatal("not named")
	}
	removed(t, d, false, "named")
	a.list("cyrus-imapd:amd64", "/.", imapd, "/etc/imapd.conf")
	removed(t, d, false, "upgraded")

	// It moves to another package: named by both, then by that one.
	a.list("cyrus-murder", "/.", imapd)
	a.list("cyrus-imapd:amd64", "/.", "/etc/imapd.conf")
	removed(t, d, false, "moved to another package")

	a.list("cyrus-murder", "/etc/murder.conf")
	removed(t, d, true, "removed, the configuration kept")
	a.drop("cyrus-murder")
	removed(t, d, true, "purged")
	learn(t, d)
	removed(t, d, true, "looked at by the census meanwhile")

	// A source that no package brought is no package's to remove.
	d.Forget()
	if learn(t, d) || d.Named() {
		t.Fatal("named after a source came by hand")
	}
	removed(t, d, false, "installed by hand")
}

func TestDpkgRemembered(t *testing.T) {
	a := newAdminDir(t)
	removed(t, NewLists(a.dir, imapd, true), true, "removed while nobody watched")
	removed(t, NewLists(a.dir, imapd, false), false, "never known")
}

// TestDpkgChanging does not believe what it reads while the lists change.
func TestDpkgChanging(t *testing.T) {
	a := newAdminDir(t)
	d := NewLists(a.dir, imapd, false)
	a.list("cyrus-imapd", imapd)
	learn(t, d)
	a.drop("cyrus-imapd")
	info, err := fsys.Lstat(filepath.Join(a.dir, "info"))
	check(t, err)
	if reason, err := d.Removed(info.ModTime().Add(tick - 1)); reason != "" || err != nil {
		t.Errorf("right after a change: %q, %v", reason, err)
	}
	if reason, err := d.Removed(info.ModTime().Add(tick)); reason == "" || err != nil {
		t.Errorf("after a rest: %q, %v", reason, err)
	}
}

// TestDpkgMoving moves the path from one package to another while the lists are read: from one that
// is yet to be read to one that was. A fifo among them stops the reader halfway.
func TestDpkgMoving(t *testing.T) {
	a := newAdminDir(t)
	d := NewLists(a.dir, imapd, true)
	a.list("a", "/.")
	a.list("z", imapd)
	halfway := filepath.Join(a.dir, "info", "m.list")
	check(t, unix.Mkfifo(halfway, 0o644))
	later := time.Now().Add(time.Minute) // the lists are long at rest

	type answer struct {
		reason string
		err    error
	}
	got := make(chan answer)
	go func() {
		reason, err := d.Removed(later)
		got <- answer{reason, err}
	}()
	fifo, err := os.OpenFile(halfway, os.O_WRONLY, 0) // returns when the reader is there
	check(t, err)
	a.list("a", imapd)
	a.list("z", "/.")
	check(t, fifo.Close())
	if a := <-got; a.reason != "" || a.err != nil {
		t.Errorf("moved meanwhile: %q, %v", a.reason, a.err)
	}
}

func TestDpkgDiversions(t *testing.T) {
	for _, tt := range []struct {
		name  string
		pkg   string
		line  string
		entry []string
		want  bool
	}{
		{"of something else", "cyrus-imapd", imapd, []string{"/bin/x", "/bin/y", "z"}, true},
		{"away, by the administrator", "cyrus-imapd", imapd, []string{imapd, imapd + ".distrib", ":"}, false},
		{"away, by another package", "cyrus-imapd", imapd, []string{imapd, imapd + ".distrib", "wrapper"}, false},
		{"away, by the package itself", "cyrus-imapd:amd64", imapd, []string{imapd, imapd + ".distrib", "cyrus-imapd"}, true},
		{"here", "cyrus-imapd", "/usr/bin/imapd", []string{"/usr/bin/imapd", imapd, ":"}, true},
		{"here, but not of that package", "cyrus-imapd", "/usr/bin/imapd", []string{"/usr/bin/imapd", imapd, "cyrus-imapd"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAdminDir(t)
			a.list(tt.pkg, tt.line)
			a.write("diversions", tt.entry...)
			if got := learn(t, NewLists(a.dir, imapd, false)); got != tt.want {
				t.Errorf("named: %v, want %v", got, tt.want)
			}
		})
	}
	t.Run("made later", func(t *testing.T) {
		a := newAdminDir(t)
		a.list("cyrus-imapd", imapd)
		d := NewLists(a.dir, imapd, false)
		learn(t, d)
		a.write("diversions", imapd, imapd+".distrib", ":")
		removed(t, d, true, "diverted away")
	})
	t.Run("damaged", func(t *testing.T) {
		a := newAdminDir(t)
		a.write("diversions", imapd, imapd+".distrib")
		if _, _, err := NewLists(a.dir, imapd, false).Learn(time.Now()); err == nil || !strings.Contains(err.Error(), "three lines") {
			t.Error(err)
		}
	})
}

func TestDpkgErrors(t *testing.T) {
	a := newAdminDir(t)
	a.list("cyrus-imapd", imapd)
	d := NewLists(a.dir, imapd, false)
	learn(t, d)
	check(t, os.RemoveAll(a.dir))
	if reason, err := d.Removed(time.Now()); reason != "" || err == nil || !strings.Contains(err.Error(), "lists are gone") {
		t.Errorf("without a database: %q, %v", reason, err)
	}

	a = newAdminDir(t)
	check(t, os.Mkdir(filepath.Join(a.dir, "info", "x.list"), 0o755))
	if _, _, err := NewLists(a.dir, imapd, false).Learn(time.Now()); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a list that cannot be read: %v", err)
	}
}

// TestDpkgMissing is a host without dpkg.
func TestDpkgMissing(t *testing.T) {
	d := NewLists(filepath.Join(t.TempDir(), "none"), imapd, false)
	if learn(t, d) {
		t.Error("named")
	}
	removed(t, d, false, "without dpkg")
}

func TestAliases(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	check(t, err)
	check(t, os.Mkdir(filepath.Join(root, "real"), 0o755))
	check(t, os.Symlink("real", filepath.Join(root, "link")))
	got := map[string]struct{}{}
	addAliases(got, filepath.Join(root, "link", "imapd"))
	for _, dir := range []string{"link", "real"} {
		if _, ok := got[filepath.Join(root, dir, "imapd")]; !ok {
			t.Errorf("%s is not among %v", dir, got)
		}
	}

	if text, err := os.Readlink("/lib"); err != nil || strings.TrimPrefix(text, "/") != "usr/lib" {
		t.Skip("left out, /lib and /usr/lib as one: they are not, on this host")
	}
	both := []string{"/lib/relinkd-test/imapd", "/usr/lib/relinkd-test/imapd"} // in no directory that is there
	for _, path := range both {
		got := map[string]struct{}{}
		addAliases(got, path)
		var names []string
		for name := range got {
			names = append(names, name)
		}
		slices.Sort(names)
		if !slices.Equal(names, both) {
			t.Errorf("%s is spelled %v", path, names)
		}
	}
}

func FuzzDiversions(f *testing.F) {
	f.Add("a\nb\nc\n")
	f.Add("a\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		ds, err := parseDiversions(strings.NewReader(text))
		if lines := strings.Count(text, "\n") + 1; err == nil && len(ds)*3 > lines {
			t.Errorf("%d entries in %d lines", len(ds), lines)
		}
	})
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await waits until ok holds.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not within 20 seconds: %s", what)
		}
		time.Sleep(time.Millisecond) // paces the question; nothing relies on it
	}
}
