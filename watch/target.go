package watch

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/linker"
	"relinkd/pool"
	"relinkd/watch/install"
	"relinkd/watch/proctable"
)

// target is one managed executable. Its loop is the only goroutine that touches what is below the
// line; everything else goes through do.
type target struct {
	name    string
	log     zerolog.Logger
	state   *fsys.Dir // the state directory
	table   *proctable.Table
	fs      *fsys.FS
	dpkg    string        // dpkg's database, as in install.Options
	rpm     []string      // where rpm's lock may stand, as in install.Options
	kick    chan struct{} // capacity 1: look again
	counted chan struct{} // capacity 1: counts have changed
	calls   chan func()   // what others ask of the loop
	results chan func()   // what work off the loop comes back with
	first   chan struct{} // closed after the first Ensure
	shown   atomic.Pointer[shown]
	history *history
	locks   *privates // of all targets
	// ---
	cfg      config.Target
	leaving  bool // the configuration no longer names it: it is to be restored
	hasLeft  bool // and was
	active   bool // Ensure may change things; false for verbs that act without a daemon
	install  *install.Watcher
	stopW    func() // ends install's Run
	follower *proctable.Follower

	link    *linker.Link // nil while the install directory is missing
	letGoOf func()       // gives up the private directory's lock; nil when it is not held
	dirID   fsys.ID      // the directory that link has open
	pool    *pool.Pool   // nil until loaded
	cleaned bool         // what a crash left half made was removed
	src     *pool.Source // what the copies in force were made from; nil for none
	since   time.Time    // when that generation was published
	current int          // number of the copy that the private link leads to, 0 for none
	linked  string       // what the private link says as far as relinkd knows, "" where it does not
	wanted  int          // numbers 1 to wanted make up the pool

	released     bool
	onTrial      bool          // an operator wants it managed, and that is not sure to be possible: NAME.released stands still
	spoiled      bool          // somebody has written to the pristine
	recovered    fsys.ID       // the pristine that a recovery has made; it is no manifest's
	takeOver     bool          // the operator asked to manage a hand-made pool
	remake       bool          // the operator asked for all copies anew
	job          *job          // the making of a generation
	growing      *job          // the making of more copies of the one in force, which may go on beside
	syncing      sync.Mutex    // of both, held while the manifest is made durable
	verifying    *verification // the check of all copies that is under way
	working      int           // pieces of work off the loop whose results are still to come
	exec         execution
	status       api.State
	reason       string
	awaits       bool   // relinkd manage would go on
	deaf         string // why file events are not to be had
	watched      bool   // install's Run runs
	watchChecked time.Time
	notice       string // what is worth telling although all is well
	lastErr      string
	measures     api.Measures
	summary      summary   // of rotations
	told         api.State // the last one that was told of
	retry        backoff
	growth       growth
	stuck        stuck

	unwhole      unwhole
	lacks        unwhole // a new source without the capability of the one before
	lacksTold    bool
	unconfigured unwhole // a file at path of which dpkg has yet to run the script
	attributes   attributes
	sources      []fsys.ID             // the executables behind the copies
	stale        map[fsys.ID]time.Time // replaced executables that processes may still run, and since when
	suspect      map[int]bool          // copies to be made again
	blocked      map[int]blockade      // numbers that are passed over, for what stands there
	doubted      map[int]bool          // copies that may differ from their source in what stat(2) does not tell
	stopResolve  func()                // ends the comparison of those that were doubted; nil when there is none
	relinked     int                   // how often somebody linked path elsewhere
	removalUntil time.Time             // a removal of the package may be going on until then
	locksFree    time.Time             // since when the package managers' locks are seen free
	lastCheck    time.Time             // of every copy's metadata
	touched      bool                  // copies were while a job was under way: look at all when it is over
	nextVerify   time.Time             // of every copy's content
	verifyEvery  time.Duration
	restart      error // set when only a new start can help

	rotatedAt   time.Time
	left        map[int]time.Time // when the private link last led to a copy that it no longer leads to
	rotations   api.RotationsByReason
	peak        int
	saturated   bool
	saturatedAt time.Time // when that was last told of
	mark        int
	promise     promise
	atRest      bool // the last Ensure ended with balance: counts may be acted upon without another
	exchange    bool // the lack of RENAME_EXCHANGE was told

	waiters []*waiter
}

// waiter is an operator who waits for the target to settle.
type waiter struct {
	report *api.Report
	done   chan error

	inForce bool   // what was asked for is done, though the target may be degraded for another reason
	undo    func() // takes back what was asked for, when it is refused or nobody waits for it any more; may be nil
}

