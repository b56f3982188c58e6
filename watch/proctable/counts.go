package proctable

import (
	"time"

	"relinkd/fsys"
)

// Counts is what one census found, never mixed with what another did. It does not change once it
// is handed out. The zero value is that of no census at all.
type Counts struct {
	// At is when the census began. A process that began after At may be missing.
	At time.Time
	// Fresh is false until a census that began after the follower's last Set is complete. Counts
	// are then those of an earlier census, which may not have looked for all of the executables.
	Fresh bool

	in     index
	counts []int
}

// Of is the number of processes that executed id. It is 0, too, for an executable that the census
// did not look for, of which there is none among those of the follower when the counts are Fresh.
func (c Counts) Of(id fsys.ID) int {
	n, _ := c.of(id)
	return n
}

// of is Of, and whether the census looked for id.
func (c Counts) of(id fsys.ID) (n int, known bool) {
	place, known := c.in[id]
	if !known {
		return 0, false
	}
	return c.counts[place], true
}

// view is the outcome of the last complete census.
type view struct {
	in      index
	tally   tally         // its counts are shared with every Counts handed out: never written to again
	began   time.Time     // zero before the first census
	took    time.Duration // by the clock
	cost    time.Duration // of processor time
	request uint64        // the number of the last Set that it knew of
}

func (v *view) counts() Counts {
	return Counts{At: v.began, in: v.in, counts: v.tally.counts}
}

// growth compares the counts of ids in two censuses: the sum of what those known to both have
// grown by, and whether any differs or was not known before.
func growth(before, after Counts, ids []fsys.ID) (grew int, changed bool) {
	for _, id := range ids {
		is, known := after.of(id)
		if !known {
			continue // set while the census ran: the next one looks for it
		}
		was, known := before.of(id)
		changed = changed || !known || is != was
		if known && is > was {
			grew += is - was
		}
	}
	return grew, changed
}
