package install

import (
	"time"

	"relinkd/fsys"
	"relinkd/watch/pkgdb"
)

// NoteAbsent takes note that nothing stands at path, and returns how much longer that must last
// before path counts as gone; 0 when it is gone. An `install` or an `rm; cp` is given that time:
// a link put back at once would make the former fail and the latter write through it.
func (w *Watcher) NoteAbsent(now time.Time) time.Duration {
	holder, err := pkgdb.RPMWriter(w.rpmDirs)
	w.mu.Lock()
	defer w.mu.Unlock()
	if holder != "" {
		w.rpmHolder = holder
	}
	w.rpmErr = err
	if w.absentSince.IsZero() {
		w.absentSince = now
	}
	return max(0, w.absentSince.Add(w.grace).Sub(now))
}

// NotePresent takes note that something stands at path. When it is foreign, not put there by
// relinkd, an earlier absence was no removal. What has vanished since the caller looked does not
// count: rpm's lock may be free again, and its evidence must stay.
func (w *Watcher) NotePresent(foreign bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := fsys.Lstat(w.path); err != nil {
		return
	}
	w.absentSince = time.Time{}
	if foreign {
		w.rpmHolder, w.rpmErr = "", nil
	}
}

// AbsentSince tells since when nothing has stood at path; false when something does.
func (w *Watcher) AbsentSince() (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.absentSince, !w.absentSince.IsZero()
}

// Removed tells whether a package manager took path's file away: the reason, or "" when nothing
// says so. It may be asked as often as one likes, also when path leads to the copies again after
// an absence: dpkg writes down what it removed only after removing it. An error means that it
// cannot be told.
func (w *Watcher) Removed() (reason string, err error) {
	w.mu.Lock()
	holder, rpmErr := w.rpmHolder, w.rpmErr
	w.mu.Unlock()
	if holder != "" {
		return "it vanished while rpm was at work (" + holder + ")", nil
	}
	reason, err = w.dpkg.Removed(time.Now())
	if reason == "" && err == nil {
		err = rpmErr
	}
	return reason, err
}

// Packaged reports whether a dpkg package names path, or did until it was removed. A caller that
// keeps it and gives it to the next Watcher lets that one see a removal that happened in between.
func (w *Watcher) Packaged() bool { return w.dpkg.Named() }

// Locked is pkgdb.Locked, of the databases that the Watcher looks at.
func (w *Watcher) Locked() (holder string, err error) { return pkgdb.Locked(w.adminDir, w.rpmDirs) }
