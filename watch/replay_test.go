package watch

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/gob"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/pool"
	"relinkd/watch/proctable"
)

// replayed is what happens to a target in virtual time, while processes begin and end on whatever stands at
// path: everything that may happen to it at a rate at which the threshold is promised.
type replayed struct {
	Seed      uint64
	Publish   config.Publish
	Copies    int
	Threshold int
	Rate      int           // processes that begin a second
	Burst     int           // that many at once
	Lasting   int           // in 100, the processes that stay
	Noise     int           // processes a second of which nothing is managed
	Speed     int           // so many times as fast as it was a recorded storm goes on, in place of Rate and Burst; 0 for none
	Late      time.Duration // until an event is read, at the most
	Slow      time.Duration // until the target acts on what it is told, at the most
	Growth    time.Duration // a step of making copies takes, at the most; no less than six tenths of it
	Census    time.Duration // a census takes
	Launched  time.Duration // until a launcher looks up where it is to go, at the most
	Early     bool          // processes begin before relinkd has published anything
	Turns     []turn
}

// turn is something else that happens after so many milliseconds.
type turn struct {
	After int
	What  string
}

// eventsASecond is how many events are told of in half of all stories, and in most others fewer: more than a
// small machine can make.
const eventsASecond = 20_000

// The turns.
var turnKinds = []string{"upgrade", "copy removed", "more copies", "fewer copies", "another target", "its end", "events lost", "rest", "reclone", "adopt", "growth fails"}

const (
	replayLasts = 1800 * time.Millisecond
	replayTick  = 250 * time.Microsecond
)

func drawReplay(t *rapid.T) replayed {
	ms := func(least, most int, label string) time.Duration {
		return time.Duration(rapid.IntRange(least, most).Draw(t, label)) * time.Millisecond
	}
	r := replayed{
		Seed:     rapid.Uint64().Draw(t, "seed"),
		Publish:  rapid.SampledFrom(ways).Draw(t, "publish"),
		Copies:   rapid.IntRange(2, 4).Draw(t, "copies"),
		Rate:     rapid.IntRange(50, 2000).Draw(t, "rate"),
		Burst:    rapid.IntRange(1, 10).Draw(t, "burst"),
		Lasting:  rapid.IntRange(10, 100).Draw(t, "lasting"),
		Late:     ms(0, 6, "late"),
		Slow:     ms(0, 3, "slow"),
		Growth:   ms(5, 60, "growth"),
		Census:   ms(1, 60, "census"),
		Launched: ms(0, 5, "launched"),
	}
	r.Early = rapid.Bool().Draw(t, "early") && r.Publish != config.PublishNone // nothing executes a private link that is not there
	// A process is three events.
	if r.Speed = rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "speed"); r.Speed > 0 {
		rec, err := recorded()
		if err != nil {
			t.Fatal(err)
		}
		r.Rate, r.Burst = r.Speed*rec.rate, r.Speed*rec.surge-r.Speed*rec.rate/100
	}
	r.Noise = rapid.SampledFrom([]int{0, 1, 1}).Draw(t, "noise") * max(0, eventsASecond/3-r.Rate)
	// Twice as many as may begin before an event is acted upon: there it can be promised.
	unseen := r.Rate*int((r.Late+r.Slow+proctableWindow)/time.Millisecond)/1000 + 2*r.Burst
	r.Threshold = 2*unseen + rapid.IntRange(0, 100).Draw(t, "threshold")
	// And a pool that is not used up before it is known how fast it is, and more copies are made.
	early := r.Rate * int((300*time.Millisecond+10*r.Growth)/time.Millisecond) / 1000
	r.Copies += 2 * early / r.Threshold
	for range rapid.IntRange(0, 6).Draw(t, "turns") {
		r.Turns = append(r.Turns, turn{rapid.IntRange(50, 600).Draw(t, "after"), rapid.SampledFrom(turnKinds).Draw(t, "what")})
	}
	return r
}

// proctableWindow is the least latency that a mark allows for.
const proctableWindow = 10 * time.Millisecond

