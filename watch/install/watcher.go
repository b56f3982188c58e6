// Package install tells what is going on at a target's path: gone, being written, a complete new
// source, refused and why, taken away by a package manager. It must never change a file and never
// hold a lease or a lock on one for longer than it takes to ask.
package install

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"relinkd/fsys"
	"relinkd/watch/pkgdb"
)

// DefaultGrace is how long path may be absent: `install` and `rm; cp` leave it so for some milliseconds.
const DefaultGrace = 20 * time.Millisecond

// Options says what to watch. Only Path, Quiet and Max have no default.
type Options struct {
	Path     string        // absolute and clean
	Quiet    time.Duration // a file that was seen being written must rest so long
	Max      time.Duration // after which it is taken even if it is written again and again
	Grace    time.Duration // how long path may be absent before it counts as gone
	Packaged bool          // an earlier run knew that a dpkg package names path; see Watcher.Packaged
	AdminDir string        // dpkg's database
	RPMDirs  []string      // directories in which rpm's lock may stand
	Private  string        // the name of relinkd's own directory beside path; "" for none to be watched
	Kept     []string      // the names of files in it that others may change, beside the link named like path
	Log      zerolog.Logger
}

// Watcher watches one path. Run is its task; all other methods may be called from any goroutine,
// also when Run does not run: then everything is judged by what the files themselves say.
type Watcher struct {
	path, dir, name string
	grace           time.Duration
	rpmDirs         []string
	adminDir        string
	log             zerolog.Logger

	ready  chan struct{}
	news   chan struct{}          // capacity 1: what C returns
	recall chan struct{}          // capacity 1: the directory itself was touched, look at the watch
	learn  chan struct{}          // capacity 1: find out again which package names path
	opened chan *fsnotify.Watcher // capacity 1: an inotify instance for Run to read

	dpkg    *pkgdb.Lists
	dirs    watched
	private private

	mu          sync.Mutex // guards what follows; never held during a call to fsnotify
	arrival     arrival
	touched     map[string]struct{}
	touchedAll  bool
	overflows   int
	absentSince time.Time // zero while something stands at path
	rpmHolder   string    // who held rpm's write lock while path was absent
	rpmErr      error     // why that could not be told
}

// New prepares a Watcher. It looks at nothing yet.
func New(o Options) *Watcher {
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	if o.AdminDir == "" {
		o.AdminDir = pkgdb.DefaultAdminDir
	}
	if o.RPMDirs == nil {
		o.RPMDirs = pkgdb.DefaultRPMDirs()
	}
	own := ""
	if o.Private != "" {
		own = filepath.Join(filepath.Dir(o.Path), o.Private)
	}
	return &Watcher{
		path:       o.Path,
		dir:        filepath.Dir(o.Path),
		name:       filepath.Base(o.Path),
		grace:      o.Grace,
		rpmDirs:    o.RPMDirs,
		adminDir:   o.AdminDir,
		log:        o.Log,
		ready:      make(chan struct{}),
		news:       make(chan struct{}, 1),
		recall:     make(chan struct{}, 1),
		learn:      make(chan struct{}, 1),
		opened:     make(chan *fsnotify.Watcher, 1),
		dpkg:       pkgdb.NewLists(o.AdminDir, o.Path, o.Packaged),
		arrival:    arrival{quiet: o.Quiet, max: o.Max},
		touched:    map[string]struct{}{},
		touchedAll: true,
		private:    private{dir: own, link: filepath.Base(o.Path), names: o.Kept, opened: make(chan *fsnotify.Watcher, 1)},
	}
}

// Run watches until ctx ends, then returns nil. A directory that is missing or vanishes, and an
// inotify that cannot be had, do not end it: Check tells, and tries again.
func (w *Watcher) Run(ctx context.Context) error {
	defer w.dirs.close()
	defer w.private.close()
	w.Check() // the reason for being deaf is logged there and given again by the next Check
	close(w.ready)

	var g errgroup.Group
	g.Go(func() error { w.pump(ctx); return nil })
	g.Go(func() error { w.pumpPrivate(ctx); return nil })
	g.Go(func() error { w.keep(ctx); return nil })
	g.Go(func() error { w.keepLearning(ctx); return nil })
	return g.Wait()
}

