package watch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/internal/standin"
	"relinkd/pool"
)

// scenery is what goes on around a daemon, other than by the test itself: a daemon that is to be killed
// is another process, and follows it there.
type scenery struct {
	Path, State string // of the target; the state directory
	Races       []race
	NoExchange  bool // the file system has no RENAME_EXCHANGE
	Verbs       []verb
	Offline     bool           // the verbs are done without a daemon
	Reload      *config.Config // what the verb "reload" reads
}

// race is what somebody else does just ahead of the nth call, from 1, of that label.
type race struct {
	Op  fsys.Op
	Nth int
	Do  string
	Arg string
}

// verb is what an operator asks for, again until it is done.
type verb struct{ Name, Arg string }

// Beside the install directory, the site keeps what is to be known of both processes.
const (
	newestName  = "newest"  // the version that was installed last
	plantedName = "planted" // a foreign file was put in the place of a copy
	settledName = "settled" // the daemon in the other process rests
	killedName  = "killed"  // it has killed itself
)

func (sc *scenery) note(name string) string {
	return filepath.Join(filepath.Dir(filepath.Dir(sc.Path)), name)
}

func (sc *scenery) copy(arg string) string {
	return filepath.Join(filepath.Dir(sc.Path), name+"_"+arg)
}

// perform does what the race is about.
func (sc *scenery) perform(r race) error {
	var err error
	switch r.Do {
	case "install": // a version
		if err = standin.Write(sc.Path, r.Arg); err == nil {
			err = os.WriteFile(sc.note(newestName), []byte(r.Arg), 0o600)
		}
	case "remove path": // what is in force then is a version
		if err = os.Remove(sc.Path); err == nil {
			err = os.WriteFile(sc.note(newestName), []byte(r.Arg), 0o600)
		}
	case "remove copy": // a number
		err = os.Remove(sc.copy(r.Arg))
	case "plant": // in the place of a copy of that number
		if err = standin.Write(sc.note("theirs"), "theirs"); err == nil {
			err = os.Rename(sc.note("theirs"), sc.copy(r.Arg))
		}
		if err == nil {
			err = os.WriteFile(sc.note(plantedName), nil, 0o600)
		}
	case "scribble": // on a copy of that number
		err = os.WriteFile(sc.copy(r.Arg), []byte("scribbled"), 0o755)
	case "litter": // in the private directory
		err = os.WriteFile(filepath.Join(filepath.Dir(sc.Path), ".relinkd", r.Arg), nil, 0o600)
	case "litter the state":
		err = os.WriteFile(filepath.Join(sc.State, r.Arg), nil, 0o600)
	case "read only":
		return unix.EROFS
	case "fail":
		return unix.EIO
	default:
		panic(r.Do)
	}
	if err != nil {
		panic(fmt.Sprintf("%s %s: %v", r.Do, r.Arg, err))
	}
	return nil
}

// director runs ahead of each changing call of a daemon.
type director struct {
	*scenery
	// fault is asked whether the nth call with that label fails; look sees all calls.
	fault func(op fsys.Op, nth int) error
	look  func(op fsys.Op)

	mu   sync.Mutex
	seen map[fsys.Op]int
}

func (d *director) before(op fsys.Op, _ string) error {
	d.mu.Lock()
	if d.seen == nil {
		d.seen = map[fsys.Op]int{}
	}
	d.seen[op]++
	nth := d.seen[op]
	d.mu.Unlock()
	if d.look != nil {
		d.look(op)
	}
	var raced error
	for _, r := range d.Races {
		if r.Op == op && r.Nth == nth {
			raced = d.perform(r)
		}
	}
	if d.fault != nil {
		if err := d.fault(op, nth); err != nil {
			return err
		}
	}
	if raced != nil {
		return raced
	}
	if d.NoExchange && strings.HasSuffix(string(op), ": exchange") {
		return unix.EINVAL
	}
	return nil
}

// ask has a Watcher do the verb once.
func (v verb) ask(ctx context.Context, w *Watcher) error {
	switch v.Name {
	case "restore":
		r, err := w.Restore(ctx, name, v.Arg == "force")
		if err == nil && strings.Contains(strings.Join(r.Warnings, "\n"), "it is left") {
			return errors.New("something could not be removed, and is asked for again")
		}
		return err
	case "manage":
		_, err := w.Manage(ctx, name)
		return err
	case "adopt":
		_, err := w.Adopt(ctx, name, v.Arg)
		return err
	case "reclone":
		_, err := w.Reclone(ctx, name)
		return err
	case "rotate":
		var n int
		if _, err := fmt.Sscan(v.Arg, &n); err != nil {
			return err
		}
		if n == pool.CopyNumber(name, shownTarget(w).Current) {
			return nil // it has come to that in spite of the error
		}
		_, err := w.Rotate(ctx, name, n)
		return err
	case "reload":
		_, err := w.Reload(ctx)
		return err
	}
	panic(v.Name)
}

// shownTarget is the status of the target NAME.
func shownTarget(w *Watcher) api.TargetStatus {
	st, err := w.Status(context.Background())
	if err != nil || len(st.Targets) == 0 {
		return api.TargetStatus{}
	}
	return st.Targets[0]
}

// rests reports whether a target is where it stays until something happens.
func rests(st api.TargetStatus) bool {
	return st.State != api.Starting && st.State != api.Settling && st.State != api.Cloning && st.State != ""
}

// The environment of a victim, beside that of a daemon.
const (
	storyVariable = "RELINKD_TEST_STORY"   // in JSON
	labelVariable = "RELINKD_TEST_KILL_OP" // the label of the call before which it kills itself
	nthVariable   = "RELINKD_TEST_KILL_NTH"
)

// runVictim runs a Watcher that follows a script until it kills itself.
func runVictim() error {
	var cfg config.Config
	var sc scenery
	var nth int
	_, err := fmt.Sscan(os.Getenv(nthVariable), &nth)
	err = errors.Join(err, json.Unmarshal([]byte(os.Getenv(configVariable)), &cfg),
		json.Unmarshal([]byte(os.Getenv(storyVariable)), &sc))
	if err != nil {
		return err
	}
	go func() { // the tests are over, in whatever way
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	d := &director{scenery: &sc, fault: func(op fsys.Op, n int) error {
		if string(op) != os.Getenv(labelVariable) || n < nth {
			return nil
		}
		return errors.Join(os.WriteFile(sc.note(killedName), nil, 0o600), unix.Kill(os.Getpid(), unix.SIGKILL), unix.EINTR)
	}}
	admin := os.Getenv(adminVariable)
	w, err := New(&cfg, Options{FS: &fsys.FS{Before: d.before}, AdminDir: admin, RPMDirs: []string{admin},
		Load: func() (*config.Config, error) { return cmp.Or(sc.Reload, &cfg), nil }})
	if err != nil {
		return err
	}
	ctx := context.Background()
	if !sc.Offline {
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		for settled := false; !settled; {
			select {
			case err := <-ended:
				return errors.Join(err, w.Close())
			case <-time.After(2 * time.Millisecond):
				settled = rests(shownTarget(w))
			}
		}
		if err := os.WriteFile(sc.note(settledName), nil, 0o600); err != nil {
			return err
		}
		go follow(ctx, w, sc.Verbs)
		return errors.Join(<-ended, w.Close())
	}
	follow(ctx, w, sc.Verbs)
	return w.Close()
}

// follow does the verbs one after the other.
func follow(ctx context.Context, w *Watcher, verbs []verb) {
	for _, v := range verbs {
		for v.ask(ctx, w) != nil {
			<-time.After(10 * time.Millisecond)
		}
	}
}
