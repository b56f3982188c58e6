// Package proctable tells how many processes execute which file: by a census of /proc, and between
// two of them by what the kernel tells of every fork, exec and exit. It must never change a file, and
// never report a count that no census stands behind.
package proctable

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"relinkd/api/histogram"
	"relinkd/fsys"
	"relinkd/watch/gauge"
	"relinkd/watch/procevents"
)

// Options is what a Table needs to know.
type Options struct {
	// Proc is where procfs is mounted: "/proc".
	Proc string
	// Interval is the time between two censuses when nobody asks for one sooner. It is at least
	// 1 ms, and at most 1 s while nothing but the census tells of a new process.
	Interval time.Duration
	// Events says whether the kernel is asked for process events. The zero value is EventsOff.
	Events Events
	// ReceiveBuffer is how many bytes of events the kernel keeps until they are read; 0 for 8 MiB.
	ReceiveBuffer int
	// Tell hears of what changes in the source of counts. It must not wait, nor ask the Table anything.
	// nil is for nobody.
	Tell func(Change)
}

// Change is something that has changed in where counts come from.
type Change struct {
	Level   zerolog.Level // how grave it is
	From    string        // the accounting before, as in Stats; "" where that is the same
	To      string
	Reason  string // why, "" where it is as it should be
	Message string // a whole sentence
}

// Table counts processes for its followers.
type Table struct {
	said   func(Change) // Options.Tell
	buffer int          // Options.ReceiveBuffer
	// subscribe is the function of that name, but for tests that play the kernel.
	subscribe func(buffer int) (*procevents.Connector, error)
	wake      chan struct{} // tells Run that something may have to be done sooner; holds one
	switched  chan struct{} // tells Run that events are wanted otherwise; holds one
	ready     chan struct{} // closed with the first complete census that may be relied on

	// counting is held by whoever looks at processes, until the followers have been told, so that
	// they see what happens in its order. It is taken before mu.
	counting sync.Mutex
	census   census
	scratch  tally
	spend    func(func() error) (time.Duration, error) // onProcessor, but for tests on a fake clock
	clock    clock
	conn     *procevents.Connector // nil while no events come
	live     live
	batch    []procevents.Event // those that are being counted
	reached  []*Follower        // whom an event has reached a mark of, to be told

	mu        sync.Mutex
	interval  time.Duration
	followers []*Follower
	watchers  [][]*Follower // by place in last.in, who follows it; nil when that has changed
	in        index         // of what all followers want counted; nil when that has changed
	last      view
	added     []newcomer    // to last since a census began that does not look for them
	asOf      time.Time     // Counts.At
	gap       time.Duration // from the beginning of the last census but one to the end of the last; 0 when events came between
	censuses  int
	durations histogram.Histogram
	source    source
	telling   bool                        // Run knows that some followers are to be told
	rest      time.Duration               // how long what is read was left unread on purpose
	restsTill int64                       // when that is over, by the clock of events
	late      gauge.Window[time.Duration] // of how long events took until they were counted
}

// New opens procfs and counts nothing yet. Close releases what it holds.
func New(o Options) (*Table, error) {
	proc, err := fsys.OpenDir(o.Proc, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot count processes: %v: mount procfs there", err)
	}
	if o.ReceiveBuffer == 0 {
		o.ReceiveBuffer = procevents.ReceiveBuffer
	}
	if o.Tell == nil {
		o.Tell = func(Change) {}
	}
	if o.Events == "" {
		o.Events = EventsOff
	}
	return &Table{
		said:      o.Tell,
		buffer:    o.ReceiveBuffer,
		subscribe: procevents.Subscribe,
		wake:      make(chan struct{}, 1),
		switched:  make(chan struct{}, 1),
		ready:     make(chan struct{}),
		census:    census{proc: proc},
		spend:     onProcessor,
		clock:     newClock(),
		interval:  o.Interval,
		durations: histogram.New(durations),
		source:    source{wanted: o.Events, tried: o.Events == EventsOff, reason: errUnwanted.Error()},
	}, nil
}

// Close releases the descriptor of procfs, after Run has returned.
func (t *Table) Close() error { return t.census.proc.Close() }

// Ready is closed once a first census is complete, and it is known whether the kernel tells of events.
func (t *Table) Ready() <-chan struct{} { return t.ready }

// SetInterval changes Options.Interval, beginning with the next census.
func (t *Table) SetInterval(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.interval = d
	t.hurry()
}

// Run takes censuses and reads events until ctx ends and then returns nil. The first census is at
// once, unless Take has been called before. An error is one of Take: there will be no more counts, so
// the daemon should end.
func (t *Table) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return t.runCensus(ctx) })
	g.Go(func() error { return t.runEvents(ctx) })
	return g.Wait()
}

