package proctable

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// How a subscription is kept.
const (
	// eventsAtOnce is how many messages are read before others get their turn.
	eventsAtOnce = 1024
	// heartbeat is how often the reader looks up when no event comes. Each time costs more than it
	// seems: it wakes the whole runtime.
	heartbeat = 5 * time.Second
	// retryEvents is how often events are asked for again when they are not to be had.
	retryEvents = time.Minute
)

// Why a subscription ends.
var (
	errSilent   = errors.New("the kernel did not tell of a process that a census has found")
	errUnwanted = errors.New(`census.events is "off"`)
)

// SetEvents changes Options.Events.
func (t *Table) SetEvents(e Events) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.source.wanted == e {
		return
	}
	t.source.wanted = e
	select {
	case t.switched <- struct{}{}:
	default:
	}
}

// runEvents reads process events for as long as they are wanted and ctx lasts, and subscribes anew
// when that fails.
func (t *Table) runEvents(ctx context.Context) error {
	anew := false // the kernel has been silent, and is tried once more at once
	for ctx.Err() == nil {
		err := errUnwanted
		if t.eventsWanted() {
			err = t.listen(ctx)
		}
		if ctx.Err() != nil {
			break
		}
		if err == nil {
			continue // events are wanted otherwise
		}
		if anew = errors.Is(err, errSilent) && !anew; !anew {
			t.without(err)
			t.pause(ctx, errors.Is(err, errUnwanted))
		}
	}
	return nil
}

// eventsWanted reports whether events are to be asked for.
func (t *Table) eventsWanted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.source.wanted != EventsOff
}

// without notes why there are no events.
func (t *Table) without(why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.source.tried = true
	t.checkReady()
	if t.source.reason == why.Error() {
		return
	}
	t.source.reason = why.Error()
	level := zerolog.InfoLevel
	if t.source.missing() {
		level = zerolog.ErrorLevel
	}
	t.log.WithLevel(level).Str("reason", t.source.reason).Msg("processes are counted by census only")
}

// pause waits until events are wanted otherwise or, when it is not for that alone, for retryEvents.
func (t *Table) pause(ctx context.Context, switchedOnly bool) {
	timer := time.NewTimer(retryEvents)
	defer timer.Stop()
	over := timer.C
	if switchedOnly {
		over = nil
	}
	select {
	case <-ctx.Done():
	case <-t.switched:
	case <-over:
	}
}

// listen subscribes, and reads events until that fails; it returns why. nil is for when ctx has ended or
// events are wanted otherwise.
func (t *Table) listen(ctx context.Context) error {
	conn, err := subscribe(t.buffer)
	if err != nil {
		return err
	}
	t.attach(conn)
	defer t.detach()
	stopped := make(chan struct{})
	defer func() { <-stopped }()
	over, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer close(stopped)
		select {
		case <-over.Done():
		case <-t.switched:
		}
		conn.stop()
	}()
	for {
		arrived, err := conn.wait(heartbeat)
		if err != nil {
			return err
		}
		select {
		case <-stopped:
			return nil
		default:
		}
		if arrived {
			if err := conn.rest(t.leisure()); err != nil {
				return err
			}
		}
		if err := t.read(); err != nil {
			return err
		}
	}
}

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
	t.rested = d
	return d
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
	for range eventsAtOnce / mailSize {
		asOf := time.Now()
		n, errno := t.conn.receive()
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
	t.batch = t.batch[:0]
	for i := range n {
		for datagram := t.conn.mail.datagram(i); len(datagram) > 0; {
			e, rest, err := cutEvent(datagram)
			if err != nil {
				t.lost()
				return
			}
			if datagram = rest; e.kind >= eventFork {
				t.batch = append(t.batch, e)
			}
		}
	}
	for i, e := range t.batch {
		if outdated(t.batch, i) {
			continue
		}
		if c := t.live.apply(e, t.census.executable); c.from != c.to {
			t.change(c, e.at)
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

// outdated reports whether a later event of the batch is about the same process. An event means that
// the process has to be looked at, and for both that is now. Most processes of a storm have ended when
// their beginning is read.
func outdated(batch []event, i int) bool {
	for _, later := range batch[i+1:] {
		if later.pid == batch[i].pid {
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
	t.late.add(t.clock.since(at)-t.rested, time.Now())
	for _, f := range t.watchers[c.to] {
		f.started++
		if f.reaches(t.last.in, c.to, n) {
			f.reachedAt = t.clock.time(at)
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
	t.conn.drop()
	t.live.lose()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.source.sound {
		t.log.Warn().Msg("the kernel had more process events than it could keep: a census is taken")
	}
	t.source.sound = false
	t.source.overflows++
	t.hurry()
}

// attach makes conn what events come from. There are no counts of them before the next census.
func (t *Table) attach(conn *connector) {
	t.counting.Lock()
	defer t.counting.Unlock()
	t.conn = conn
	t.live.start()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.source.listening, t.source.tried, t.source.reason = true, true, ""
	t.source.subscriptions++
	t.hurry()
	t.log.Info().Msg("processes are counted by the kernel's process events")
}

// detach ends the subscription. Counts are those of censuses again.
func (t *Table) detach() {
	t.counting.Lock()
	defer t.counting.Unlock()
	t.conn.close()
	t.conn = nil
	t.live.stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.source.listening, t.source.sound = false, false
	t.hurry()
}