// However a pool grows, is made anew, mended and changed while processes begin: no copy passes the threshold
// where that is promised, and where the kernel tells of everything it is promised. Events go through the
// real decoder, Table, Follower and the target's own steering, on its own files, by a clock of the test.
func TestReplay(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "replay-")
	if err != nil {
		dir = t.TempDir() // a disk, which is slow
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	n := 0
	play := func(t *testing.T, story replayed) (wrong string) {
		n++
		root := filepath.Join(dir, strconv.Itoa(n))
		must(t, os.MkdirAll(root, 0o755))
		defer os.RemoveAll(root)
		synctest.Test(t, func(t *testing.T) { wrong = newReplay(t, root, story).play() })
		return wrong
	}
	for _, story := range foundStories {
		if wrong := play(t, story); wrong != "" {
			t.Fatalf("%s\nof %+v", wrong, story)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		story := drawReplay(rt)
		if wrong := play(t, story); wrong != "" {
			rt.Fatalf("%s\nof %+v", wrong, story)
		}
	})
}

// foundStories are those that a drawn one has come to once, and that are too rare to wait for.
var foundStories = []replayed{
	// One copy was made at a time where more than it holds came meanwhile, until none had room.
	{Publish: config.PublishSymlink, Copies: 14, Threshold: 134, Rate: 1262, Burst: 25, Lasting: 100, Speed: 1,
		Slow: 2 * time.Millisecond, Growth: 36 * time.Millisecond, Census: 15 * time.Millisecond, Launched: 2 * time.Millisecond},
}

// Which processes are which: 1 is not to end.
const (
	firstMade    = 2
	firstNoise   = 10_000_000
	recordedPIDs = 40_000 // those of a recorded storm are below
)

// recordedEvent is one of a storm, since that began.
type recordedEvent struct {
	proctable.Happened
	message []byte
	ours    bool // of a process that has executed what the storm was made of
}

// storm is events that were recorded.
type recordedStorm struct {
	events []recordedEvent
	rate   int // processes a second
	surge  int // within 10 ms
}

// recorded is the storm that was recorded with the process table's tests: three masters that execute as fast as
// they can, on two cores.
var recorded = sync.OnceValues(func() (s recordedStorm, err error) {
	data, err := os.ReadFile(filepath.Join("proctable", "testdata", "storm.gob.gz"))
	if err != nil {
		return s, err
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return s, err
	}
	var file struct {
		Messages []struct {
			Data  []byte
			Place int
		}
	}
	if err := gob.NewDecoder(unzipped).Decode(&file); err != nil {
		return s, err
	}
	ours := map[int32]bool{}
	for _, m := range file.Messages {
		h, err := proctable.Understand(m.Data)
		if err != nil {
			return s, err
		}
		ours[h.PID] = ours[h.PID] || m.Place >= 0
		s.events = append(s.events, recordedEvent{Happened: h, message: m.Data})
	}
	var begun []time.Duration
	first := s.events[0].At
	for i := range s.events {
		e := &s.events[i]
		e.At -= first
		if e.ours = ours[e.PID]; e.ours && e.Exec {
			begun = append(begun, e.At)
		}
		for len(begun) > 0 && e.At-begun[0] > 10*time.Millisecond {
			begun = begun[1:]
		}
		s.surge = max(s.surge, len(begun))
		if e.ours && e.Exec {
			s.rate++
		}
	}
	s.rate = int(float64(s.rate) / s.events[len(s.events)-1].At.Seconds())
	return s, nil
})

// replay is a story that is played.
type replay struct {
	broken time.Time // since when nothing is promised; zero while all is
	replayed
	t      *testing.T
	random *rand.Rand
	site   *site
	proc   string // where procfs is
	kernel *proctable.Play
	w      *Watcher
	target *target
	other  *proctable.Follower

	events []recordedEvent // of the storm that is repeated
	played int             // of these
	began  time.Time       // when the storm began, or was begun anew
	round  int32           // it is so often begun anew
	turned time.Time       // when something else happened last
	since  time.Time       // when the first process began

	waiting   map[int64][]int32    // in which tick which launchers look up where they are to go
	exes      map[fsys.ID]*os.File // held open, so that an inode that is run is not given out again
	copies    map[fsys.ID]bool     // of these, the copies; the others are the packaged files
	running   map[fsys.ID]int
	launchers map[fsys.ID]bool // which of exes are launchers
	runs      map[int32]fsys.ID
	ends      map[int64][]int32 // in which tick which processes end
	busy      bool              // processes begin and end
	tick      int64
	owed      float64 // processes that should have begun
	noise     float64
	nextPID   int32
	readAt    time.Time
	actAt     time.Time // zero for never
	onlyBy    bool      // counts alone ask for that
	due       time.Time
	held      []heldResult
	lostAt    time.Time
	version   int
	most      int
	wrong     string
}

