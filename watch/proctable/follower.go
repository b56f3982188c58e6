package proctable

import (
	"cmp"
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
	told    time.Time // the beginning of the census after which notify was called last
	rate    rate
}

// Follow adds a follower, which counts nothing until Set. notify is called after every census that
// changed one of its counts or made them Fresh, and otherwise after the first census that began an
// interval or more after the one of the last call, so that a level-triggered loop sees time pass.
// It is called by the goroutine that took the census, Run's or that of a caller of Take, and must
// not block, nor take a census itself. nil is for a caller that only wants Counts.
func (t *Table) Follow(notify func()) *Follower {
	if notify == nil {
		notify = func() {}
	}
	f := &Follower{t: t, notify: notify}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.followers = append(t.followers, f)
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
	f.t.in = nil
	f.t.hurry()
}

// Due asks for the next census in at most d, in place of what an earlier Due has asked for: half
// the time to the mark at the measured rate. It is for the next census to begin and no other. At
// zero or below the census is wanted at once. It comes later than asked for when censuses would
// otherwise take more than a tenth of one core.
func (f *Follower) Due(d time.Duration) {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	f.due = time.Now().Add(d)
	f.t.hurry()
}

// Counts is what the last complete census found.
func (f *Follower) Counts() Counts {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	c := f.t.last.counts()
	c.Fresh = f.fresh(&f.t.last)
	return c
}

// Rate is how many processes a second appear on the followed executables: the sum of what the
// executables' counts grew by from one census to the next, exponentially weighted over 0.5 s or
// over 5 s, whichever gives more. It is a lower bound: a process that ends before a census has seen it, or in whose place
// another one of the same executable ends, does not show in a count.
func (f *Follower) Rate() float64 {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	return f.rate.perSecond()
}

// Latency is how long a new process may stay unseen, as measured: from the beginning of the last
// census but one, which may just have missed it, to the end of the last. It grows while the next
// one is overdue. Before two censuses are complete it is the interval.
func (f *Follower) Latency() time.Duration {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	if f.t.gap == 0 {
		return f.t.interval
	}
	return max(f.t.gap, time.Since(f.t.last.began))
}

// Close ends the following. A call of notify that is under way may still come to its end.
func (f *Follower) Close() {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	f.t.followers = slices.DeleteFunc(f.t.followers, func(g *Follower) bool { return g == f })
	f.t.in = nil
}

// fresh reports whether a census knew of f's last Set. t.mu is held.
func (f *Follower) fresh(v *view) bool { return f.request != 0 && v.request >= f.request }

// wants is when f would have the census after v begin; zero when it does not mind. t.mu is held.
func (f *Follower) wants(v *view) time.Time {
	if f.request != 0 && !f.fresh(v) {
		return v.began // at once
	}
	return f.due
}

// follow takes note of a census and reports whether to call notify. t.mu is held.
func (f *Follower) follow(before, after *view, interval time.Duration) bool {
	grew, changed := growth(before.counts(), after.counts(), f.ids)
	if !before.began.IsZero() {
		f.rate.add(grew, after.began.Sub(before.began))
	}
	if !changed && f.fresh(before) == f.fresh(after) && after.began.Sub(f.told) < interval {
		return false
	}
	f.told = after.began
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
