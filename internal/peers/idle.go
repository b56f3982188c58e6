package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// The limits of an idle daemon.
const (
	idleShare  = 0.002    // of one core
	idleMemory = 24 << 20 // bytes
	idleEach   = 64       // bytes a further process
)

// idleThreshold is above what every copy is filled to, so that the daemon has nothing to do.
const idleThreshold = 300

// footprint is a daemon's memory after it has come to rest.
type footprint struct{ rss, anonymous float64 } // bytes

// figures is what is measured of the daemon beside a throng.
type figures struct {
	accounting string

	cpu, ticks time.Duration // used while idle, by the processor's clock and by what /proc shows
	censuses   int           // meanwhile
	strangers  int           // processes and threads that the machine started meanwhile

	before, again, after footprint // of one daemon: twice with few processes, then with many
	few, many            series    // anonymous memory of fresh ones, bytes
}

// measureIdle has the daemon watch few processes, then many, and measures what it needs when nothing
// happens. What a process costs it is measured twice: by how one daemon grows while the processes
// are started, and by what fresh ones need that find them there.
func measureIdle(ctx context.Context, b *bench) ([]row, error) {
	t, err := newThrong(b)
	if err != nil {
		return nil, err
	}
	t.interval = b.idle // so that what is measured holds one census, as each minute does
	if err := t.configure("info", map[string]any{"threshold": idleThreshold}); err != nil {
		return nil, err
	}
	first, err := startDaemon(ctx, b, t.site) // which makes the copies
	if err != nil {
		return nil, err
	}
	first.stop()

	var f figures
	d, err := freshDaemons(ctx, b, b.few, &f.few)
	if err != nil {
		return nil, err
	}
	err = f.growAndIdle(ctx, b, d)
	d.stop()
	if err != nil {
		return nil, err
	}
	if d, err = freshDaemons(ctx, b, b.many, &f.many); err != nil {
		return nil, err
	}
	d.stop()
	return f.rows(b), nil
}

// growAndIdle takes one daemon from few processes to many and then lets it idle.
func (f *figures) growAndIdle(ctx context.Context, b *bench, d *daemon) (err error) {
	// What the starts of processes leave to the collector is to be there before and after.
	b.say("%d processes come and go …", b.many-b.few)
	if err := b.throng.churn(ctx, b.many-b.few); err != nil {
		return err
	}
	for _, memory := range []*footprint{&f.before, &f.again} {
		if *memory, err = d.rest(ctx, b.few, b.settle); err != nil {
			return err
		}
	}
	b.say("starting processes up to %d …", b.many)
	if err := b.throng.fill(ctx, b.many); err != nil {
		return err
	}
	if f.after, err = d.rest(ctx, b.many, b.settle); err != nil {
		return err
	}
	f.accounting = d.accounting(ctx)
	b.say("watching the idle daemon for %s, from half way between two censuses on …", b.idle)
	if err := d.awaitCensus(ctx, b.idle); err != nil {
		return err
	}
	if err := wait(ctx, b.idle/2); err != nil {
		return err
	}
	censuses, err := d.censuses(ctx)
	if err != nil {
		return err
	}
	before, err := started()
	if err != nil {
		return err
	}
	if f.cpu, f.ticks, err = d.idle(ctx, b.idle); err != nil {
		return err
	}
	after, err := started()
	if err != nil {
		return err
	}
	f.strangers = after - before
	f.censuses, err = d.censuses(ctx)
	f.censuses -= censuses
	return err
}

