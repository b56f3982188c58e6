package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/internal/faults"
	"relinkd/internal/standin"
)

// errnos is what a changing call may fail with.
var errnos = []unix.Errno{unix.ENOSPC, unix.EIO, unix.EACCES, unix.EROFS, unix.EXDEV}

// versions are all that a story may bring.
var versions = []string{"1", "2", "3", "4", "5"}

// foreign is other people's files in the install directory, one of them of a copy's name.
var foreign = []string{"README", "imapd_009"}

// trial is a story in which one changing call goes wrong.
type trial struct {
	story
	publish config.Publish
	op      fsys.Op // which call: the nth of that label; "" for none
	nth     int
	errno   unix.Errno // how it fails, 0 for a kill
	hits    int        // how often the label fails, from that call on
}

func (c trial) String() string {
	what := "nothing goes wrong"
	switch {
	case c.op != "" && c.errno == 0:
		what = fmt.Sprintf("killed at %s %d", c.op, c.nth)
	case c.op != "":
		what = fmt.Sprintf("%s %d fails %d times with %s", c.op, c.nth, c.hits, unix.ErrnoName(c.errno))
	}
	return fmt.Sprintf("%s, %s: %s", c.story.name, c.publish, what)
}

// rehearsal is a trial under way.
type rehearsal struct {
	*site
	trial
	director
	newest  fsys.ID // the file that was installed last, where the test knows it
	d       *daemon // nil where another process has it
	gone    func() bool
	moved   bool // the world has taken its course
	fired   atomic.Int32
	foreign map[string]fsys.Info
}

func writeStandin(path, version string) error { return standin.Write(path, version) }

func holdsVersion(path, version string) bool {
	content, err := executable(path)
	return err == nil && bytes.Equal(content, standin.ELF(version))
}