// heldResult is what work off the loop comes back with, when it does.
type heldResult struct {
	at     time.Time
	result func()
}

func newReplay(t *testing.T, root string, story replayed) *replay {
	// What stands on disk bears times of the world.
	if real := lstat(t, root).Mtime; true {
		time.Sleep(time.Until(time.Unix(0, real).Add(time.Hour)))
	}
	r := &replay{replayed: story, t: t, random: rand.New(rand.NewPCG(story.Seed, 1)), proc: filepath.Join(root, "proc"),
		waiting: map[int64][]int32{}, exes: map[fsys.ID]*os.File{}, copies: map[fsys.ID]bool{}, running: map[fsys.ID]int{}, launchers: map[fsys.ID]bool{}, runs: map[int32]fsys.ID{}, ends: map[int64][]int32{}, nextPID: firstMade}
	if r.Speed > 0 {
		rec, err := recorded()
		must(t, err)
		r.events = rec.events
	}
	r.site = newSiteIn(t, root, func(c *config.Target) {
		c.Publish, c.Copies, c.MaxCopies, c.Threshold, c.RotateAt = story.Publish, story.Copies, 900, story.Threshold, 0.9
		c.Settle = config.Settle{}
	})
	r.site.quiet = true
	must(t, os.MkdirAll(filepath.Join(r.proc, "1"), 0o755))
	var err error
	r.kernel, err = proctable.NewPlay(proctable.Options{Proc: r.proc, Interval: time.Minute, Events: proctable.EventsAuto})
	must(t, err)
	r.w, err = New(r.site.cfg, r.site.options())
	must(t, err)
	must(t, r.w.table.Close())
	r.w.table = r.kernel.Table
	r.target = newTarget(r.w, r.site.cfg.Targets[0])
	return r
}

// play plays the story, and returns what went wrong.
func (r *replay) play() string {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r.target.watch(ctx)
	r.target.active = true
	defer func() {
		for _, h := range r.held { // the target waits for them
			h.result()
		}
		r.target.close()
		for _, f := range r.exes {
			f.Close()
		}
		must(r.t, r.kernel.Close())
		must(r.t, unlock(r.w.locked))
		r.w.state.Close()
	}()
	r.install()
	began, turns := time.Now(), r.Turns
	r.busy = r.Early
	r.began, r.since = began, began
	for end := time.Now().Add(10 * time.Second); r.target.status != api.Steady || !r.target.follower.Sound(); {
		if time.Now().After(end) {
			return fmt.Sprintf("it does not become steady: %s %s", r.target.status, r.target.reason)
		}
		r.moment(ctx, r.read)
		r.step(ctx)
	}
	if !r.busy {
		r.busy = true
		began = time.Now()
		r.began, r.since = began, began
	}
	next := began
	if len(turns) > 0 {
		next = began.Add(time.Duration(turns[0].After) * time.Millisecond)
	}
	for r.wrong == "" && time.Since(began) < replayLasts {
		if len(turns) > 0 && !time.Now().Before(next) {
			r.turn(turns[0].What)
			r.turned = time.Now()
			if turns = turns[1:]; len(turns) > 0 {
				next = time.Now().Add(time.Duration(turns[0].After) * time.Millisecond)
			}
		}
		r.moment(ctx, r.read)
		r.step(ctx)
	}
	if r.wrong == "" {
		r.check()
	}
	return r.wrong
}

