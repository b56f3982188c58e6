package install

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

// watched is the inotify watch on the directory.
type watched struct {
	mu      sync.Mutex // taken before Watcher.mu
	inotify *fsnotify.Watcher
	id      fsys.ID // the directory under watch, zero when there is none
	reason  string  // why there is none, as it was last logged
	closed  bool
}

// close ends the watch for good.
func (d *watched) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.inotify != nil {
		d.inotify.Close() // an inotify descriptor has nothing to lose
	}
}

// Check compares the directory that stands at path's directory with the one under watch and
// watches it anew when they differ: it was deleted, renamed, made again, mounted over, unmounted.
// A new watch means that anything may have happened before, so everything is marked as touched.
// The error says why the watch is deaf: until a later Check returns nil, nothing is seen but by
// looking. Call it at every census while Run runs: an unmount ends a watch without an event.
func (w *Watcher) Check() error {
	poke(w.learn)
	w.dirs.mu.Lock()
	defer w.dirs.mu.Unlock() // whoever gets nil finds everything marked
	renewed, err := w.rewatch()
	own, ownErr := w.private.watch()
	if err == nil && ownErr != nil {
		err = w.deaf(fmt.Errorf("cannot watch %s: %v; try a higher fs.inotify.max_user_instances", w.private.dir, ownErr))
	} else if err == nil && w.dirs.reason != "" {
		w.dirs.reason = ""
		w.log.Info().Str("dir", w.dir).Msg("the install directory is watched again")
	}
	renewed = renewed || own && w.private.isOurs()
	if renewed || err != nil {
		w.mu.Lock()
		w.touchedAll = true
		w.mu.Unlock()
	}
	if renewed {
		poke(w.news)
	}
	return err
}

// rewatch makes sure that the directory is under watch; renewed tells that it was not. The caller
// holds dirs.mu.
func (w *Watcher) rewatch() (renewed bool, err error) {
	d := &w.dirs
	if d.closed {
		return false, fmt.Errorf("cannot watch %s: the watch has ended", w.dir)
	}
	if d.inotify == nil {
		in, err := fsnotify.NewWatcher()
		if err != nil {
			return false, w.deaf(fmt.Errorf("cannot watch %s: %v; try a higher fs.inotify.max_user_instances", w.dir, err))
		}
		d.inotify = in
		w.opened <- in // has room: it is sent once
	}
	// fsnotify forgets a watch that the kernel ended, for which an unmount is the only sign.
	id, err := directoryID(w.dir)
	if err == nil && id == d.id && slices.Contains(d.inotify.WatchList(), w.dir) {
		return false, nil
	}
	if err == nil {
		id, err = add(d.inotify, w.dir)
	}
	if err != nil {
		d.id = fsys.ID{}
		return false, w.deaf(fmt.Errorf("cannot watch %s: %v; until that is mended a change is found by the census only", w.dir, err))
	}
	d.id = id
	return true, nil
}

// add watches dir instead of what was watched by that name, and returns which directory it is. One
// that was exchanged between the look and the watch is taken for what it is.
func add(in *fsnotify.Watcher, dir string) (fsys.ID, error) {
	for range 3 {
		in.Remove(dir) // it may still be on the former directory; it is no error if not
		before, err := directoryID(dir)
		if err != nil {
			return fsys.ID{}, err
		}
		if err := in.Add(dir); err != nil {
			return fsys.ID{}, err
		}
		if after, err := directoryID(dir); err != nil || after == before {
			return after, err
		}
	}
	return fsys.ID{}, errors.New("it is replaced again and again")
}

// deaf logs a reason once, not at every census.
func (w *Watcher) deaf(err error) error {
	if d := &w.dirs; d.reason != err.Error() {
		d.reason = err.Error()
		w.log.Warn().Err(err).Msg("file events are not to be had")
	}
	return err
}

// directoryID identifies the directory that dir leads to.
func directoryID(dir string) (fsys.ID, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return fsys.ID{}, err
	}
	info := fsys.InfoOf(&st)
	if !info.IsDir() {
		return fsys.ID{}, unix.ENOTDIR
	}
	return info.ID, nil
}
