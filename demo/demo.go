// Package demo shows relinkd's main job on any machine, as an ordinary user and with nothing
// installed: a scratch directory with a stand-in service, a master that starts and reaps a few
// hundred processes through its path, relinkd itself as a child process over it, an upgrade and a
// deletion on the way. It must never touch anything outside its scratch directory, and must leave
// nothing behind.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"relinkd/console"
	"relinkd/control"
)

// The service and the load. 240 processes over 12 copies are 20 a copy, two thirds of the
// threshold.
const (
	target     = "standin"
	copies     = 12
	maxCopies  = 24
	threshold  = 30
	population = 240
)

// MinSeconds is the shortest demonstration: less would leave no time between its acts.
const MinSeconds = 3

// Options says how to demonstrate.
type Options struct {
	Seconds  int            // of load, MinSeconds at least
	JSON     bool           // write the Summary as JSON to Out and nothing else
	Out      io.Writer      // takes the live view and the summary
	Terminal bool           // Out is a terminal: redraw in place instead of a line a second
	Screen   console.Screen // what that terminal can show
	Relinkd  string         // path of the relinkd program, which is run as a child process
}

// Run demonstrates until the time is up, writes the summary to o.Out and returns it, together with
// an error when relinkd did not keep a promise. When ctx ends first there is no summary. In every
// case all processes that it started have been reaped, and the scratch directory is gone.
func Run(ctx context.Context, o Options) (*Summary, error) {
	if o.Seconds < MinSeconds {
		return nil, fmt.Errorf("cannot demonstrate in %d s: it takes %d at least, try --seconds 20", o.Seconds, MinSeconds)
	}
	s, err := newScratch()
	if err != nil {
		return nil, err
	}
	summary, err := perform(ctx, o, s)
	if removed := s.remove(); removed != nil {
		err = errors.Join(err, removed)
	}
	if err != nil {
		return nil, err
	}
	if err := summary.write(o); err != nil {
		return nil, fmt.Errorf("cannot write the summary: %w", err)
	}
	if len(summary.Problems) > 0 {
		return summary, errors.New("the demonstration failed: " + strings.Join(summary.Problems, "; "))
	}
	return summary, nil
}

// perform plays all acts in the scratch directory and ends every process that it started.
func perform(ctx context.Context, o Options, s *scratch) (summary *Summary, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	d, err := startDaemon(o.Relinkd, s, cancel)
	if err != nil {
		return nil, err
	}
	defer func() {
		if stopped := d.stop(); stopped != nil && summary != nil {
			summary.Problems = append(summary.Problems, stopped.Error())
		}
	}()

	p := &play{
		scratch: s,
		client:  control.NewClient(s.socket),
		master:  newMaster(s.path, population),
		length:  time.Duration(o.Seconds) * time.Second,
	}
	if err := p.awaitManaged(ctx); err != nil {
		return nil, err
	}
	p.begun = time.Now()

	loadCtx, stopLoad := context.WithCancel(ctx)
	var load, view sync.WaitGroup
	load.Go(func() { p.master.run(loadCtx) })
	view.Go(func() { p.show(loadCtx, newScreen(o)) })
	summary, err = p.acts(ctx)
	stopLoad()
	view.Wait()
	load.Wait()
	if err != nil {
		return nil, err
	}
	summary.count(p.master.tally())
	summary.judge()
	return summary, nil
}

// newScreen chooses how progress is shown.
func newScreen(o Options) screen {
	switch {
	case o.JSON:
		return silent{}
	case o.Terminal && os.Getenv("TERM") != "dumb":
		return &terminal{out: o.Out, screen: o.Screen}
	default:
		return &plain{out: o.Out}
	}
}
