package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// copies is how many copies every measurement has, and the mail site that relinkd comes from had.
const copies = 60

// sizes says how much is measured.
type sizes struct {
	rounds int // of what is short: relinkd, peer, relinkd, peer …

	few, many int           // processes while the daemon is idle
	settle    time.Duration // for the daemon to come to rest
	idle      time.Duration // over which its processor time is measured
	starts    int           // fresh ones of the daemon, for its memory
	requests  int           // to it before its memory is looked at
	censuses  int           // a round

	rotations int // logged by the daemon, for its latency
	watched   int // rotations seen from outside
	points    int // rotations a round, flat out
	links     int // the same for ln and mv
	execs     int // while the link moves flat out

	burst   int           // processes
	foreign time.Duration // of each load
	grace   time.Duration
}

// full is what the figures are from.
func full() sizes {
	return sizes{
		rounds: 5,
		few:    2_000, many: 12_000, settle: 10 * time.Second, idle: time.Minute, starts: 5, requests: 3_000, censuses: 20,
		rotations: 10_000, watched: 1_000, points: 20_000, links: 1_000, execs: 10_000,
		burst: 1_800, foreign: 20 * time.Second, grace: 3 * time.Minute,
	}
}

// quick is what shows that everything works.
func quick() sizes {
	return sizes{
		rounds: 2,
		few:    60, many: 120, settle: 200 * time.Millisecond, idle: 500 * time.Millisecond, starts: 2, requests: 10, censuses: 2,
		rotations: 50, watched: 10, points: 200, links: 20, execs: 50,
		burst: 90, foreign: time.Second, grace: 20 * time.Second,
	}
}

// bench is one run.
type bench struct {
	options
	sizes
	places
	tools  tools
	throng *throng // nil before something needs it
}

// measurement makes rows of the table.
type measurement struct {
	name    string // for -only
	what    string // in the first column when nothing could be measured
	measure func(context.Context, *bench) ([]row, error)
}

// measurements is all of them, in the order of the table.
func measurements() []measurement {
	return []measurement{
		{"latency", "exec to moved link", measureLatency},
		{"rotation", "rotations a second", measureRotation},
		{"upgrade", "upgrade", measureUpgrade},
		{"burst", "most processes on one copy under a burst", measureBurst},
		{"clone", "cloning", measureClone},
		{"foreign", "foreign processes", measureForeign},
		{"idle", "idle daemon", measureIdle},
		{"census", "census", measureCensus},
	}
}

func names() []string {
	var all []string
	for _, m := range measurements() {
		all = append(all, m.name)
	}
	return all
}

func find(name string) (measurement, bool) {
	i := slices.Index(names(), name)
	if i < 0 {
		return measurement{}, false
	}
	return measurements()[i], true
}

// notMeasured says why something could not be measured on this machine, which is no failure.
type notMeasured string

func (n notMeasured) Error() string { return "not measured: " + string(n) }

// run measures what is asked for. A measurement that fails has a row which says so, and the error is
// returned beside the report. Nothing is left behind: no process, no mount, no file.
func run(ctx context.Context, o options) (report *report, err error) {
	b := &bench{options: o, sizes: full()}
	if o.quick {
		b.sizes = quick()
	}
	b.tools = findTools(ctx, o)
	if b.places, err = makePlaces(o.dir); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.places.remove()) }()
	defer func() {
		if b.throng != nil {
			b.throng.close()
		}
	}()

	report = describe(ctx, b)
	for _, m := range measurements() {
		if len(o.only) > 0 && !slices.Contains(o.only, m.name) {
			continue
		}
		b.say("%s …", m.name)
		begun := time.Now()
		rows, failed := m.measure(ctx, b)
		if ctx.Err() != nil {
			return nil, errors.New("interrupted")
		}
		report.rows = append(report.rows, rows...)
		var not notMeasured
		switch {
		case errors.As(failed, &not):
			report.rows = append(report.rows, row{what: m.what, met: not.Error()})
		case failed != nil:
			report.rows = append(report.rows, row{what: m.what, met: "failed: " + failed.Error()})
			err = errors.Join(err, fmt.Errorf("cannot measure %s: %w", m.name, failed))
		}
		b.say("%s took %s", m.name, time.Since(begun).Round(time.Second/10))
	}
	return report, err
}

// say tells what is being done.
func (b *bench) say(format string, a ...any) {
	fmt.Fprintf(b.progress, "peers: "+format+"\n", a...)
}

// root reports whether this user may mount and give priority.
func root() bool { return os.Geteuid() == 0 }