// moment is one tick of all that goes on beside the censuses. read is how events are read.
func (r *replay) moment(ctx context.Context, read func()) {
	time.Sleep(replayTick)
	r.tick++
	if r.busy {
		r.live()
	}
	now := time.Now()
	if !now.Before(r.readAt) {
		read()
		r.readAt = now.Add(r.some(r.Late))
		if r.random.IntN(20) > 0 { // as a rule it comes at once
			r.readAt = now
		}
	}
	if r.target.working > len(r.held) {
		later := r.Growth*6/10 + r.some(r.Growth*4/10) // three times between the first and the last moment of a generation
		if r.target.growing != nil {                   // four times
			later = later * 3 / 4
		}
		r.held = append(r.held, heldResult{now.Add(later), <-r.target.results})
	}
	asked := false
	for i, h := range r.held {
		if !now.Before(h.at) {
			r.held = append(r.held[:i], r.held[i+1:]...)
			h.result()
			r.actAt, r.onlyBy, asked = now, false, true
			break
		}
	}
	select {
	case <-r.target.kick:
		asked, r.onlyBy = true, false
	case <-r.target.counted:
		if r.actAt.IsZero() {
			r.onlyBy = true
		}
		asked = true
	default:
	}
	if asked && r.actAt.IsZero() {
		r.actAt = now.Add(r.some(r.Slow))
	}
	if !r.actAt.IsZero() && !now.Before(r.actAt) || !r.due.IsZero() && !now.Before(r.due) || r.tick == 1 {
		r.act(ctx)
	}
	r.judge(now)
	r.judgeRate(now)
}

// act is one round of the target's loop, as in run.
func (r *replay) act(ctx context.Context) {
	t, now := r.target, time.Now()
	if r.onlyBy && t.atRest {
		r.due = sooner(r.due, t.steer(now))
	} else {
		r.due = sooner(time.Time{}, t.soonest(t.ensure(ctx), t.glance()))
	}
	if !r.due.IsZero() && !r.due.After(now) {
		r.due = now.Add(replayTick)
	}
	r.actAt, r.onlyBy = time.Time{}, false
	t.show()
}

// learns is how long it may take until all is promised again: what begins must be watched for a second.
const learns = 2 * time.Second

// judge notes that nothing is promised although it could be, for longer than it takes to learn how fast
// processes begin.
func (r *replay) judge(now time.Time) {
	t := r.target
	if t.growth.hindered(now) != "" { // and says so; it has to catch up then
		r.turned, r.broken = now, time.Time{}
		return
	}
	if t.promise.broken == "" {
		r.broken = time.Time{}
		return
	}
	if r.broken.IsZero() {
		r.broken = now
	}
	if now.Sub(r.broken) < learns && !r.calm(now) {
		return
	}
	if r.wrong != "" || t.status != api.Steady || t.job != nil || now.Sub(t.rotatedAt) < 0 {
		return
	}
	if r.lossy(now) || t.current == 0 || now.Sub(t.since) < 100*time.Millisecond {
		return
	}
	r.wrong = fmt.Sprintf("nothing is promised after %d ticks: %s", r.tick, t.promise.broken)
}

// judgeRate notes that fewer processes are taken to begin than do, once it is said to be known how many: on
// whatever they begin, while what is at path changes. From rest the rate has to be reached first. A recorded storm
// has its lulls, and bursts that are far apart are no rate.
func (r *replay) judgeRate(now time.Time) {
	reached := 1500 * time.Millisecond
	if r.Early {
		reached = 0
	}
	if !r.busy || r.wrong != "" || r.Speed > 0 || r.Rate < 50*r.Burst || now.Sub(r.since) < reached || r.lossy(now) {
		return
	}
	if _, known := r.target.follower.Surge(); !known {
		return
	}
	if rate := r.target.follower.Rate(); rate < 0.9*float64(r.Rate) {
		r.wrong = fmt.Sprintf("after %d ticks %.0f processes are taken to begin a second, and %d do", r.tick, rate, r.Rate)
	}
}

// calm reports whether nothing but processes has come for so long that no copy may be wanting: how fast they
// begin, and how long a copy takes, is known.
func (r *replay) calm(now time.Time) bool {
	return r.busy && now.Sub(r.since) > 1200*time.Millisecond && now.Sub(r.turned) > 800*time.Millisecond
}

