package install

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/fsnotify/fsnotify"

	"relinkd/fsys"
)

// private watches relinkd's own directory beside path, for what others do there: to the link that is
// named like path, to the pristine, to the directory itself. It has an inotify instance of its own, so
// that a storm of rotations cannot make events of the install directory overflow.
type private struct {
	dir, link string   // "" for a Watcher that has no such directory to watch
	names     []string // of the files that matter beside the link

	opened chan *fsnotify.Watcher // capacity 1
	wants  atomic.Pointer[wanted]

	mu      sync.Mutex
	inotify *fsnotify.Watcher
	id      fsys.ID // the directory under watch, zero when there is none
	closed  bool
}

// wanted is what the link may say: one text, or two while it is moved from one to the other.
type wanted [2]string

// Expect tells what the private link says as long as nobody else changes it: either text, for it may be
// about to be moved from one to the other; "" for nothing that is known. A link that says so is no news.
func (w *Watcher) Expect(from, to string) { w.private.wants.Store(&wanted{from, to}) }

// watch makes sure that the directory that stands there is under watch; renewed tells that it was not.
// That there is none is no error.
func (p *private) watch() (renewed bool, err error) {
	if p.dir == "" {
		return false, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	id, err := directoryID(p.dir)
	if err != nil || p.closed {
		p.id = fsys.ID{}
		return false, nil // what stands there instead is no business of a watch
	}
	if p.inotify == nil {
		in, err := fsnotify.NewWatcher()
		if err != nil {
			return false, err
		}
		p.inotify = in
		p.opened <- in // has room: it is sent once
	}
	if id == p.id && slices.Contains(p.inotify.WatchList(), p.dir) {
		return false, nil
	}
	p.id = fsys.ID{}
	if id, err = add(p.inotify, p.dir); err != nil {
		if fsys.NotExist(err) {
			return false, nil
		}
		return false, err
	}
	p.id = id
	return true, nil
}

func (p *private) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.inotify != nil {
		p.inotify.Close()
	}
}

// pumpPrivate reads the events of the private directory until ctx ends.
func (w *Watcher) pumpPrivate(ctx context.Context) {
	p := &w.private
	var events <-chan fsnotify.Event
	var errs <-chan error
	for {
		select {
		case <-ctx.Done():
			return
		case in := <-p.opened:
			events, errs = in.Events, in.Errors
		case ev, ok := <-events:
			if !ok {
				events = nil
			} else if p.isNews(ev.Name) {
				poke(w.news)
			}
			if ev.Name == p.dir {
				poke(w.recall)
			}
		case _, ok := <-errs: // an overflow, in a storm of rotations: a look tells what has become of it
			if !ok {
				errs = nil
			} else {
				poke(w.news)
			}
		}
	}
}

// isOurs reports whether relinkd has a link there, so that what happens to it matters.
func (p *private) isOurs() bool {
	want := p.wants.Load()
	return want != nil && *want != (wanted{})
}

// isNews reports whether an event about the file path is of what somebody else did. What relinkd itself
// makes and moves there is none: of the link, its text tells; and before there is a link, or when there is
// none any more, relinkd alone makes and removes what is there.
func (p *private) isNews(path string) bool {
	for range 3 {
		want := p.wants.Load()
		if !p.isOurs() {
			return false
		}
		name := filepath.Base(path)
		if path == p.dir || name != p.link {
			return path == p.dir || slices.Contains(p.names, name)
		}
		text, err := os.Readlink(path)
		if p.wants.Load() != want {
			continue // it is being moved at this very moment
		}
		return err != nil || text != want[0] && text != want[1]
	}
	return false // it is moved again and again, and each of these moves is an event
}