func (f *figures) rows(b *bench) []row {
	share := f.cpu.Seconds() / b.idle.Seconds()
	further := b.many - b.few
	what := fmt.Sprintf("idle daemon (%s), %d processes on %d copies", f.accounting, b.many, copies)
	return []row{
		{
			what: fmt.Sprintf("%s, share of one core over %s, in which others started %d processes and threads on this machine",
				what, b.idle, f.strangers),
			relinkd: fmt.Sprintf("%s %% (by the ticks of /proc/PID/stat %s %%), censuses included: %d",
				significant(100*share), significant(100*f.ticks.Seconds()/b.idle.Seconds()), f.censuses),
			limit: fmt.Sprintf("≤ %g %%", 100*idleShare),
			met:   verdict(share <= idleShare),
		},
		{
			what:    what + ", RSS",
			relinkd: mebibytes(f.after.rss),
			limit:   "≤ " + mebibytes(idleMemory),
			met:     verdict(f.after.rss <= idleMemory),
		},
		{
			what: fmt.Sprintf("memory a further process (%s): RSS of one daemon from %d processes to %d, after %d had come and gone",
				f.accounting, b.few, b.many, further),
			relinkd: fmt.Sprintf("%s; with no further process, a moment later, it had changed by as much as %s B for each would make",
				each(f.again.rss, f.after.rss, further), significant((f.again.rss-f.before.rss)/float64(further))),
			limit: fmt.Sprintf("≤ %d B", idleEach),
			met:   verdict(f.after.rss-f.again.rss <= float64(idleEach*further)),
		},
		{
			what:    "the same, memory that no file backs (RssAnon)",
			relinkd: each(f.again.anonymous, f.after.anonymous, further),
		},
		{
			what: fmt.Sprintf("the same (RssAnon), %d daemons started beside %d processes and %d beside %d", b.starts, b.few, b.starts, b.many),
			relinkd: fmt.Sprintf("%s; equal starts differ by up to %s B a process", each(f.few.median(), f.many.median(), further),
				significant(max(f.few.max()-f.few.min(), f.many.max()-f.many.min())/float64(further))),
		},
	}
}

// each shows what each of n further processes costs, with the memory before and after them.
func each(before, after float64, n int) string {
	return fmt.Sprintf("%s B (%s → %s)", significant((after-before)/float64(n)), mebibytes(before), mebibytes(after))
}

// freshDaemons starts processes up to n, then daemons that find them there, and notes the memory of
// each that no file backs. The last one is still running, and the caller's to stop.
func freshDaemons(ctx context.Context, b *bench, n int, memory *series) (*daemon, error) {
	b.say("starting processes up to %d, then %d daemons …", n, b.starts)
	if err := b.throng.fill(ctx, n); err != nil {
		return nil, err
	}
	for i := 1; ; i++ {
		d, err := startDaemon(ctx, b, b.throng.site)
		if err != nil {
			return nil, err
		}
		f, err := d.rest(ctx, n, b.settle/5)
		if err != nil {
			d.stop()
			return nil, err
		}
		memory.add(f.anonymous)
		if i == b.starts {
			return d, nil
		}
		d.stop()
	}
}

// rest waits until the daemon counts n processes, lets it come to rest and returns its memory. Before,
// it is asked for its status so often that its collector has run many times: how far it had let the
// heap grow by chance would otherwise be the most of a difference.
func (d *daemon) rest(ctx context.Context, n int, settle time.Duration) (f footprint, err error) {
	if err := d.awaitProcesses(ctx, n); err != nil {
		return f, err
	}
	for range d.bench.requests {
		if _, err := d.client.Status(ctx); err != nil {
			return f, err
		}
	}
	if err := wait(ctx, settle); err != nil {
		return f, err
	}
	f.rss, f.anonymous, err = d.memory()
	return f, err
}

// idle is the processor time that the daemon uses while nothing happens.
func (d *daemon) idle(ctx context.Context, period time.Duration) (cpu, ticks time.Duration, err error) {
	before, err := d.processorTime()
	if err != nil {
		return 0, 0, err
	}
	ticksBefore, err := d.ticks()
	if err != nil {
		return 0, 0, err
	}
	if err := wait(ctx, period); err != nil {
		return 0, 0, err
	}
	after, err := d.processorTime()
	if err != nil {
		return 0, 0, err
	}
	ticksAfter, err := d.ticks()
	return after - before, ticksAfter - ticksBefore, err
}

// started is how many processes and threads the machine has started since it did: the daemon gets an
// event of each.
func started() (int, error) {
	content, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(content), "\nprocesses ")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.Atoi(line)
	if err != nil {
		return 0, fmt.Errorf("cannot read in /proc/stat how many processes were started: %v", err)
	}
	return n, nil
}
