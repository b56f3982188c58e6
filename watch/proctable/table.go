// Package proctable tells how many processes execute which file, by counting them in /proc. It must
// never change a file, and never report a count without the census that it is from.
package proctable

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"relinkd/fsys"
)

// Options is what a Table needs to know.
type Options struct {
	// Proc is where procfs is mounted: "/proc".
	Proc string
	// Interval is the time between two censuses when nobody asks for one sooner. It is kept
	// between 1 ms and 1 s: nothing but the census tells of a new process.
	Interval time.Duration
}

// Table counts processes for its followers.
type Table struct {
	wake  chan struct{} // tells Run that the next census may have to begin sooner; holds one
	ready chan struct{} // closed with the first complete census

	// counting is held by the one census that is under way, until its followers have been told, so
	// that they see censuses in their order. It is taken before mu.
	counting sync.Mutex
	census   census
	scratch  tally
	spend    func(func() error) (time.Duration, error) // onProcessor, but for tests on a fake clock

	mu        sync.Mutex
	interval  time.Duration
	followers []*Follower
	request   uint64 // counts the calls of Set
	in        index  // of what all followers want counted; nil when that has changed
	last      view
	gap       time.Duration // from the beginning of the last census but one to the end of the last
	censuses  int
}

// New opens procfs and counts nothing yet. Close releases what it holds.
func New(o Options) (*Table, error) {
	proc, err := fsys.OpenDir(o.Proc, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot count processes: %v: mount procfs there", err)
	}
	return &Table{
		wake:     make(chan struct{}, 1),
		ready:    make(chan struct{}),
		census:   census{proc: proc},
		spend:    onProcessor,
		interval: clampInterval(o.Interval),
	}, nil
}

// Close releases the descriptor of procfs, after Run has returned.
func (t *Table) Close() error { return t.census.proc.Close() }

// Ready is closed once a first census is complete.
func (t *Table) Ready() <-chan struct{} { return t.ready }

// SetInterval changes Options.Interval, beginning with the next census.
func (t *Table) SetInterval(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.interval = clampInterval(d)
	t.hurry()
}

// Run takes censuses until ctx ends and then returns nil. The first one is at once, unless Take has
// been called before. An error is one of Take: there will be no more counts, so the daemon should
// end.
func (t *Table) Run(ctx context.Context) error {
	timer := time.NewTimer(time.Until(t.next()))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.wake:
		case <-timer.C:
			if err := t.Take(); err != nil {
				return err
			}
		}
		timer.Reset(time.Until(t.next()))
	}
}

// Take takes one census now, and has told the followers when it returns. Run need not run. An
// error says that the processes could not be listed; what was known stays.
func (t *Table) Take() error {
	t.counting.Lock()
	defer t.counting.Unlock()
	v := t.begin()
	cost, err := t.spend(func() error { return t.census.take(v.in, &t.scratch) })
	if err != nil {
		return err
	}
	v.tally, v.took, v.cost = t.scratch, time.Since(v.began), cost
	for _, f := range t.apply(v) {
		f.notify()
	}
	return nil
}

// begin is the view of a census that begins now. It fulfils what followers were waiting for, so
// what they ask for from here on is for the next one.
func (t *Table) begin() view {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.in == nil {
		t.in = index{}
		for _, f := range t.followers {
			for _, id := range f.ids {
				if _, ok := t.in[id]; !ok {
					t.in[id] = len(t.in)
				}
			}
		}
	}
	for _, f := range t.followers {
		f.due = time.Time{}
	}
	return view{in: t.in, began: time.Now(), request: t.request}
}

// apply makes v what is known and returns the followers to tell. It is the one place where counts
// change: whatever else may learn of processes, such as a reader of the kernel's process events,
// makes a view of it and brings it here, holding counting.
func (t *Table) apply(v view) []*Follower {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.last
	if slices.Equal(v.tally.counts, before.tally.counts) {
		v.tally.counts = before.tally.counts
	} else {
		v.tally.counts = slices.Clone(v.tally.counts) // they are the scratch of the next census
	}
	t.last = v
	t.censuses++
	if before.began.IsZero() {
		close(t.ready)
	} else {
		t.gap = v.began.Add(v.took).Sub(before.began)
	}
	var tell []*Follower
	for _, f := range t.followers {
		if f.follow(&before, &t.last, t.interval) {
			tell = append(tell, f)
		}
	}
	return tell
}

// next is when the next census is to begin; in the past before the first.
func (t *Table) next() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	var due time.Time
	for _, f := range t.followers {
		if w := f.wants(&t.last); !w.IsZero() && (due.IsZero() || w.Before(due)) {
			due = w
		}
	}
	return nextBegin(t.last.began, t.last.cost, t.interval, due)
}

// hurry lets Run look again at when the next census is to begin.
func (t *Table) hurry() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}