// runCensus takes each census when it is due, and tells followers what events have changed.
func (t *Table) runCensus(ctx context.Context) error {
	timer := time.NewTimer(time.Until(t.next()))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.wake:
		case <-timer.C:
			if !time.Now().Before(t.nextCensus()) {
				if err := t.Take(); err != nil {
					return err
				}
			}
			t.tell()
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
	pids := t.live.begin(v.in)
	cost, err := t.spend(func() error {
		return t.census.take(v.in, &t.scratch, pids, func() { t.drain() })
	})
	if err != nil {
		t.live.abort()
		return err
	}
	t.drain() // so that the end of what the census has found is known as well as the beginning of others
	v.tally, v.took, v.cost = t.scratch, time.Since(v.began), cost
	v.tally.counts = slices.Clone(v.tally.counts) // they are the scratch of the next census
	t.catchUp(&v)
	certain := t.live.end(&v, t.census.executable, time.Now())
	for _, f := range t.apply(v, certain) {
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
	t.added = nil
	known := make([]bool, len(t.in))
	for place := range known {
		known[place] = true
	}
	return view{in: t.in, known: known, began: time.Now()}
}

// admit has ids counted in what is known now. mu is held.
func (t *Table) admit(ids []fsys.ID, known bool) {
	all := make([]newcomer, len(ids))
	for i, id := range ids {
		all[i] = newcomer{id, known}
	}
	t.last.admit(all)
	t.added = append(t.added, all...)
	if t.watchers = nil; len(t.added) > maxAdded {
		t.hurry()
	}
}

// maxAdded is how many executables may come to be counted until a census is taken for that alone, which
// is rid of those that nobody follows any more.
const maxAdded = 4096

// catchUp has v count what came to be counted since its census began.
func (t *Table) catchUp(v *view) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v.admit(t.added)
}

// apply makes v what is known, and returns the followers to tell. Peaks are made from those of its counts
// that are certain. counting is held.
func (t *Table) apply(v view, certain []int) []*Follower {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.last
	v.peaks = slices.Clone(certain)
	v.admit(t.added)
	v.climb(&before)
	t.last, t.watchers = v, nil
	t.live.index(&t.last)
	t.censuses++
	t.durations.Observe(v.took)
	t.gap = 0
	if !before.began.IsZero() && !t.source.sound && !t.live.sound {
		t.gap = v.began.Add(v.took).Sub(before.began)
	}
	if t.source.sound = t.live.sound; v.began.After(t.asOf) {
		t.asOf = v.began
	}
	t.checkReady()
	var tell []*Follower
	for _, f := range t.followers {
		if f.follow(&before, &t.last, t.pace()) {
			tell = append(tell, f)
		}
	}
	return tell
}

// checkReady closes ready when that is due. mu is held.
func (t *Table) checkReady() {
	if t.censuses == 0 || !t.source.settled() {
		return
	}
	select {
	case <-t.ready:
	default:
		close(t.ready)
	}
}

// watch makes watchers complete. mu is held.
func (t *Table) watch() {
	if t.watchers != nil {
		return
	}
	t.watchers = make([][]*Follower, len(t.last.in))
	for _, f := range t.followers {
		for _, id := range f.ids {
			if place, ok := t.last.in[id]; ok {
				t.watchers[place] = append(t.watchers[place], f)
			}
		}
	}
}

// tellGap is how often at most a follower hears of changes that it has not asked to hear of at once.
const tellGap = 50 * time.Millisecond

// tell tells the followers what events have changed, each at most once in tellGap.
func (t *Table) tell() {
	var tell []*Follower
	t.mu.Lock()
	now := time.Now()
	t.telling = false
	for _, f := range t.followers {
		if f.changed && now.Sub(f.told) >= tellGap {
			f.changed, f.told = false, now
			tell = append(tell, f)
		}
		t.telling = t.telling || f.changed
	}
	t.mu.Unlock()
	for _, f := range tell {
		f.notify()
	}
}

// pace is the time between two censuses. mu is held.
func (t *Table) pace() time.Duration { return pace(t.interval, t.source.sound) }

// next is when Run has something to do; in the past before the first census.
func (t *Table) next() time.Time {
	next := t.nextCensus()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.followers {
		if due := f.told.Add(tellGap); f.changed && due.Before(next) {
			next = due
		}
	}
	return next
}

// nextCensus is when the next census is to begin; in the past before the first.
func (t *Table) nextCensus() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	var due time.Time
	if t.source.listening && !t.source.sound || len(t.added) > maxAdded {
		due = t.last.began // at once
	}
	for _, f := range t.followers {
		if w := f.wants(&t.last, t.source.sound); !w.IsZero() && (due.IsZero() || w.Before(due)) {
			due = w
		}
	}
	return nextBegin(t.last.began, t.last.cost, t.pace(), due)
}

// Late is how long ago the next census should have begun at the latest, whatever else asks for one sooner;
// 0 if that is still to come, and before the first. It grows while a census that has begun does not end.
func (t *Table) Late() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last.began.IsZero() {
		return 0
	}
	return max(0, time.Since(nextBegin(t.last.began, t.last.cost, t.interval, time.Time{})))
}

// hurry lets Run look again at what is to be done when.
func (t *Table) hurry() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}
