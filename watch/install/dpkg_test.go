package install

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
func removed(t *testing.T, d *dpkgList, want bool, when string) {
	t.Helper()
	await(t, "a certain answer", func() bool {
		d.mu.Lock()
		_, sure, err := d.look(time.Now())
		d.mu.Unlock()
		check(t, err)
		return sure
	})
	if reason, err := d.removed(time.Now()); (reason != "") != want || err != nil {
		t.Errorf("%s: %q, %v, want removed: %v", when, reason, err, want)
	}
}

// learn waits until it is known whether a list names the path.
func learn(t *testing.T, d *dpkgList) (named bool) {
	t.Helper()
	await(t, "the lists", func() bool {
		n, sure, err := d.learn(time.Now())
		check(t, err)
		named = n
		return sure
	})
	return named
}

const imapd = "/usr/lib/cyrus/bin/imapd"

func TestDpkgRemoved(t *testing.T) {
	a := newAdminDir(t)
	d := newDpkgList(a.dir, imapd, false)
	a.list("base", "/.", imapd+"x", "x"+imapd, imapd+"/")
	if learn(t, d) || d.isNamed() {
		t.Fatal("named by a list of other paths")
	}
	removed(t, d, false, "never named")

	a.list("cyrus-imapd:amd64", "/.", "/usr", imapd)
	if !learn(t, d) || !d.isNamed() {
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
	d.forget()
	if learn(t, d) || d.isNamed() {
		t.Fatal("named after a source came by hand")
	}
	removed(t, d, false, "installed by hand")
}

func TestDpkgRemembered(t *testing.T) {
	a := newAdminDir(t)
	removed(t, newDpkgList(a.dir, imapd, true), true, "removed while nobody watched")
	removed(t, newDpkgList(a.dir, imapd, false), false, "never known")
}

// TestDpkgChanging does not believe what it reads while the lists change.
func TestDpkgChanging(t *testing.T) {
	a := newAdminDir(t)
	d := newDpkgList(a.dir, imapd, false)
	a.list("cyrus-imapd", imapd)
	learn(t, d)
	a.drop("cyrus-imapd")
	info, err := lstat(filepath.Join(a.dir, "info"))
	check(t, err)
	if reason, err := d.removed(info.ModTime().Add(tick - 1)); reason != "" || err != nil {
		t.Errorf("right after a change: %q, %v", reason, err)
	}
	if reason, err := d.removed(info.ModTime().Add(tick)); reason == "" || err != nil {
		t.Errorf("after a rest: %q, %v", reason, err)
	}
}

// TestDpkgMoving moves the path from one package to another while the lists are read: from one that
// is yet to be read to one that was. A fifo among them stops the reader halfway.
func TestDpkgMoving(t *testing.T) {
	a := newAdminDir(t)
	d := newDpkgList(a.dir, imapd, true)
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
		reason, err := d.removed(later)
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
			if got := learn(t, newDpkgList(a.dir, imapd, false)); got != tt.want {
				t.Errorf("named: %v, want %v", got, tt.want)
			}
		})
	}
	t.Run("made later", func(t *testing.T) {
		a := newAdminDir(t)
		a.list("cyrus-imapd", imapd)
		d := newDpkgList(a.dir, imapd, false)
		learn(t, d)
		a.write("diversions", imapd, imapd+".distrib", ":")
		removed(t, d, true, "diverted away")
	})
	t.Run("damaged", func(t *testing.T) {
		a := newAdminDir(t)
		a.write("diversions", imapd, imapd+".distrib")
		if _, _, err := newDpkgList(a.dir, imapd, false).learn(time.Now()); err == nil || !strings.Contains(err.Error(), "three lines") {
			t.Error(err)
		}
	})
}

func TestDpkgErrors(t *testing.T) {
	a := newAdminDir(t)
	a.list("cyrus-imapd", imapd)
	d := newDpkgList(a.dir, imapd, false)
	learn(t, d)
	check(t, os.RemoveAll(a.dir))
	if reason, err := d.removed(time.Now()); reason != "" || err == nil || !strings.Contains(err.Error(), "lists are gone") {
		t.Errorf("without a database: %q, %v", reason, err)
	}

	a = newAdminDir(t)
	check(t, os.Mkdir(filepath.Join(a.dir, "info", "x.list"), 0o755))
	if _, _, err := newDpkgList(a.dir, imapd, false).learn(time.Now()); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a list that cannot be read: %v", err)
	}
}