// SetSettle changes Options.Quiet and Options.Max.
func (w *Watcher) SetSettle(quiet, max time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.arrival.quiet, w.arrival.max = quiet, max
}

// Ready is closed when the watch is up or known to be impossible for now.
func (w *Watcher) Ready() <-chan struct{} { return w.ready }

// C receives when something happened at path, to a copy or to the directory, or when events were
// lost. Any number of happenings are one receipt.
func (w *Watcher) C() <-chan struct{} { return w.news }

// TakeTouched returns the file names of the copies that were written, made, removed, renamed or
// changed in mode or owner since the last call, sorted. all means that events may have been lost,
// so that every copy must be looked at; it is true of the first call.
func (w *Watcher) TakeTouched() (names []string, all bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name := range w.touched {
		names = append(names, name)
	}
	slices.Sort(names)
	all = w.touchedAll
	clear(w.touched)
	w.touchedAll = false
	return names, all
}

// Overflows counts how often the kernel dropped events because its queue was full.
func (w *Watcher) Overflows() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.overflows
}

// pump reads events until ctx ends. It never calls fsnotify, which may hold a mutex of its own
// while it waits for the pump.
func (w *Watcher) pump(ctx context.Context) {
	var events <-chan fsnotify.Event // nil, which never receives, until there is an instance
	var errs <-chan error
	for {
		select {
		case <-ctx.Done():
			return
		case in := <-w.opened:
			events, errs = in.Events, in.Errors
		case ev := <-events:
			w.event(ev, time.Now())
		case err := <-errs:
			w.lost(err)
		}
	}
}

// keep renews the watch when the directory itself was touched.
func (w *Watcher) keep(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.recall:
			w.Check() // logged there; the next census asks again
		}
	}
}

// event takes note of one event. Names other than path's, the copies' and the private directory's are
// nobody's business: dpkg's and rpm's temporary files, the neighbours.
func (w *Watcher) event(ev fsnotify.Event, now time.Time) {
	if ev.Name == w.dir {
		poke(w.recall)
		poke(w.news)
		return
	}
	switch name := filepath.Base(ev.Name); {
	case name == w.name:
		w.pathEvent(ev.Op, now)
	case isCopy(w.name, name):
		w.mu.Lock()
		w.touched[name] = struct{}{}
		w.mu.Unlock()
	case ev.Name == w.private.dir:
		poke(w.recall)
		if !w.private.isOurs() { // relinkd itself makes it, and removes it when nothing came of that
			return
		}
	default:
		return
	}
	poke(w.news)
}

// pathEvent takes note of what happened at path itself. It looks at once: what makes an absence a
// removal can be over 5 ms later (rpm).
func (w *Watcher) pathEvent(op fsnotify.Op, now time.Time) {
	file, err := fsys.Lstat(w.path)
	if fsys.NotExist(err) {
		w.NoteAbsent(now)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.absentSince = time.Time{}
	if op.Has(fsnotify.Create) {
		w.arrival.created(file, now)
	}
	if op.Has(fsnotify.Write) {
		w.arrival.wrote(now)
	}
}

// lost takes note that events may be missing.
func (w *Watcher) lost(err error) {
	w.mu.Lock()
	w.touchedAll = true
	if errors.Is(err, fsnotify.ErrEventOverflow) {
		w.overflows++
	}
	w.mu.Unlock()
	w.log.Warn().Err(err).Str("dir", w.dir).Msg("file events were lost; everything is looked at again")
	poke(w.recall)
	poke(w.news)
}

// isCopy reports whether file is the name of a copy of name: NAME_ and three digits.
func isCopy(name, file string) bool {
	if len(file) != len(name)+4 || file[:len(name)] != name || file[len(name)] != '_' {
		return false
	}
	for _, c := range []byte(file[len(name)+1:]) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// poke leaves one receipt in a channel of capacity 1.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
