package proctable

import (
	"slices"
	"time"

	"relinkd/fsys"
)

// Counts is how many processes execute what, at one instant. It does not change once it is handed
// out. The zero value is that of no census at all.
type Counts struct {
	// At is the instant. A process that began after At may be missing: At is when the last census
	// began, or when the last event was read that the kernel had written.
	At time.Time
	// Fresh is false until a census that began after the follower's last Set is complete. Counts
	// are then those of an earlier census, which may not have looked for all of the executables.
	Fresh bool

	in     index
	counts []int
	peaks  []int
}

// Of is the number of processes that executed id. It is 0, too, for an executable that the census
// did not look for, of which there is none among those of the follower when the counts are Fresh.
func (c Counts) Of(id fsys.ID) int {
	if place, known := c.in[id]; known {
		return c.counts[place]
	}
	return 0
}

// Peak is the most processes that are known to have executed id at one time, since it is followed without a
// break. By events that is all of them but those that came and went before they were looked at. While events
// are lost it is, of what a census finds, what was known before it, and without events all that it finds.
func (c Counts) Peak(id fsys.ID) int {
	if place, known := c.in[id]; known {
		return c.peaks[place]
	}
	return 0
}

// view is the outcome of the last complete census, its counts kept up to date by events.
type view struct {
	in      index
	tally   tally
	peaks   []int         // the highest of each of the tally's counts
	began   time.Time     // zero before the first census
	took    time.Duration // by the clock
	cost    time.Duration // of processor time
	request uint64        // the number of the last Set that it knew of
}

// counts is what v knows at this instant.
func (v *view) counts() Counts {
	return Counts{in: v.in, counts: slices.Clone(v.tally.counts), peaks: slices.Clone(v.peaks)}
}

// climb makes the peaks of v from those of the view before it and the counts that are certain.
func (v *view) climb(before *view, certain []int) {
	v.peaks = slices.Clone(certain)
	for id, place := range v.in {
		if was, known := before.in[id]; known {
			v.peaks[place] = max(v.peaks[place], before.peaks[was])
		}
	}
}

// growth compares the counts of ids in two views: the sum of what those known to both have grown by,
// and whether any differs or was not known before.
func growth(before, after *view, ids []fsys.ID) (grew int, changed bool) {
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

// of is how many processes execute id, and whether id is looked for.
func (v *view) of(id fsys.ID) (n int, known bool) {
	place, known := v.in[id]
	if !known {
		return 0, false
	}
	return v.tally.counts[place], true
}
