package proctable

import (
	"maps"
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
	// Fresh says that a census is complete and that each of the follower's executables is Known.
	Fresh bool

	in     index
	counts []int
	known  []bool
	peaks  []int
}

// Known reports whether the count of id is right as of At: a census has looked for id, or id is of a file
// that was made and counted from the beginning, and no process can have been missed since. It is false for
// an executable that is followed since the last census began, and for one that is not followed.
func (c Counts) Known(id fsys.ID) bool {
	place, there := c.in[id]
	return there && c.known[place]
}

// Of is the number of processes that executed id. Of an executable that is not Known it is the number
// of those that events have told of, which is 0 without events.
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
	in    index
	tally tally
	known []bool        // whether all processes of a place are counted; it never changes, but is replaced
	peaks []int         // the highest of each of the tally's counts
	began time.Time     // zero before the first census
	took  time.Duration // by the clock
	cost  time.Duration // of processor time
}

// counts is what v knows at this instant.
func (v *view) counts() Counts {
	return Counts{in: v.in, counts: slices.Clone(v.tally.counts), known: v.known, peaks: slices.Clone(v.peaks)}
}

// newcomer is an executable that is counted from now on. A known one has no process yet.
type newcomer struct {
	id    fsys.ID
	known bool
}

// admit gives the newcomers places, after those that there are, with a count of 0. One that has a place
// keeps it and its count, and may become known. It reports whether a place was given.
func (v *view) admit(all []newcomer) (more bool) {
	in, known := v.in, v.known
	for _, n := range all {
		place, there := in[n.id]
		switch {
		case !there && !more: // others have the index, and read it
			more = true
			if in = maps.Clone(in); in == nil {
				in = index{}
			}
			fallthrough
		case !there:
			in[n.id] = len(known)
			known = append(slices.Clip(known), n.known)
			v.tally.counts, v.peaks = append(v.tally.counts, 0), append(v.peaks, 0)
		case n.known && !known[place]:
			known = slices.Clone(known)
			known[place] = true
		}
	}
	v.in, v.known = in, known
	return more
}

// knows reports whether all processes of each of ids are counted.
func (v *view) knows(ids []fsys.ID) bool {
	for _, id := range ids {
		if place, there := v.in[id]; !there || !v.known[place] {
			return false
		}
	}
	return true
}

// climb has the peaks of v be no lower than those of the view before it.
func (v *view) climb(before *view) {
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
		if known && before.known[before.in[id]] && is > was {
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
