package watch

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/pool"
	"relinkd/watch/proctable"
)

// A promise that is lost is told of once, and once that it holds again, however often it comes and goes.
func TestPromiseIsTold(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	w, err := New(s.cfg, s.options())
	must(t, err)
	defer w.Close()
	start := time.Now()
	for _, c := range []struct {
		name    string
		edit    func(*target)
		breaks  func(at time.Duration) bool // whether it does not hold so long after the start
		lasts   time.Duration
		step    time.Duration
		want    []string // the reasons of events
		wantsAt []time.Duration
	}{
		{"never lost", nil, func(time.Duration) bool { return false }, time.Hour, time.Second, nil, nil},
		{"lost for an instant", nil, func(at time.Duration) bool { return at == time.Minute }, time.Hour, time.Second,
			[]string{"not promised", "promised again"}, []time.Duration{time.Minute, time.Minute + time.Second + keptFor}},
		{"it comes and goes", nil, func(at time.Duration) bool { return at > time.Minute && at < 10*time.Minute && at/time.Second%2 == 0 }, time.Hour, time.Second,
			[]string{"not promised", "promised again"}, []time.Duration{62 * time.Second, 9*time.Minute + 59*time.Second + keptFor}},
		{"it goes every half minute", nil, func(at time.Duration) bool { return at > 0 && at%(30*time.Second) == 0 }, 150 * time.Second, time.Second,
			[]string{"not promised", "promised again", "not promised", "promised again"},
			[]time.Duration{30 * time.Second, 41 * time.Second, 90 * time.Second, 101 * time.Second}},
		{"not at the start", nil, func(at time.Duration) bool { return at < 2*time.Second }, time.Hour, time.Second, nil, nil},
		{"never kept", nil, func(time.Duration) bool { return true }, time.Hour, time.Second, []string{"not promised"}, []time.Duration{firstLoss}},
		{"by the clock", func(t *target) { t.cfg.Rotation = config.RotationInterval }, func(time.Duration) bool { return true }, time.Hour, time.Second, nil, nil},
		{"not steady", func(t *target) { t.status = api.Cloning }, func(time.Duration) bool { return true }, time.Hour, time.Second, nil, nil},
		{"no daemon", func(t *target) { t.active = false }, func(time.Duration) bool { return true }, time.Hour, time.Second, nil, nil},
	} {
		x := newTarget(w, s.cfg.Targets[0])
		x.status, x.active = api.Steady, true
		x.history = newHistory()
		if c.edit != nil {
			c.edit(x)
		}
		var at []time.Duration
		for after := time.Duration(0); after < c.lasts; after += c.step {
			x.promise.broken = ""
			if c.breaks(after) {
				x.breaks("why", start.Add(after))
			}
			before := x.history.last
			x.tellPromise(start.Add(after))
			for range x.history.last - before {
				at = append(at, after)
			}
		}
		var reasons []string
		events, _ := x.history.after("", 0)
		for _, e := range events {
			reasons = append(reasons, e.Reason)
			if e.Kind != api.EventState || e.Target != name || e.Message == "" {
				t.Errorf("%s: %+v", c.name, e)
			}
		}
		if !slices.Equal(reasons, c.want) || !slices.Equal(at, c.wantsAt) {
			t.Errorf("%s: told of %q after %v; want %q after %v", c.name, reasons, at, c.want, c.wantsAt)
		}
		x.follower.Close()
	}
	said(t, []string{s.log.String()}, `the threshold of 1000 is not promised: why`)
	said(t, []string{s.log.String()}, "the threshold of 1000 is promised again")
}

// What a decision promises, and why it does not.
func TestJudge(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	w, err := New(s.cfg, s.options())
	must(t, err)
	defer w.Close()
	proc := t.TempDir()
	must(t, os.Mkdir(filepath.Join(proc, "1"), 0o755))
	kernel, err := proctable.NewPlay(proctable.Options{Proc: proc, Interval: time.Minute, Events: proctable.EventsAuto})
	must(t, err)
	defer kernel.Close()
	deaf := w.table
	defer func() { w.table = deaf }()
	for _, c := range []struct {
		name     string
		decision pool.Decision
		deaf     bool // the kernel tells of nothing
		rotation config.Rotation
		want     string // the beginning of why it is not promised; "" where it is
	}{
		{"it holds", pool.Decision{Holds: true, Unseen: 5}, false, config.RotationAdaptive, ""},
		{"nobody tells of every process", pool.Decision{Holds: true, Unseen: 5}, true, config.RotationAdaptive, "the kernel does not tell of every process"},
		{"no room", pool.Decision{Unseen: 5}, false, config.RotationAdaptive, "no copy has room for the 5 processes that may start before relinkd acts"},
		{"no room, and none to come", pool.Decision{Unseen: 5, Saturated: true}, false, config.RotationAdaptive, "no copy has room for the 5 processes that may start before relinkd acts, and no more copies"},
		{"too fast", pool.Decision{Unseen: 1000}, false, config.RotationAdaptive, "up to 1000 processes may start before relinkd acts"},
		{"by the clock", pool.Decision{Holds: true}, false, config.RotationInterval, `rotation is "interval"`},
	} {
		w.table = kernel.Table
		if c.deaf {
			w.table = deaf
		}
		x := newTarget(w, s.cfg.Targets[0])
		x.cfg.Rotation = c.rotation
		x.follower.Set([]fsys.ID{{Dev: 1, Ino: 1}})
		if !c.deaf {
			must(t, kernel.Step(func(read func()) { read() }))
		}
		now := time.Now()
		x.judge(c.decision, now)
		p := x.promise
		if !strings.HasPrefix(p.broken, c.want) || (p.broken == "") != (c.want == "") || p.last.Equal(now) != (c.want != "") || p.unseen != c.decision.Unseen {
			t.Errorf("%s: %+v, want %q", c.name, p, c.want)
		}
		x.follower.Close()
	}
}
