package install

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

// newAdminDir makes a database of dpkg without a list.
func newAdminDir(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "dpkg")
	check(t, os.MkdirAll(filepath.Join(dir, "info"), 0o755))
	return dir
}

// list replaces the list of a package, as dpkg does it.
func list(t *testing.T, admin, pkg string, lines ...string) {
	t.Helper()
	path := filepath.Join(admin, "info", pkg+".list")
	check(t, os.WriteFile(path+"-new", []byte(strings.Join(lines, "\n")+"\n"), 0o644))
	check(t, os.Rename(path+"-new", path))
}

// TestKeepLearning has a list written after the file, as dpkg does, while dpkg's lock is held, and
// the package removed again before anyone asks.
func TestKeepLearning(t *testing.T) {
	admin := newAdminDir(t)
	s := newSite(t, Options{AdminDir: admin, Quiet: long, Max: long})
	_, release := holdLock(t, database(t, admin, "lock"), "write")
	s.start()
	place(t, s.new, image(t, 0))
	check(t, os.Rename(s.new, s.file))
	if _, err := s.settle(); err != nil {
		t.Fatal(err)
	}
	list(t, admin, "cyrus-imapd", "/.", s.file)
	await(t, "the package is known", s.Packaged)
	check(t, os.Remove(s.file))
	if reason, err := s.Removed(); reason != "" || err != nil {
		t.Errorf("before dpkg has written what it removed: %q, %v", reason, err)
	}
	list(t, admin, "cyrus-imapd", "/.")
	release()
	await(t, "removal", func() bool { reason, err := s.Removed(); check(t, err); return reason != "" })

	place(t, s.new, image(t, 1))
	check(t, os.Rename(s.new, s.file))
	if _, err := s.settle(); err != nil {
		t.Fatal(err)
	}
	await(t, "a source that no package brought", func() bool { return !s.Packaged() })
	list(t, admin, "cyrus-imapd", "/.", s.file) // brought by dpkg with the very same file there
	check(t, s.Check())
	await(t, "the package, by a census", s.Packaged)
}

// TestRealDpkg installs, upgrades, removes and purges a package with dpkg in a database of its own.
func TestRealDpkg(t *testing.T) {
	skipUnlessRoot(t, "a package that dpkg installs and removes")
	if unix.Access("/usr/bin/dpkg-deb", unix.X_OK) != nil {
		t.Skip("left out, a package that dpkg installs and removes: there is no dpkg")
	}
	admin := newAdminDir(t)
	for _, name := range []string{"status", "available"} {
		check(t, os.WriteFile(filepath.Join(admin, name), nil, 0o644))
	}
	check(t, os.Mkdir(filepath.Join(admin, "updates"), 0o755))
	dpkg := func(args ...string) {
		t.Helper()
		run(t, "dpkg", append([]string{"--admindir=" + admin, "--log=/dev/null", "--force-not-root", "--force-bad-path"}, args...)...)
	}
	s := newSite(t, Options{AdminDir: admin, Quiet: long, Max: long}).start()
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
	if file, err := fsys.Lstat(s.file); err != nil || !file.IsRegular() {
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
	await(t, "its list is settled", func() bool {
		named, sure, err := s.dpkg.Learn(time.Now())
		check(t, err)
		return named && sure
	})
	notRemoved("installed again")
	dpkg("-P", "relinkd-test")
	await(t, "purge", func() bool { reason, err := s.Removed(); check(t, err); return reason != "" })
}
