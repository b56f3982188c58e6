package proctable

import (
	"cmp"
	"math"
	"slices"
	"time"

	"relinkd/fsys"
)

// Follower is one target's view of a Table: the executables that it wants counted and what was
// found. Its methods may be called from any goroutine, also from notify.
type Follower struct {
	t      *Table
	notify func()

	// What follows is under t.mu.
	ids     []fsys.ID // sorted, each once
	request uint64    // the number of the Set that brought ids
	due     time.Time // when the next census is wanted at the latest; zero means no wish
	told    time.Time // when notify was called last, or the census began that it was called after
	changed bool      // an event has changed a count since
	rate    rate
	started int       // processes that are not in the rate yet
	rated   time.Time // until when the rate is reckoned

	// The next time when notify is to be called at once.
	mark      fsys.ID
	markAt    int       // processes; 0 for never
	reached   bool      // they were, and notify was called
	reachedAt time.Time // when the kernel told of the last of them
}

// Follow adds a follower, which counts nothing until Set. notify is called after every census that
// changed one of its counts or made them Fresh, and otherwise after the first census that began an
// interval or more after the one of the last call, so that a level-triggered loop sees time pass.
// Between censuses it is called when events have changed a count, at most every tellGap, and at once
// when one reaches what Mark has said.
//
// It is called by Run or a caller of Take, and must not block, nor take a census itself. nil is for a
// caller that only wants Counts.
func (t *Table) Follow(notify func()) *Follower {
	if notify == nil {
		notify = func() {}
	}
	f := &Follower{t: t, notify: notify}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.followers, t.watchers = append(t.followers, f), nil
	return f
}

// Set names the executables to count from now on, in place of the earlier ones. Counts are not
// Fresh until a census has looked for them, and one is asked for at once. Naming the same ones
// again does nothing, so that a loop may call it each time round.
func (f *Follower) Set(ids []fsys.ID) {
	ids = sortedIDs(ids)
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	if f.request != 0 && slices.Equal(ids, f.ids) {
		return
	}
	f.t.request++
	f.ids, f.request = ids, f.t.request
	f.t.in, f.t.watchers = nil, nil
	f.t.hurry()
}

// Mark has notify called at once, and once, when n processes or more execute id; 0 is for never. It
// takes the place of the earlier Mark. Without events nothing is known sooner than by the next census,
// after which notify is called anyway.
func (f *Follower) Mark(id fsys.ID, n int) {
	f.t.mu.Lock()
	f.mark, f.markAt, f.reached, f.reachedAt = id, n, false, time.Time{}
	place, known := f.t.last.in[id]
	late := known && f.t.source.sound && f.reaches(f.t.last.in, place, f.t.last.tally.counts[place])
	f.t.mu.Unlock()
	if late {
		f.notify()
	}
}

// reaches reports whether n processes at place are what Mark has asked for, and forgets that it did.
// t.mu is held.
func (f *Follower) reaches(in index, place, n int) bool {
	if f.reached || f.markAt == 0 || n < f.markAt {
		return false
	}
	if at, known := in[f.mark]; !known || at != place {
		return false
	}
	f.reached = true
	return true
}

// distance is how many processes are missing to the mark. t.mu is held.
func (f *Follower) distance(v *view) int {
	if f.markAt == 0 {
		return math.MaxInt32
	}
	if f.reached {
		return 0
	}
	n, _ := v.of(f.mark)
	return max(0, f.markAt-n)
}

// Acted tells that what notify was called for at once has been done. It returns how long that took,
// from the moment in which the kernel wrote the event; false when there was no such call since the
// last Mark.
func (f *Follower) Acted() (time.Duration, bool) {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	if f.reachedAt.IsZero() {
		return 0, false
	}
	d := time.Since(f.reachedAt)
	f.reachedAt = time.Time{}
	f.t.late.add(d, time.Now())
	return d, true
}

// Due asks for the next census in at most d, in place of what an earlier Due has asked for: half
// the time to the mark at the measured rate. It is for the next census to begin and no other. At
// zero or below the census is wanted at once. It comes later than asked for when censuses would
// otherwise take more than a tenth of one core, and while events tell as much it is not taken sooner.
func (f *Follower) Due(d time.Duration) {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	f.due = time.Now().Add(d)
	f.t.hurry()
}

// Counts is what is known now.
func (f *Follower) Counts() Counts {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	c := f.t.last.counts()
	c.At, c.Fresh = f.t.asOf, f.fresh(&f.t.last)
	return c
}

// Rate is how many processes a second appear on the followed executables, exponentially weighted over
// 0.5 s or over 5 s, whichever gives more. Without events it is the sum of what the executables' counts
// grew by from one census to the next, which is a lower bound: a process that ends before a census has
// seen it, or in whose place another one of the same executable ends, does not show in a count.
func (f *Follower) Rate() float64 {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	if f.t.source.sound {
		f.rateUntil(time.Now())
	}
	return f.rate.perSecond()
}

// rateUntil takes what has started into the rate. t.mu is held.
func (f *Follower) rateUntil(at time.Time) {
	if gap := at.Sub(f.rated); gap > 0 {
		if !f.rated.IsZero() {
			f.rate.add(f.started, gap)
		}
		f.started, f.rated = 0, at
	}
}

// Latency is how long a new process may stay unseen, as measured. With events it is the longest that
// one took, in the last half minute or so, until it was counted or, for one that notify was called for
// at once, acted upon. Without them it is the time from the beginning of the last census but one, which may
// just have missed a process, to the end of the last; it grows while the next one is overdue. Before two censuses are
// complete it is the interval.
func (f *Follower) Latency() time.Duration {
	t := f.t
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	switch {
	case t.source.sound:
		return t.late.longest(now)
	case t.source.listening: // some were lost
		return max(t.late.longest(now), t.gap, now.Sub(t.asOf))
	case t.gap == 0:
		return t.pace()
	}
	return max(t.gap, now.Sub(t.last.began))
}

// Close ends the following. A call of notify that is under way may still come to its end.
func (f *Follower) Close() {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	f.t.followers = slices.DeleteFunc(f.t.followers, func(g *Follower) bool { return g == f })
	f.t.in, f.t.watchers = nil, nil
}

// fresh reports whether a census knew of f's last Set. t.mu is held.
func (f *Follower) fresh(v *view) bool { return f.request != 0 && v.request >= f.request }

// wants is when f would have the census after v begin; zero when it does not mind. sound says that
// events tell as much. t.mu is held.
func (f *Follower) wants(v *view, sound bool) time.Time {
	switch {
	case f.request != 0 && !f.fresh(v):
		return v.began // at once
	case sound:
		return time.Time{}
	}
	return f.due
}

// follow takes note of a census and reports whether to call notify. t.mu is held.
func (f *Follower) follow(before, after *view, interval time.Duration) bool {
	grew, changed := growth(before, after, f.ids)
	f.started += grew // those that no event has told of
	f.rateUntil(after.began)
	if !changed && !f.changed && f.fresh(before) == f.fresh(after) && after.began.Sub(f.told) < interval {
		return false
	}
	f.changed, f.told = false, after.began
	return true
}

// sortedIDs is a copy of ids, in order and each once.
func sortedIDs(ids []fsys.ID) []fsys.ID {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, func(a, b fsys.ID) int {
		return cmp.Or(cmp.Compare(a.Dev, b.Dev), cmp.Compare(a.Ino, b.Ino))
	})
	return slices.Compact(ids)
}
