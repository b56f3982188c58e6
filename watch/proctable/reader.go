package proctable

import (
	"fmt"
	"runtime"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"relinkd/watch/procevents"
)

// eventsAtOnce is how many messages are read before others get their turn.
const eventsAtOnce = 1024

// How long events may lie unread when no process can matter yet. Being woken costs more than reading:
// a storm of processes that are none of ours would be felt.
const (
	mostLeisure  = 5 * time.Millisecond
	leastLeisure = time.Millisecond
	// fastest is the least time between the beginnings of two processes that is reckoned with: three
	// times what two cores can do with a program of a few bytes.
	fastest = 80 * time.Microsecond
)

// leisure is how long what has arrived may wait for more: as long as it must take at least until a
// follower's mark is reached.
func (t *Table) leisure() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := mostLeisure
	for _, f := range t.followers {
		d = min(d, time.Duration(f.distance(&t.last))*fastest)
	}
	if d < leastLeisure {
		d = 0
	}
	t.rest, t.restsTill = d, procevents.Monotonic()+int64(d)
	return d
}

// rested is how long an event that was written at has been left unread on purpose. mu is held.
func (t *Table) rested(at int64) time.Duration {
	return max(0, min(time.Duration(t.restsTill-at), t.rest))
}

// read counts what events have arrived.
func (t *Table) read() error {
	for {
		t.counting.Lock()
		more, err := t.drain()
		if err == nil && t.live.silent(time.Now()) {
			err = errSilent
		}
		t.counting.Unlock()
		if err != nil || !more {
			return err
		}
	}
}

// drain counts up to eventsAtOnce of the events that have arrived, and tells whoever waits for one of
// them. more says that there may be more. counting is held.
func (t *Table) drain() (more bool, err error) {
	if t.conn == nil {
		return false, nil
	}
	for range eventsAtOnce / procevents.Batch {
		asOf := time.Now()
		n, errno := t.conn.Receive()
		switch errno {
		case 0:
			t.count(n)
			continue
		case unix.EAGAIN:
			t.isAsOf(asOf)
			return false, nil
		case unix.ENOBUFS:
			t.lost()
			continue
		}
		return false, fmt.Errorf("cannot read process events: %w", errno)
	}
	return true, nil
}

// count counts the events of the n datagrams that were received. counting is held.
func (t *Table) count(n int) {
	t.see()
	t.batch = t.batch[:0]
	for i := range n {
		for datagram := t.conn.Datagram(i); len(datagram) > 0; {
			e, rest, err := procevents.Cut(datagram)
			if err != nil {
				t.lost()
				return
			}
			if datagram = rest; e.Kind >= procevents.Fork {
				t.batch = append(t.batch, e)
			}
		}
	}
	for i, e := range t.batch {
		if outdated(t.batch, i) {
			continue
		}
		if c := t.live.apply(e, t.census.executable); c.from != c.to {
			t.change(c, e.At)
		}
	}
	for _, f := range t.reached {
		f.notify()
	}
	if len(t.reached) > 0 {
		// Whom it concerns goes on at once, on this very thread, and others read on: to wake another
		// thread for it takes as long as all that it has to do.
		runtime.Gosched()
	}
	t.reached = t.reached[:0]
}

// see has events tell of what is counted by now. Whatever leads to an executable does so after it came to
// be counted, and what was received is of before: nothing is told of it that is not seen. counting is held.
func (t *Table) see() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live.index(&t.last)
}

// outdated reports whether a later event of the batch is about the same process. An event means that
// the process has to be looked at, and for both that is now. Most processes of a storm have ended when
// their beginning is read.
func outdated(batch []procevents.Event, i int) bool {
	for _, later := range batch[i+1:] {
		if later.PID == batch[i].PID {
			return true
		}
	}
	return false
}

// change makes what an event written at has changed known, and notes in reached whom it reaches a mark
// of. counting is held.
func (t *Table) change(c change, at int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watch()
	c.correct(t.last.tally.counts)
	if c.from != none {
		t.changed(c.from)
	}
	if c.to == none {
		return
	}
	t.changed(c.to)
	n := t.last.tally.counts[c.to]
	if t.source.sound { // else it may have grown by those whose end was lost
		t.last.peaks[c.to] = max(t.last.peaks[c.to], n)
	}
	t.late.Add(t.clock.since(at)-t.rested(at), time.Now())
	for _, f := range t.watchers[c.to] {
		if f.began(&t.last, t.clock.time(at)) {
			t.reached = append(t.reached, f)
		}
	}
}

// changed notes that the followers of a place have something to hear. mu is held.
func (t *Table) changed(place int) {
	for _, f := range t.watchers[place] {
		f.changed = true
	}
	if !t.telling {
		t.telling = true
		t.hurry()
	}
}

// isAsOf notes that no event written before asOf is to come. counting is held.
func (t *Table) isAsOf(asOf time.Time) {
	if !t.live.sound {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asOf = asOf
}

// lost is called when the kernel had more events than it could keep. It says so before it gives those
// that it did keep, and it keeps none until those are read (netlink_overrun, net/netlink/af_netlink.c):
// they are of no use, as a census has to be taken. counting is held.
func (t *Table) lost() {
	t.conn.Drop()
	t.live.lose()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.source.sound {
		t.said(Change{Level: zerolog.WarnLevel, Reason: "events lost", Message: "the kernel had more process events than it could keep: a census is taken"})
	}
	t.source.sound = false
	t.source.overflows++
	t.hurry()
}