func newTarget(w *Watcher, cfg config.Target) *target {
	t := &target{
		name:        cfg.Name,
		log:         w.log.With().Str("target", cfg.Name).Logger(),
		state:       w.state,
		table:       w.table,
		fs:          w.fs,
		dpkg:        w.dpkg,
		rpm:         w.rpm,
		kick:        make(chan struct{}, 1),
		counted:     make(chan struct{}, 1),
		calls:       make(chan func()),
		results:     make(chan func()),
		first:       make(chan struct{}),
		history:     w.history,
		locks:       &w.privates,
		told:        api.Starting,
		cfg:         cfg,
		status:      api.Starting,
		wanted:      cfg.Copies,
		measures:    newMeasures(),
		stale:       map[fsys.ID]time.Time{},
		left:        map[int]time.Time{},
		suspect:     map[int]bool{},
		doubted:     map[int]bool{},
		blocked:     map[int]blockade{},
		verifyEvery: w.cfg.Census.Verify,
		nextVerify:  time.Now().Add(w.cfg.Census.Verify),
	}
	t.follower = t.table.Follow(t.count)
	t.show()
	return t
}

// wake makes the loop look again soon. It never blocks.
func (t *target) wake() { poke(t.kick) }

// count makes the loop look at the counts soon. It never blocks.
func (t *target) count() { poke(t.counted) }

