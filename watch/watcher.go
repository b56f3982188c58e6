// Package watch is the reactive watcher: for each target one goroutine owns all state, compares what
// is wanted with what is there, and acts through pool and linker. Events only make it look sooner.
// It must never end because of what it finds on disk, save to be started anew (ErrRestart).
package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/watch/proctable"
)

// The kinds of errors that callers tell apart with errors.Is.
var (
	ErrLocked  = errors.New("another relinkd is at work")     // from New
	ErrRestart = errors.New("relinkd has to be started anew") // from Run: exit code 75
	errStopped = errors.New("relinkd is stopping: try again") // of a verb that came too late
)

// Options is what a Watcher needs beside the configuration.
type Options struct {
	Version string
	Log     zerolog.Logger
	Load    func() (*config.Config, error) // reads the configuration again, for Reload
	Apply   func(*config.Config) error     // takes over what of a new one is not watch's business; nil for nothing
	Proc    string                         // where procfs is mounted; "" is /proc
	FS      *fsys.FS                       // nil is the plain file system

	ReceiveBuffer int // as in proctable.Options

	// Where the package managers keep their databases, as in install.Options; "" and nil are the
	// usual places.
	AdminDir string
	RPMDirs  []string
}

// Watcher is the whole of relinkd's work. It implements Service, while Run runs and without it: then
// each verb acts by itself and nothing is watched.
type Watcher struct {
	version string
	log     zerolog.Logger
	load    func() (*config.Config, error)
	apply   func(*config.Config) error
	fs      *fsys.FS
	dpkg    string   // Options.AdminDir
	rpm     []string // Options.RPMDirs
	state   *fsys.Dir
	locked  *os.File
	table   *proctable.Table
	history *history
	ready   chan struct{}

	privates privates

	ctx  context.Context // ends with Close; what loops run under when Run does not
	stop func()

	reloading sync.Mutex // held by Reload; taken before mu

	mu          sync.Mutex // guards what follows
	cfg         *config.Config
	cfgLoadedAt time.Time
	reloads     api.Reloads
	loops       map[string]*loop
	left        []config.Target // that have left the configuration, and are to be restored
	watching    bool            // Run runs
	fatal       chan error
	cfgError    string
}

// loop is a target whose loop runs.
type loop struct {
	*target
	cancel func()
	gone   chan struct{} // closed when the loop has ended
}

// New opens the state directory, which it makes where it is missing and which nobody else may write to,
// and takes its lock: ErrLocked when another relinkd has it. It changes nothing else. Close it.
func New(cfg *config.Config, o Options) (*Watcher, error) {
	if o.Proc == "" {
		o.Proc = "/proc"
	}
	state, err := openState(cfg.State.Dir, o.FS)
	if err != nil {
		return nil, fmt.Errorf("cannot use the state directory: %w", err)
	}
	locked, err := lock(state)
	if err != nil {
		state.Close()
		return nil, err
	}
	w := &Watcher{history: newHistory(), log: o.Log, privates: privates{held: map[fsys.ID]*lockedDir{}}}
	table, err := proctable.New(proctable.Options{
		Proc:          o.Proc,
		Interval:      cfg.Census.Interval,
		Events:        proctable.Events(cfg.Census.Events),
		ReceiveBuffer: o.ReceiveBuffer,
		Tell:          w.counting,
	})
	if err != nil {
		unlock(locked)
		state.Close()
		return nil, err
	}
	w.version, w.load, w.apply, w.fs, w.dpkg, w.rpm = o.Version, o.Load, o.Apply, o.FS, o.AdminDir, o.RPMDirs
	w.state, w.locked, w.table = state, locked, table
	w.cfg, w.cfgLoadedAt = cfg, time.Now()
	w.ready, w.fatal, w.loops = make(chan struct{}), make(chan error, 1), map[string]*loop{}
	w.ctx, w.stop = context.WithCancel(context.Background())
	w.keepLeft(cfg)
	return w, nil
}