// lossy reports whether events were lost a moment ago, and no census has made up for them.
func (r *replay) lossy(now time.Time) bool {
	if !r.lostAt.IsZero() && r.target.follower.Sound() && r.target.promise.broken == "" {
		r.lostAt = time.Time{}
	}
	return !r.lostAt.IsZero()
}

func (r *replay) some(most time.Duration) time.Duration {
	return time.Duration(r.random.Int64N(int64(most) + 1))
}

func (r *replay) read() { must(r.t, r.kernel.Read()) }

// step takes a census when that is due, during which all else goes on.
func (r *replay) step(ctx context.Context) {
	if time.Now().Before(r.kernel.Due()) {
		return
	}
	must(r.t, r.kernel.Step(func(read func()) {
		for end := time.Now().Add(r.Census); time.Now().Before(end); {
			r.moment(ctx, read)
		}
	}))
}

// live has processes begin and end as the time has come.
func (r *replay) live() {
	perTick := replayTick.Seconds()
	if r.Speed > 0 {
		r.repeat()
	} else {
		for r.owed += float64(r.Rate) * perTick; r.owed >= float64(r.Burst); r.owed -= float64(r.Burst) {
			for range r.Burst {
				pid := r.nextPID
				r.nextPID++
				must(r.t, r.kernel.Fork(pid))
				r.begin(pid, func() error { return r.kernel.Exec(pid) })
				if r.random.IntN(100) >= r.Lasting {
					at := r.tick + 1 + int64(r.Launched/replayTick) + r.random.Int64N(int64(time.Second/replayTick))
					r.ends[at] = append(r.ends[at], pid)
				}
			}
		}
	}
	for r.noise += float64(r.Noise) * perTick; r.noise >= 1; r.noise-- {
		pid := firstNoise + r.random.Int32N(1000)
		must(r.t, r.kernel.Fork(pid))
		must(r.t, r.kernel.Exec(pid))
		must(r.t, r.kernel.Exit(pid))
	}
	for _, pid := range r.waiting[r.tick] {
		if _, is := r.runs[pid]; is {
			r.execute(pid, r.site.privateLink(), func() error { return r.kernel.Exec(pid) })
		}
	}
	delete(r.waiting, r.tick)
	for _, pid := range r.ends[r.tick] {
		r.end(pid, func() error { return r.kernel.Exit(pid) })
	}
	delete(r.ends, r.tick)
}

// repeat has happen what has happened in the storm by now. Of the processes that ended in it some stay.
func (r *replay) repeat() {
	for at := time.Duration(r.Speed) * time.Since(r.began); ; r.played++ {
		if r.played == len(r.events) { // from the beginning
			at -= r.events[r.played-1].At
			r.played, r.began = 0, time.Now()
			r.round++
		}
		e := r.events[r.played]
		if e.At > at {
			return
		}
		move := r.round * recordedPIDs
		pid := e.PID + move
		tell := func() error { return r.kernel.Repeat(e.message, move) }
		_, runs := r.runs[pid]
		switch {
		case e.Exec && e.ours && !runs:
			r.begin(pid, tell)
		case e.Exit && runs && r.random.IntN(100) >= r.Lasting:
			r.end(pid, tell)
		case !runs:
			must(r.t, tell())
		}
	}
}

// end has a process end.
func (r *replay) end(pid int32, tell func() error) {
	must(r.t, os.Remove(r.exe(pid)))
	r.running[r.runs[pid]]--
	delete(r.runs, pid)
	must(r.t, tell())
}

func (r *replay) exe(pid int32) string { return filepath.Join(r.proc, strconv.Itoa(int(pid)), "exe") }

// executed is what a process executes now.
func (r *replay) executed() string {
	if r.Publish == config.PublishNone {
		return r.site.privateLink()
	}
	return r.site.path
}

// begin has a process execute what it is to, or the launcher of that.
func (r *replay) begin(pid int32, tell func() error) {
	must(r.t, os.MkdirAll(filepath.Dir(r.exe(pid)), 0o755))
	r.execute(pid, r.executed(), tell)
	if r.launches(r.runs[pid]) {
		at := r.tick + 1 + int64(r.some(r.Launched)/replayTick)
		r.waiting[at] = append(r.waiting[at], pid)
	}
}