func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// do runs fn on the loop and waits for it. It gives up when ctx ends or the loop is gone.
func (t *target) do(ctx context.Context, gone <-chan struct{}, fn func()) error {
	done := make(chan struct{})
	var late error
	select {
	case t.calls <- func() {
		defer close(done)
		if late = ctx.Err(); late == nil { // who has given up was told that it is not done
			fn()
		}
	}:
		<-done
		return late
	case <-gone:
		return fmt.Errorf("%w: target %s is no longer configured", api.ErrNoTarget, t.name)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run is the loop: it ensures, shows what came of it, and waits for the next reason to look. It ends
// with ctx, leaving what stands on disk as it is, or with ErrRestart.
func (t *target) run(ctx context.Context, active bool) error {
	t.active = active
	defer t.close()
	t.watch(ctx)
	var err error
	if t.released, err = t.isReleased(); err != nil {
		return fmt.Errorf("cannot tell whether %s is released: %w", t.name, err)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var due time.Time // when to run without being told; zero for never
	countsOnly := false
	for {
		due = t.round(ctx, countsOnly, due)
		if t.hasLeft {
			return nil
		}
		if t.restart != nil {
			return t.restart
		}
		timer.Stop()
		if sum := t.summary.due(); !sum.IsZero() && (due.IsZero() || sum.Before(due)) {
			due = sum
		}
		if !due.IsZero() {
			timer.Reset(time.Until(due))
		}
		countsOnly = false
		select {
		case <-ctx.Done():
			return nil
		case call := <-t.calls:
			call()
		case result := <-t.results:
			result()
		case <-t.kick:
		case <-t.counted:
			countsOnly = true
		case <-t.install.C():
			t.retry.reset()
		case <-timer.C:
		}
	}
}

// round is one turn of the loop. countsOnly says that nothing but counts has changed since the one before, and due
// when that wanted to run again. It returns when to run again without being told; zero for never.
func (t *target) round(ctx context.Context, countsOnly bool, due time.Time) time.Time {
	if countsOnly && t.atRest {
		due = sooner(due, t.steer(time.Now()))
	} else {
		again := t.ensure(ctx)
		due = sooner(time.Time{}, t.soonest(again, t.tellExecutes(time.Now()), t.glance()))
	}
	if t.summary.over(time.Now()) {
		t.sumUp()
	}
	t.show()
	t.answer()
	select {
	case <-t.first:
	default:
		close(t.first)
	}
	return due
}

// glance is how often the loop looks without being told, 0 for never: nothing tells of an unmount or a
// write through mmap(2), nor of anything when the directory cannot be watched.
func (t *target) glance() time.Duration {
	switch {
	case !t.active || t.released:
		return 0
	case t.deaf != "":
		return time.Second
	}
	return 10 * time.Second
}

// sooner is due or, if that is sooner, the instant after again from now; 0 and the zero time are never.
func sooner(due time.Time, again time.Duration) time.Time {
	if again <= 0 {
		return due
	}
	if at := time.Now().Add(again); due.IsZero() || at.Before(due) {
		return at
	}
	return due
}

// watch starts watching the install directory; without a daemon nothing is watched, and a file at
// path counts as complete when it has rested.
func (t *target) watch(ctx context.Context) {
	packaged := false
	if m, err := t.manifest(); err == nil {
		packaged = m.Packaged
	}
	if packaged { // an earlier run may have put path back while its removal went on
		t.removalUntil = time.Now().Add(removalWatch)
	}
	t.install = install.New(install.Options{
		Packaged: packaged,
		Private:  linker.PrivateDir,
		Kept:     []string{filepath.Base(linker.PristinePath(t.cfg.Path))},
		Path:     t.cfg.Path,
		Quiet:    t.cfg.Settle.Quiet,
		Max:      t.cfg.Settle.Max,
		AdminDir: t.dpkg,
		RPMDirs:  t.rpm,
		Log:      t.log,
	})
	ctx, cancel := context.WithCancel(ctx)
	if !t.active {
		t.stopW = cancel
		return
	}
	t.watched = true
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := t.install.Run(ctx); err != nil {
			t.log.Error().Err(err).Msg("the install directory is not watched")
		}
	}()
	t.stopW = func() { cancel(); <-done }
	select {
	case <-t.install.Ready():
	case <-ctx.Done():
	}
}

// close gives up everything that is held in memory.
func (t *target) close() {
	t.cancelWork()
	t.sumUp()
	t.stopW()
	t.unload()
	t.follower.Close()
	for _, w := range t.waiters {
		if w.inForce { // what was asked for is done, whatever would have followed
			w.done <- nil
			continue
		}
		w.done <- errors.New("relinkd is stopping")
	}
	t.waiters = nil
}

// unload forgets the pool and closes the install directory.
func (t *target) unload() {
	if t.src != nil {
		t.src.Close()
		t.src = nil
	}
	if t.link != nil {
		t.link.Close()
	}
	t.letGo()
	t.link, t.pool, t.current, t.dirID, t.cleaned = nil, nil, 0, fsys.ID{}, false
	t.setLinked("")
	t.sources, t.spoiled = nil, false
	clear(t.suspect)
	clear(t.doubted)
	clear(t.blocked)
}

// settled reports whether the target is where it will stay until something happens.
func (t *target) settled() bool {
	switch t.status {
	case api.Starting, api.Settling, api.Cloning:
		return false
	case api.Bypassed, api.Steady:
		return !t.isMaking()
	}
	return true
}

// answer tells those who wait for the target to settle.
func (t *target) answer() {
	if !t.settled() || len(t.waiters) == 0 {
		return
	}
	var err error
	if t.status == api.Degraded {
		err = fmt.Errorf("%w: %s: %s", api.ErrRefused, t.cfg.Path, t.reason)
	} else if err = t.confirm(); err != nil {
		err = fmt.Errorf("cannot end the release of %s: %s", t.name, advise(err))
	}
	waiters := t.waiters
	t.waiters = nil
	for _, w := range waiters {
		if err != nil && w.inForce {
			w.report.Warnings = append(w.report.Warnings, t.reason)
			w.done <- nil
			continue
		}
		if err != nil && w.undo != nil {
			w.undo()
		}
		w.done <- err
	}
	if err != nil {
		t.show()
	}
}

// abandon is for a waiter that nobody waits for any more: what it asked for and is not done is taken back.
func (t *target) abandon(w *waiter) {
	if !slices.Contains(t.waiters, w) {
		return // it was answered
	}
	t.unwait(w)
	if w.undo != nil && !slices.ContainsFunc(t.waiters, func(x *waiter) bool { return x.undo != nil }) {
		w.undo()
		t.wake()
	}
}

// wait adds a waiter that collects what is done from now on.
func (t *target) wait() *waiter {
	w := &waiter{report: &api.Report{Target: t.name}, done: make(chan error, 1)}
	t.waiters = append(t.waiters, w)
	return w
}

// unwait takes a waiter back.
func (t *target) unwait(w *waiter) {
	t.waiters = slices.DeleteFunc(t.waiters, func(x *waiter) bool { return x == w })
}

// failed notes that err kept the target from where it should be. It is tried again after a while
// that grows, or when something happens in the install directory.
func (t *target) failed(err error) {
	reason := advise(err)
	t.wrong(zerolog.ErrorLevel, reason, fmt.Sprintf("degraded, to be tried again in %s", t.retry.next(time.Now())))
	t.status, t.reason = api.Degraded, reason
}

// backoff spaces out attempts that keep failing.
type backoff struct {
	wait  time.Duration
	until time.Time
}

// next notes a failure at now and returns the wait before the next attempt: 1 s, doubled each
// time up to a minute.
func (b *backoff) next(now time.Time) time.Duration {
	b.wait = min(max(2*b.wait, time.Second), time.Minute)
	b.until = now.Add(b.wait)
	return b.wait
}

func (b *backoff) reset() { *b = backoff{} }

// dirPath is the install directory.
func (t *target) dirPath() string { return filepath.Dir(t.cfg.Path) }

// base is path's own name.
func (t *target) base() string { return filepath.Base(t.cfg.Path) }