// Run manages every configured target that is not released until ctx ends, then returns nil and
// leaves a working link. ErrRestart asks to be started anew.
func (w *Watcher) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.table.Run(ctx) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case err := <-w.fatal:
			return err
		}
	})
	w.mu.Lock()
	w.watching = true
	for _, cfg := range w.left {
		w.begin(cfg).wake()
		w.happened(zerolog.WarnLevel, api.Event{Kind: api.EventRestore, Target: cfg.Name, Message: leaveReason(cfg.Path) + ": it is restored"})
	}
	for _, cfg := range w.cfg.Targets {
		w.begin(cfg)
	}
	loops := w.all()
	w.mu.Unlock()

	g.Go(func() error {
		for _, l := range loops {
			select {
			case <-l.first:
			case <-ctx.Done():
				return nil
			}
		}
		select {
		case <-w.table.Ready():
			close(w.ready)
		case <-ctx.Done():
		}
		return nil
	})
	err := g.Wait()
	w.endAll()
	return err
}

// Ready is closed when every target's directory is watched and was looked at, and a first census is
// complete.
func (w *Watcher) Ready() <-chan struct{} { return w.ready }

// Close ends what runs and gives the lock back.
func (w *Watcher) Close() error {
	w.stop()
	w.endAll()
	return errors.Join(w.table.Close(), unlock(w.locked), w.state.Close())
}

// begin starts the loop of a target. w.mu is held.
func (w *Watcher) begin(cfg config.Target) *loop {
	ctx, cancel := context.WithCancel(w.ctx)
	l := &loop{target: newTarget(w, cfg), cancel: cancel, gone: make(chan struct{})}
	_, configured := w.cfg.Target(cfg.Name)
	l.leaving = !configured
	w.loops[cfg.Name] = l
	active := w.watching
	go func() {
		defer close(l.gone)
		err := l.run(ctx, active)
		if l.hasLeft {
			w.ended(l)
		}
		if err != nil {
			select {
			case w.fatal <- err:
			default:
			}
		}
	}()
	return l
}

// endAll ends all loops and waits for them.
func (w *Watcher) endAll() {
	w.mu.Lock()
	loops := w.all()
	clear(w.loops)
	w.watching = false
	w.mu.Unlock()
	for _, l := range loops {
		l.end()
	}
}

func (l *loop) end() {
	l.cancel()
	<-l.gone
}

// all is the loops in the order of the configuration. w.mu is held.
func (w *Watcher) all() []*loop {
	var loops []*loop
	for _, cfg := range slices.Concat(w.cfg.Targets, w.left) {
		if l := w.loops[cfg.Name]; l != nil {
			loops = append(loops, l)
		}
	}
	return loops
}

// find is the loop of a configured target, started for the verb when Run does not run.
func (w *Watcher) find(name string) (*loop, error) { return w.findIn(name, false) }

// findIn is find and, if left says so, for targets that have left the configuration, too.
func (w *Watcher) findIn(name string, left bool) (*loop, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	cfg, ok := w.cfg.Target(name)
	if i := slices.IndexFunc(w.left, func(t config.Target) bool { return t.Name == name }); !ok && left && i >= 0 {
		cfg, ok = w.left[i], true
	}
	if !ok {
		return nil, fmt.Errorf("%w: %q: the configuration has %s", api.ErrNoTarget, name, names(w.cfg))
	}
	if w.ctx.Err() != nil {
		return nil, errStopped
	}
	if l := w.loops[name]; l != nil {
		return l, nil
	}
	if w.watching {
		return nil, fmt.Errorf("%w: %s is being published anew: try again", api.ErrRefused, name)
	}
	return w.begin(cfg), nil
}

// ensureLoop is the loop of a target, begun when there is none.
func (w *Watcher) ensureLoop(cfg config.Target) *loop {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l := w.loops[cfg.Name]; l != nil {
		return l
	}
	return w.begin(cfg)
}

func names(cfg *config.Config) string {
	list := ""
	for i, t := range cfg.Targets {
		if i > 0 {
			list += ", "
		}
		list += t.Name
	}
	return list
}

// each is the loops of one target, or of all for "".
func (w *Watcher) each(target string) ([]*loop, error) {
	if target != "" {
		l, err := w.find(target)
		return []*loop{l}, err
	}
	w.mu.Lock()
	targets := w.cfg.Targets
	w.mu.Unlock()
	var loops []*loop
	for _, cfg := range targets {
		l, err := w.find(cfg.Name)
		if err != nil {
			return nil, err
		}
		loops = append(loops, l)
	}
	return loops, nil
}
