package proctable

import (
	"cmp"
	"math"
	"slices"
	"time"

	"relinkd/fsys"
	"relinkd/watch/gauge"
)

// Follower is one target's view of a Table: the executables that it wants counted and what was
// found. Its methods may be called from any goroutine, also from notify.
type Follower struct {
	t      *Table
	notify func()

	// What follows is under t.mu.
	ids     []fsys.ID // sorted, each once
	set     bool      // somebody has said what they are
	blind   bool      // not all of them are known
	due     time.Time // when the next census is wanted at the latest; zero means no wish
	told    time.Time // when notify was called last, or the census began that it was called after
	changed bool      // an event has changed a count since
	starts  gauge.Starts
	late    gauge.Window[time.Duration] // of how long it took to act on what notify was called for at once

	// The next time when notify is to be called at once.
	mark      fsys.ID
	markAt    int       // processes; 0 for never
	most      int       // processes with those that may come unseen; 0 for never
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

// Set names the executables to count from now on, in place of the earlier ones. The counts of those that
// were named before, or are Made, stay known and up to date. Of others all that begins from now on is
// counted, and they are Known when a census has looked for them, which is asked for at once. Naming the
// same ones again does nothing, so that a loop may call it each time round.
func (f *Follower) Set(ids []fsys.ID) {
	ids = sortedIDs(ids)
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	if f.set && slices.Equal(ids, f.ids) {
		return
	}
	if len(f.ids) == 0 { // what nothing was followed of says nothing of what begins now
		f.starts = gauge.Starts{}
	}
	news := slices.DeleteFunc(slices.Clone(ids), func(id fsys.ID) bool {
		_, found := slices.BinarySearchFunc(f.ids, id, compareIDs)
		return found
	})
	f.t.admit(news, false)
	f.follows(ids)
}

// Made has the executables ids counted as well, which the caller has just made and which nobody can have
// executed yet: each of them is Known at once, and has no process. Call it before anything leads to them.
// The next Set must name them too.
func (f *Follower) Made(ids []fsys.ID) {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	f.t.admit(ids, true)
	f.follows(sortedIDs(slices.Concat(f.ids, ids)))
}

// follows makes ids, which are sorted and have their places, those that are counted. t.mu is held.
func (f *Follower) follows(ids []fsys.ID) {
	f.ids, f.set = ids, true
	f.t.in, f.t.watchers = nil, nil
	if f.blind = !f.t.last.knows(ids); f.blind {
		f.t.hurry()
	}
}

// Mark has notify called at once, and once, when n processes or more execute id, or when they and those
// that have begun on any of the followed executables within a gauge.SurgeWindow are most or more; 0 is for
// never. It takes the place of the earlier Mark. Without events nothing is known sooner than by the next
// census, after which notify is called anyway.
func (f *Follower) Mark(id fsys.ID, n, most int) {
	f.t.mu.Lock()
	f.mark, f.markAt, f.most, f.reached, f.reachedAt = id, n, most, false, time.Time{}
	place, known := f.t.last.in[id]
	late := known && f.t.source.sound && f.reaches(f.t.last.tally.counts[place], 0)
	f.t.mu.Unlock()
	if late {
		f.notify()
	}
}

// reaches reports whether n processes on what is marked, and so many that have begun just now, are what
// Mark has asked for, and forgets that it did. t.mu is held.
func (f *Follower) reaches(n, surge int) bool {
	if f.reached || (f.markAt == 0 || n < f.markAt) && (f.most == 0 || n+surge < f.most) {
		return false
	}
	f.reached = true
	return true
}

// began takes note of a process that has begun at the time at, and reports whether that is what Mark has
// asked for. t.mu is held.
func (f *Follower) began(v *view, at time.Time) bool {
	surge := f.starts.Began(at)
	n, known := v.of(f.mark)
	if !known || !f.reaches(n, surge) {
		return false
	}
	f.reachedAt = at
	return true
}

// distance is how many processes are missing at least until notify is to be called at once. t.mu is held.
func (f *Follower) distance(v *view) int {
	if f.reached {
		return 0
	}
	n, _ := v.of(f.mark)
	d := math.MaxInt32
	if f.markAt > 0 {
		d = f.markAt - n
	}
	if f.most > 0 { // each is one more on the copy, and one more that has begun just now
		d = min(d, (f.most-n-f.starts.Inside(time.Now()))/2)
	}
	return max(0, d)
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
	f.late.Add(d, time.Now())
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
	c.At, c.Fresh = f.t.asOf, f.set && !f.blind && !f.t.last.began.IsZero()
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
		f.starts.Until(time.Now())
	}
	return f.starts.PerSecond()
}

// Surge is the most processes that have begun on the followed executables within one gauge.SurgeWindow,
// in the last half minute or so; 0 without events. known is false while they have not been watched for
// long enough to tell how fast they begin.
func (f *Follower) Surge() (most int, known bool) {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	now := time.Now()
	return f.starts.Surge(now), f.starts.Known(now)
}

// Sound reports whether events tell of every process and none was lost since the last census began.
func (f *Follower) Sound() bool {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	return f.t.source.sound
}

// Latency is how long a new process may stay unseen, as measured. With events it is the longest that
// one took, in the last half minute or so, until it was counted or, for one that this follower was told
// of at once, acted upon. Without them it is the time from the beginning of the last census but one, which may
// just have missed a process, to the end of the last; it grows while the next one is overdue. Before two censuses are
// complete it is the interval.
func (f *Follower) Latency() time.Duration {
	t := f.t
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	switch {
	case t.source.sound:
		return max(t.late.Most(now), f.late.Most(now))
	case t.source.listening: // some were lost
		return max(t.late.Most(now), f.late.Most(now), t.gap, now.Sub(t.asOf))
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

// wants is when f would have the census after v begin; zero when it does not mind. sound says that
// events tell as much. t.mu is held.
func (f *Follower) wants(v *view, sound bool) time.Time {
	switch {
	case f.blind:
		return v.began // at once
	case sound:
		return time.Time{}
	}
	return f.due
}

// follow takes note of a census and reports whether to call notify. t.mu is held.
func (f *Follower) follow(before, after *view, interval time.Duration) bool {
	grew, changed := growth(before, after, f.ids)
	f.starts.Found(grew) // those that no event has told of
	f.starts.Until(after.began)
	was := f.blind
	f.blind = !after.knows(f.ids)
	if !changed && !f.changed && was == f.blind && after.began.Sub(f.told) < interval {
		return false
	}
	f.changed, f.told = false, after.began
	return true
}

// sortedIDs is a copy of ids, in order and each once.
func sortedIDs(ids []fsys.ID) []fsys.ID {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, compareIDs)
	return slices.Compact(ids)
}

func compareIDs(a, b fsys.ID) int {
	return cmp.Or(cmp.Compare(a.Dev, b.Dev), cmp.Compare(a.Ino, b.Ino))
}
