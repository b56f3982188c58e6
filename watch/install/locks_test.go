package install

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// database makes a package manager's directory with a lock file in it.
func database(t *testing.T, dir, lock string) (path string) {
	t.Helper()
	check(t, os.MkdirAll(dir, 0o755))
	path = filepath.Join(dir, lock)
	check(t, os.WriteFile(path, nil, 0o644))
	return path
}

func TestLocked(t *testing.T) {
	s := newSite(t, Options{})
	free := func(when string) {
		t.Helper()
		if holder, err := s.Locked(); holder != "" || err != nil {
			t.Errorf("%s: %q, %v", when, holder, err)
		}
	}
	free("without databases")
	paths := []string{
		database(t, s.adminDir, "lock-frontend"),
		database(t, s.adminDir, "lock"),
		database(t, s.rpmDirs[0], ".rpm.lock"),
	}
	free("nobody at work")
	for _, path := range paths {
		pid, release := holdLock(t, path, "write")
		holder, err := s.Locked()
		if want := fmt.Sprintf("%s is held by process %d", path, pid); holder != want || err != nil {
			t.Errorf("%q, %v, want %q", holder, err, want)
		}
		release()
		free("afterwards")
	}
	if os.Geteuid() != 0 {
		check(t, os.Chmod(paths[0], 0))
		if holder, err := s.Locked(); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("unreadable: %q, %v", holder, err)
		}
	} else {
		t.Log("left out as root: a lock file that cannot be read")
	}
}

// TestRemovedByRPM tells an absence under rpm's write lock from all others.
func TestRemovedByRPM(t *testing.T) {
	absent := func(s *site) {
		t.Helper()
		place(t, s.file, image(t, 0))
		await(t, "presence", func() bool { _, absent := s.AbsentSince(); return !absent })
		check(t, os.Remove(s.file))
		await(t, "absence", func() bool { _, absent := s.AbsentSince(); return absent })
	}
	removed := func(s *site, want bool, when string) {
		t.Helper()
		reason, err := s.Removed()
		if (reason != "") != want || err != nil {
			t.Errorf("%s: %q, %v, want removed: %v", when, reason, err, want)
		}
	}
	s := newSite(t, Options{}).start()
	lock := database(t, s.rpmDirs[0], ".rpm.lock")
	removed(s, false, "at first")

	_, release := holdLock(t, lock, "read")
	absent(s)
	release()
	removed(s, false, "under a read lock, that of a query")

	_, release = holdLock(t, lock, "write")
	absent(s)
	release() // rpm is done, long before anyone asks
	removed(s, true, "under a write lock")
	s.NotePresent(true) // by a caller who looked before
	removed(s, true, "when it vanished between a look and its note")
	check(t, os.Symlink(".relinkd/imapd", s.file))
	s.NotePresent(false)
	removed(s, true, "with our link put back")
	s.NotePresent(true)
	removed(s, false, "with another file there")

	// Seen by the caller alone: the watch may be deaf.
	s = newSite(t, Options{})
	lock = database(t, s.rpmDirs[0], ".rpm.lock")
	_, release = holdLock(t, lock, "write")
	s.NoteAbsent(time.Now())
	release()
	removed(s, true, "seen by the caller")
	place(t, s.file, image(t, 0))
	s.look()
	removed(s, false, "with another file, seen by Arrival")
}
