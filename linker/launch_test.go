package linker

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

// TestLauncherIsAnother: each generation has a launcher with another inode number than the one before,
// though that was removed by whoever put the source in its place, and file systems give such a number to
// the next file.
func TestLauncherIsAnother(t *testing.T) {
	eachForm(t, func(t *testing.T, dir string, form Form) {
		if form == Symlink {
			return
		}
		s := newSiteOf(t, dir, form)
		reused := 0
		var id, before fsys.ID
		l := s.open(&fsys.FS{Before: func(op fsys.Op, path string) error {
			if op == "launcher: unlink" && !before.IsZero() {
				if info, err := os.Lstat(path); err == nil && info.Size() == 0 {
					reused++
				}
			}
			return nil
		}})
		defer l.Close()
		for i := range 20 {
			if i > 0 {
				s.arrive("F") // which removes the launcher
			}
			must(t, l.Publish(s.lstat(s.path)))
			before, id = id, s.lstat(s.path).ID
			if id == before {
				t.Fatalf("generation %d has the launcher of the one before", i)
			}
		}
		t.Logf("%d times the number was to be given again", reused)
	})
}

// TestLauncherAttributes: what belongs to the content of a source is not the launcher's.
func TestLauncherAttributes(t *testing.T) {
	s := newSiteOf(t, t.TempDir(), Launcher)
	must(t, unix.Chmod(s.copy(1), 0o6751))
	later := s.source.ModTime().Add(-1e9)
	must(t, os.Chtimes(s.copy(1), later, later))
	s.published()
	at, source := s.lstat(s.path), s.lstat(s.copy(1))
	if at.Perm() != 0o751 || at.Mtime != source.Mtime || at.UID != source.UID || at.GID != source.GID || at.Nlink != 1 {
		t.Errorf("the launcher is %+v, the copy %+v", at, source)
	}
	l := s.open(nil)
	defer l.Close()
	standing, err := l.Look()
	must(t, err)
	if !standing.IsLauncher() || !l.Fits(standing) || !standing.SameAccess(source) || standing.Text != s.private("") {
		t.Errorf("it is seen as %+v", standing)
	}
}

// TestForms: what is ours in one form does not fit where the other is asked for.
func TestForms(t *testing.T) {
	for form := range Launcher + 1 {
		s := newSiteOf(t, t.TempDir(), form).published()
		for asked := range Launcher + 1 {
			l := s.open(nil)
			l.SetForm(asked)
			at, err := l.Look()
			if err != nil || at.Kind != Ours || l.Fits(at) != (form == asked) {
				t.Errorf("%v at path, %v asked for: %+v, %v", form, asked, at, err)
			}
			l.Close()
		}
	}
}