// fastDir is a scratch directory in memory, where there is one that executes: most of what a trial would
// wait for otherwise is the disk.
func fastDir(t *testing.T) string {
	t.Helper()
	const shm = "/dev/shm"
	var fs unix.Statfs_t
	if err := unix.Statfs(shm, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC || fs.Flags&unix.ST_NOEXEC != 0 {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(shm, "relinkd")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

// newRehearsal is a site at the beginning of the trial's story.
func newRehearsal(t *testing.T, c trial) *rehearsal {
	t.Helper()
	s := newSiteIn(t, fastDir(t), func(cfg *config.Target) {
		cfg.Publish = c.publish
		if c.edit != nil {
			c.edit(cfg)
		}
	})
	r := &rehearsal{site: s, trial: c, foreign: map[string]fsys.Info{}}
	r.scenery = &scenery{Path: s.path, State: s.cfg.State.Dir}
	s.install("1")
	must(t, os.WriteFile(r.note(newestName), []byte("1"), 0o600))
	for _, file := range foreign {
		must(t, os.WriteFile(filepath.Join(s.dir, file), []byte(file), 0o644))
		r.foreign[file] = lstat(t, filepath.Join(s.dir, file))
	}
	if !c.cold {
		d := s.start()
		d.waitFor("steady", func(st api.TargetStatus) bool { return st.State == api.Steady })
		d.stop()
	}
	if c.setup != nil {
		c.setup(s)
	}
	if c.story.script != nil {
		c.story.script(s, r.scenery)
	}
	if c.reload != nil {
		cfg, _ := s.load()
		changed := *cfg
		changed.Targets = slices.Clone(cfg.Targets)
		c.reload(&changed.Targets[0])
		r.Reload = &changed
	}
	return r
}

// noted is what a note beside the install directory says, "" for none.
func (r *rehearsal) noted(name string) string {
	text, err := os.ReadFile(r.note(name))
	if err != nil {
		return ""
	}
	return string(text)
}

// executed is what processes execute: the private link of a sidecar that is there throughout the story.
func (r *rehearsal) executed() string {
	cfg, _ := r.load()
	if cfg.Targets[0].Publish == config.PublishNone && r.publish == config.PublishNone && !r.cold && r.reload == nil {
		return r.privateLink()
	}
	return r.path
}

// executes fails the test unless what processes execute is the whole of a version.
func (r *rehearsal) executes(when string) {
	content, err := executable(r.executed())
	if err != nil && r.absent {
		return
	}
	if err == nil && r.absent && r.world != nil && len(content) < len(standin.ELF("1")) {
		return // the story writes to it
	}
	for _, v := range append(versions, "x") {
		if err == nil && bytes.Equal(content, standin.ELF(v)) && (v != "x" || r.absent) {
			return
		}
	}
	r.t.Errorf("%s: %s does not execute: %d bytes, %v", when, r.executed(), len(content), err)
}

// until waits for something that a daemon does in the middle of a story. Where that is killed it is not
// waited for.
func (r *rehearsal) until(what string, cond func() bool) {
	r.t.Helper()
	if !within(deadline, func() bool { r.revive(); return cond() || r.d == nil && r.gone() }) {
		r.t.Fatalf("waited %s in vain: %s", deadline, what)
	}
}

// resting reports whether the daemon rests, where that can be known.
func (r *rehearsal) resting() bool { return r.d == nil || shownTarget(r.d.Watcher).State == api.Steady }

func (r *rehearsal) knowsPackage() {
	r.t.Helper()
	if r.d != nil {
		r.until("the package is known", func() bool {
			l, err := r.d.find(name)
			return err == nil && l.install.Packaged()
		})
	}
}

// raise starts the daemon under the trial's fault. One that cannot start is started again, as systemd
// does.
func (r *rehearsal) raise() {
	r.t.Helper()
	r.d = nil
	r.must(func() error {
		w, err := New(r.cfg, r.options())
		if err == nil {
			err = w.Close()
		}
		return err
	})
	r.d = r.launch()
	select {
	case <-r.d.Ready():
	case <-r.d.ended:
	case <-time.After(deadline):
		r.t.Fatal("the daemon does not become ready")
	}
	r.revive()
}

// revive does what systemd does: a daemon that asks for it is started anew.
func (r *rehearsal) revive() {
	if r.d == nil {
		return
	}
	select {
	case <-r.d.ended:
		if !errors.Is(r.d.err, ErrRestart) {
			r.t.Fatalf("the daemon has ended: %v", r.d.err)
		}
		r.d.stop()
		r.raise()
	default:
	}
}

// play is the story up to where all that others do is done.
func (r *rehearsal) play() {
	r.t.Helper()
	if r.Offline {
		r.must(func() error {
			w, err := New(r.cfg, r.options())
			if err != nil {
				return err
			}
			defer w.Close()
			return r.Verbs[0].ask(context.Background(), w)
		})
		r.raise()
		r.must(func() error { return verb{"manage", ""}.ask(context.Background(), r.d.Watcher) })
		return
	}
	r.raise()
	r.until("the daemon rests", func() bool { return rests(shownTarget(r.d.Watcher)) })
	if r.world != nil && !r.moved {
		r.moved = true
		r.world(r)
	}
	for _, v := range r.Verbs {
		if v.Name == "reload" {
			r.configure(func(c *config.Config) { *c = *r.Reload })
		}
		before := ""
		r.must(func() error {
			before = r.noted(newestName)
			return v.ask(context.Background(), r.d.Watcher)
		})
		// A newer file that came in the midst of it is in force after it.
		if v.Name == "adopt" && (r.noted(newestName) == before || r.noted(newestName) != "3") {
			must(r.t, os.WriteFile(r.note(newestName), []byte("2"), 0o600))
		}
	}
}

// must repeats what an operator does until it succeeds.
func (r *rehearsal) must(do func() error) {
	r.t.Helper()
	var err error
	if !within(deadline, func() bool {
		r.revive()
		if r.d != nil && !rests(shownTarget(r.d.Watcher)) {
			return false // what the last attempt has come to is not known yet
		}
		err = do()
		return err == nil
	}) {
		r.t.Fatalf("an operator tries in vain: %v", err)
	}
}

// ends waits until all is well, stops the daemon, and checks what stands on disk then.
func (r *rehearsal) ends() {
	r.t.Helper()
	st, well := r.rest()
	if !well {
		r.t.Errorf("waited %s in vain for version %s: %+v; in the directory %q, %q", deadline, r.noted(newestName), st,
			r.names(r.dir), r.names(r.private("")))
		r.inForce(r.noted(newestName), st.Copies...)
		return
	}
	r.calls.onAll(nil)
	for file, info := range r.foreign {
		at := filepath.Join(r.dir, file)
		if got := lstat(r.t, at); got != info {
			r.t.Errorf("the foreign file %s was %+v, is %+v", file, info, got)
		}
		must(r.t, os.Remove(at))
	}
	if !r.anyEnd {
		r.inForce(r.noted(newestName), st.Copies...)
	}
	r.runs(r.executed(), r.noted(newestName))
	cfg, _ := r.load()
	source := r.path
	if cfg.Targets[0].Publish != config.PublishNone {
		source = r.pristine()
	}
	if id := lstat(r.t, source).ID; !r.newest.IsZero() && r.noted(newestName) == "2" && id != r.newest {
		r.t.Errorf("%s is not the file that was installed last", source)
	}
	if r.check != nil {
		r.check(r.site)
	}
	for _, file := range r.names(r.cfg.State.Dir) {
		if !slices.Contains([]string{lockName, name + ".json", name + ".json.synced", name + suffixRestart}, file) {
			r.t.Errorf("%s is left in the state directory", file)
		}
	}
}

// rest waits until all is well, and stops the daemon. One that has asked for a new start by then, which a
// status does not tell, gets it.
func (r *rehearsal) rest() (st api.TargetStatus, well bool) {
	r.t.Helper()
	seen := func() bool {
		st = shownTarget(r.d.Watcher)
		if r.tick != nil {
			r.tick(r.site, st)
		}
		return r.well(st) && (r.done == nil || r.done(r.site, st))
	}
	for {
		if !within(deadline, func() bool {
			r.revive()
			if !seen() {
				return false
			}
			_ = r.d.Answer(context.Background()) // it may be in the midst of what it finds to do
			return seen()
		}) {
			return st, false
		}
		if r.drops {
			r.until("the previous one is dropped", func() bool {
				if l, err := r.d.find(name); err == nil {
					l.wake() // it is not worth a timer of its own
				}
				return lstat(r.t, r.previous()).ID.IsZero()
			})
		}
		r.d.stop()
		if !errors.Is(r.d.err, ErrRestart) {
			return st, true
		}
		r.raise()
	}
}

// well reports whether the version installed last is in force and nothing else is left, as inForce
// checks at the end; a status that does not yet tell of what has just happened is told by what
// stands on disk.
func (r *rehearsal) well(st api.TargetStatus) bool {
	version := r.noted(newestName)
	cfg, _ := r.load()
	publish := cfg.Targets[0].Publish
	if st.State != api.Steady || st.Generation.SHA256 != sha(version) || st.Publish != string(publish) {
		return false
	}
	source := r.path
	if publish != config.PublishNone {
		source = r.pristine()
		if !r.published(publish) {
			return false
		}
	}
	want := lstat(r.t, source)
	if !r.anyEnd && (!want.IsRegular() || !holdsVersion(source, version)) {
		return false
	}
	led := false
	for _, c := range st.Copies {
		if c.Number > cfg.Targets[0].MaxCopies {
			return false // it stands in for one whose name was taken, and is about to go
		}
		at := lstat(r.t, filepath.Join(r.dir, c.Name))
		if !c.Verified || at.Ino != c.Inode || !r.anyEnd && at.Mode != want.Mode || !holdsVersion(filepath.Join(r.dir, c.Name), version) {
			return false
		}
		text, err := os.Readlink(r.privateLink())
		led = led || err == nil && text == "../"+c.Name
	}
	if private := r.names(r.private("")); slices.ContainsFunc(private, func(file string) bool {
		return !slices.Contains([]string{name, name + ".pristine", name + ".previous"}, file) && !strings.Contains(file, ".drifted") && !strings.HasPrefix(file, name+".generation-")
	}) {
		return false
	}
	return led && len(r.names(r.dir)) == len(st.Copies)+len(foreign)+2
}

// fails is a trial in which a call fails, if the trial names one. It returns how often each label occurred, and
// whether it came to the call: to some a story comes only now and then.
func (c trial) fails(t *testing.T) (seen map[fsys.Op]int, failed bool) {
	r := newRehearsal(t, c)
	r.look = func(op fsys.Op) { r.executes("before " + string(op)) }
	r.fault = func(op fsys.Op, nth int) error {
		if op == c.op && nth >= c.nth && nth < c.nth+c.hits {
			r.fired.Add(1)
			return c.errno
		}
		return nil
	}
	r.calls.onAll(r.before)
	r.play()
	r.ends()
	if c.op != "" && r.fired.Load() == 0 && c.nth > 1 { // it came to fewer such calls than without a fault
		c.nth = 1
		return c.fails(t)
	}
	failed = r.fired.Load() > 0
	if c.op != "" && !failed {
		t.Logf("there was no call %s %d", c.op, c.nth)
	}
	return r.seen, failed
}

// dies is a trial in which the daemon kills itself ahead of a call, and another one takes over. It reports
// whether it came to that call: to some a story comes only now and then.
func (c trial) dies(t *testing.T) bool {
	r := newRehearsal(t, c)
	for lives := 0; !r.has(killedName); lives++ {
		if lives == 4 {
			t.Logf("there was no call %s %d", c.op, c.nth)
			return false
		}
		r.victim()
	}
	if !c.cold && !c.absent {
		r.executes("after the kill")
		if answer := ask(t, request{Op: "run", Args: []string{r.executed()}}); answer.Error != "" {
			t.Errorf("after the kill, executing %s: %s", r.executed(), answer.Error)
		}
	}
	r.Races = nil
	r.look = func(op fsys.Op) { r.executes("in recovery, before " + string(op)) }
	r.calls.onAll(r.before)
	r.play()
	r.ends()
	return true
}

// has reports whether there is a note.
func (r *rehearsal) has(name string) bool { return !lstat(r.t, r.note(name)).ID.IsZero() }

// victim is the story with the daemon in a process of its own, until that ends.
func (r *rehearsal) victim() {
	r.t.Helper()
	cfg, err := r.load()
	must(r.t, err)
	env := []string{roleVariable + "=" + roleVictim, adminVariable + "=" + r.admin,
		labelVariable + "=" + string(r.op), fmt.Sprintf("%s=%d", nthVariable, r.nth)}
	for variable, value := range map[string]any{configVariable: cfg, storyVariable: r.scenery} {
		text, err := json.Marshal(value)
		must(r.t, err)
		env = append(env, variable+"="+string(text))
	}
	p := ask(r.t, request{Op: "daemon", Args: env})
	if p.Error != "" {
		r.t.Fatal(p.Error)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ask(r.t, request{Op: "wait", PID: p.PID})
	}()
	r.gone = func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	}
	r.until("the daemon in another process rests", func() bool { return r.has(settledName) })
	if !r.gone() && r.world != nil && !r.moved {
		r.moved = true
		r.world(r)
	}
	stuck := time.Now()
	if !within(deadline, func() bool {
		if r.tick != nil && time.Since(stuck) > time.Second { // by then it has told of what is to be mended
			r.tick(r.site, api.TargetStatus{State: api.Degraded})
		}
		return r.gone()
	}) {
		release(r.t, p.PID)
		r.t.Fatalf("there was no call %s %d: in the directory %q, %q", r.op, r.nth, r.names(r.dir), r.names(r.private("")))
	}
}

// atOnce is how many trials go on at a time: most wait for a second to pass before a daemon tries again.
func atOnce() int { return 8 * runtime.GOMAXPROCS(0) }

// TestFaults plays every story with every label failing, and killed at every label. Whatever goes wrong:
// what processes execute is whole before every changing call, no file of others is lost, no temporary
// file is left, and the daemon comes back to steady by itself, with the version installed last. By
// default each label meets one errno and one kill, in a story that differs from label to label.
func TestFaults(t *testing.T) {
	var mu sync.Mutex
	occurs := map[fsys.Op][]trial{} // a trial without a fault in which the label occurs, nth times
	all := make(chan trial)
	go func() {
		defer close(all)
		for _, story := range stories() {
			for _, publish := range ways {
				if story.publish == nil || slices.Contains(story.publish, publish) {
					all <- trial{story: story, publish: publish}
				}
			}
		}
	}()
	inParallel(t, all, func(t *testing.T, c trial) {
		seen, _ := c.fails(t)
		mu.Lock()
		defer mu.Unlock()
		for op, n := range seen {
			if (op == "keep: generation" || op == "keep: unlink" || op == "keep: drop") && !c.drops {
				continue // it comes to that some time or other
			}
			c.op, c.nth = op, n
			occurs[op] = append(occurs[op], c)
		}
	})
	if t.Failed() {
		return
	}
	long := os.Getenv("LONG_TESTS") != ""
	failed, killed := map[fsys.Op]bool{}, map[fsys.Op]bool{}
	var plan []trial
	for i, op := range slices.Sorted(maps.Keys(occurs)) {
		in := occurs[op]
		slices.SortFunc(in, func(a, b trial) int { return strings.Compare(a.String(), b.String()) })
		pick := func(n int) trial {
			h := fnv.New32a()
			fmt.Fprint(h, op, n)
			return in[int(h.Sum32()>>4)%len(in)]
		}
		if !long {
			c := pick(0)
			c.nth, c.errno, c.hits = []int{1, c.nth}[i%2], errnos[i%len(errnos)], 1+i%2
			plan = append(plan, c)
			c = pick(1)
			c.nth = 1
			plan = append(plan, c)
			continue
		}
		for _, c := range in {
			for _, nth := range slices.Compact([]int{1, c.nth}) {
				c.nth = nth
				plan = append(plan, c)
				for _, errno := range errnos {
					for _, hits := range []int{1, 3} {
						f := c
						f.errno, f.hits = errno, hits
						plan = append(plan, f)
					}
				}
			}
		}
	}
	trials := make(chan trial)
	go func() {
		defer close(trials)
		for _, c := range plan {
			trials <- c
		}
	}()
	var injected, kills atomic.Int32
	inParallel(t, trials, func(t *testing.T, c trial) {
		reached, count := killed, &kills
		try := trial.dies
		if c.errno != 0 {
			reached, count = failed, &injected
			try = func(c trial, t *testing.T) bool {
				_, failed := c.fails(t)
				return failed
			}
		}
		came := try(c, t)
		for i := 0; !came && i < len(occurs[c.op]) && !t.Failed(); i++ {
			other := occurs[c.op][i]
			other.nth, other.errno, other.hits = 1, c.errno, c.hits
			came = try(other, t)
		}
		if !came {
			t.Errorf("no story came to %s", c.op)
		}
		count.Add(1)
		mu.Lock()
		defer mu.Unlock()
		reached[c.op] = true
	})
	for _, op := range sourceLabels(t) {
		if !failed[op] {
			t.Errorf("no story makes %q fail", op)
		}
		if !killed[op] {
			t.Errorf("no story kills at %q", op)
		}
	}
	t.Logf("%d labels; %d trials with a failing call and %d with a kill, in %d stories", len(failed), injected.Load(), kills.Load(), len(stories()))
	if !long {
		what := fmt.Sprintf("%d stories of a daemon's life", len(stories()))
		survived := "what processes execute is whole before every call; no file of others lost, nothing left over, steady by itself with the newest version"
		faults.Record(t, faults.Row{What: what, Times: len(failed) / 10 * 10, Survived: survived,
			Injected: "each labelled changing call fails (ENOSPC, EIO, EACCES, EROFS, EXDEV)"})
		faults.Record(t, faults.Row{What: what, Times: len(killed) / 10 * 10, Survived: survived,
			Injected: "kill -9 ahead of each labelled changing call"})
	}
}

// inParallel runs a subtest for each trial, several at a time.
func inParallel(t *testing.T, trials <-chan trial, run func(*testing.T, trial)) {
	var g errgroup.Group
	for range atOnce() {
		g.Go(func() error {
			for c := range trials {
				t.Run(c.String(), func(t *testing.T) { run(t, c) })
			}
			return nil
		})
	}
	_ = g.Wait() // they return none
}