// TestDpkgMissing is a host without dpkg.
func TestDpkgMissing(t *testing.T) {
	d := newDpkgList(filepath.Join(t.TempDir(), "none"), imapd, false)
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

// TestKeepLearning has a list written after the file, as dpkg does, while dpkg's lock is held, and
// the package removed again before anyone asks.
func TestKeepLearning(t *testing.T) {
	a := newAdminDir(t)
	s := newSite(t, Options{AdminDir: a.dir, Quiet: long, Max: long})
	_, release := holdLock(t, database(t, a.dir, "lock"), "write")
	s.start()
	place(t, s.new, image(t, 0))
	check(t, os.Rename(s.new, s.file))
	if _, err := s.settle(); err != nil {
		t.Fatal(err)
	}
	a.list("cyrus-imapd", "/.", s.file)
	await(t, "the package is known", s.Packaged)
	check(t, os.Remove(s.file))
	if reason, err := s.Removed(); reason != "" || err != nil {
		t.Errorf("before dpkg has written what it removed: %q, %v", reason, err)
	}
	a.list("cyrus-imapd", "/.")
	release()
	await(t, "removal", func() bool { reason, err := s.Removed(); check(t, err); return reason != "" })

	place(t, s.new, image(t, 1))
	check(t, os.Rename(s.new, s.file))
	if _, err := s.settle(); err != nil {
		t.Fatal(err)
	}
	await(t, "a source that no package brought", func() bool { return !s.Packaged() })
	a.list("cyrus-imapd", "/.", s.file) // brought by dpkg with the very same file there
	check(t, s.Check())
	await(t, "the package, by a census", s.Packaged)
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

// TestRealDpkg installs, upgrades, removes and purges a package with dpkg in a database of its own.
func TestRealDpkg(t *testing.T) {
	skipUnlessRoot(t, "a package that dpkg installs and removes")
	if unix.Access("/usr/bin/dpkg-deb", unix.X_OK) != nil {
		t.Skip("left out, a package that dpkg installs and removes: there is no dpkg")
	}
	a := newAdminDir(t)
	for _, name := range []string{"status", "available"} {
		check(t, os.WriteFile(filepath.Join(a.dir, name), nil, 0o644))
	}
	check(t, os.Mkdir(filepath.Join(a.dir, "updates"), 0o755))
	dpkg := func(args ...string) {
		t.Helper()
		run(t, "dpkg", append([]string{"--admindir=" + a.dir, "--log=/dev/null", "--force-not-root", "--force-bad-path"}, args...)...)
	}
	s := newSite(t, Options{AdminDir: a.dir, Quiet: long, Max: long}).start()
	build := func(version string, tail int) (deb string) {
		t.Helper()
		tree := filepath.Join(t.TempDir(), "tree")
		check(t, os.MkdirAll(filepath.Join(tree, "DEBIAN"), 0o755))
		check(t, os.MkdirAll(filepath.Join(tree, s.dir), 0o755))
		place(t, filepath.Join(tree, s.file), image(t, tail))
		check(t, os.WriteFile(filepath.Join(tree, s.dir, "imapd.conf"), []byte("x\n"), 0o644))
		check(t, os.WriteFile(filepath.Join(tree, "DEBIAN", "conffiles"), []byte(s.dir+"/imapd.conf\n"), 0o644))
		check(t, os.WriteFile(filepath.Join(tree, "DEBIAN", "control"), []byte("Package: relinkd-test\nVersion: "+version+
			"\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: a test\n"), 0o644))
		deb = filepath.Join(t.TempDir(), version+".deb")
		run(t, "dpkg-deb", "-b", tree, deb)
		return deb
	}
	notRemoved := func(when string) {
		t.Helper()
		if reason, err := s.Removed(); reason != "" || err != nil {
			t.Errorf("%s: %q, %v", when, reason, err)
		}
	}

	dpkg("-i", build("1", 1))
	if _, err := s.settle(); err != nil {
		t.Fatalf("installed: %v", err)
	}
	await(t, "the package is known", s.Packaged)
	notRemoved("installed")

	// Publish, as relinkd does, and upgrade.
	check(t, os.Remove(s.file))
	check(t, os.Symlink("imapd_001", s.file))
	dpkg("-i", build("2", 2))
	if file, err := lstat(s.file); err != nil || !file.IsRegular() {
		t.Fatalf("dpkg left no regular file: %v, %v", file, err)
	}
	if _, err := s.settle(); err != nil {
		t.Fatalf("upgraded: %v", err)
	}
	notRemoved("upgraded")
	if names, _ := s.TakeTouched(); len(names) != 0 {
		t.Errorf("touched %v", names)
	}

	check(t, os.Remove(s.file))
	check(t, os.Symlink("imapd_001", s.file))
	notRemoved("a link of ours")
	dpkg("-r", "relinkd-test")
	if _, err := os.Lstat(s.file); !os.IsNotExist(err) {
		t.Fatalf("dpkg left the path: %v", err)
	}
	await(t, "removal", func() bool { reason, err := s.Removed(); check(t, err); return reason != "" })
	check(t, os.Symlink("imapd_001", s.file)) // put back meanwhile
	s.NotePresent(false)
	if reason, err := s.Removed(); reason == "" || err != nil {
		t.Errorf("with our link put back: %q, %v", reason, err)
	}
	check(t, os.Remove(s.file))

	dpkg("-i", build("3", 3))
	if _, err := s.settle(); err != nil {
		t.Fatalf("installed again: %v", err)
	}
	await(t, "the package is known", s.Packaged)
	await(t, "its list is settled", func() bool { return !s.dpkg.stale.Load() })
	notRemoved("installed again")
	dpkg("-P", "relinkd-test")
	await(t, "purge", func() bool { reason, err := s.Removed(); check(t, err); return reason != "" })
}