// launches reports whether that file is a launcher.
func (r *replay) launches(id fsys.ID) bool {
	if r.Publish != config.PublishLauncher || r.copies[id] {
		return false
	}
	is, known := r.launchers[id]
	if !known {
		is = r.site.published(r.Publish)
		r.launchers[id] = is
	}
	return is
}

// execute has a process execute what name leads to, in place of what it has executed so far.
func (r *replay) execute(pid int32, name string, tell func() error) {
	name, err := filepath.EvalSymlinks(name)
	must(r.t, err)
	id := lstat(r.t, name).ID
	f := r.exes[id]
	if f == nil {
		f, err = os.Open(name)
		must(r.t, err)
		r.exes[id], r.copies[id] = f, filepath.Base(name) != "imapd"
	}
	if before, runs := r.runs[pid]; runs {
		must(r.t, os.Remove(r.exe(pid)))
		r.running[before]--
	}
	must(r.t, os.Symlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), r.exe(pid)))
	r.runs[pid] = id
	r.running[id]++
	must(r.t, tell())
	if n := r.running[id]; r.copies[id] {
		r.most = max(r.most, n)
		if now := time.Now(); n > r.Threshold && r.wrong == "" && !r.lossy(now) && (r.target.promise.last.IsZero() || now.Sub(r.target.promise.last) > 100*time.Millisecond) {
			r.wrong = fmt.Sprintf("after %d ticks %d processes run %s, and the threshold of %d was promised; mark %d, %+v", r.tick, n, filepath.Base(name), r.Threshold, r.target.mark, r.target.promise)
		}
	}
}

func (r *replay) install() {
	r.version++
	r.site.install(strconv.Itoa(r.version))
	r.target.wake()
}

// turn has something else happen.
func (r *replay) turn(what string) {
	t := r.target
	change := func(by int) {
		cfg := t.cfg
		cfg.Copies = max(1, cfg.Copies+by)
		t.configure(cfg, r.site.cfg.Census)
	}
	switch what {
	case "upgrade":
		r.install()
	case "copy removed":
		if n := t.wanted; n != t.current && t.status == api.Steady {
			must(r.t, os.Remove(r.site.copy(n)))
			t.lastCheck = time.Time{}
			t.wake()
		}
	case "more copies":
		change(2)
	case "fewer copies":
		change(-1)
	case "another target":
		if r.other == nil {
			r.other = r.kernel.Follow(nil)
			r.other.Set([]fsys.ID{{Dev: 1, Ino: r.random.Uint64()}})
		}
	case "its end":
		if r.other != nil {
			r.other.Close()
			r.other = nil
		}
	case "reclone": // refused where nothing is in force, as adopt is
		_, _ = t.reclone()
	case "adopt":
		for _, h := range r.held { // what is under way is called off
			h.result()
		}
		r.held = nil
		r.version++
		_, _ = t.adopt(context.Background(), r.site.file(strconv.Itoa(r.version)))
	case "growth fails": // once
		var failed atomic.Bool
		beyond := t.wanted
		r.site.calls.on("clone: create", func(path string) error {
			n := pool.CopyNumber(name, strings.TrimSuffix(filepath.Base(path), ".new"))
			if n <= beyond || failed.Swap(true) {
				return nil
			}
			return unix.EIO
		})
	case "events lost":
		r.lostAt = time.Now()
		r.kernel.Lose()
	}
}

// check compares what is counted in the end with what there is.
func (r *replay) check() {
	r.busy = false
	r.read()
	for end := time.Now().Add(5 * time.Second); !r.target.follower.Sound() && time.Now().Before(end); {
		r.moment(context.Background(), r.read)
		r.step(context.Background())
	}
	r.read()
	counts := r.target.follower.Counts()
	for id, n := range r.running {
		if counts.Known(id) && counts.Of(id) != n {
			r.wrong = fmt.Sprintf("in the end %d processes are counted of a file, and there are %d", counts.Of(id), n)
		}
	}
	if r.most == 0 && r.wrong == "" {
		r.wrong = "no process has run a copy: this proves nothing"
	}
}
