package proctable

import (
	"slices"
	"time"

	"relinkd/watch/procevents"
)

// live brings censuses and events together: which process executes what, by the last census and all
// events since. Without a census in between it would be as wrong as the first lost event made it;
// without events it would be as old as the census.
type live struct {
	known *processes // nil while no events come
	based bool       // known has the places of the Table's last view
	sound bool       // a census stands behind known, and no event was lost since it began

	next    *processes // by the census under way; then the one before, whose memory is used again
	taking  bool       // a census is under way
	touched []int32    // the processes that events have named since it began
	intact  bool       // no event was lost since it began

	suspects  map[int32]struct{} // processes that a census has found elsewhere than events have told
	suspected time.Time          // when it did
}

// suspicion is how much later an event may come than what it tells of shows in /proc: an exec is told
// when the new image is complete, which may take a slow disk.
const suspicion = time.Second

// start begins with nothing known. The next census makes it sound.
func (l *live) start() {
	*l = live{
		known:    &processes{in: index{}, place: map[int32]int32{}},
		next:     &processes{place: map[int32]int32{}},
		suspects: map[int32]struct{}{},
	}
}

// stop forgets everything: no more events come.
func (l *live) stop() { *l = live{} }

// lose takes note that events were lost.
func (l *live) lose() {
	l.sound, l.intact = false, false
	clear(l.suspects)
}

// apply takes note of an event.
func (l *live) apply(e procevents.Event, look executable) change {
	if l.taking {
		l.touched = append(l.touched, e.PID)
	}
	if len(l.suspects) > 0 {
		delete(l.suspects, e.PID)
	}
	return l.known.apply(e, look)
}

// silent reports whether a census has found something that no event has told of in good time.
func (l *live) silent(now time.Time) bool {
	return len(l.suspects) > 0 && now.Sub(l.suspected) > suspicion
}

// begin is called before a census of what is in the index. It returns where the census is to note
// what each process executes; nil when that is of no use.
func (l *live) begin(in index) *processes {
	if l.known == nil {
		return nil
	}
	l.taking, l.intact, l.touched = true, true, l.touched[:0]
	clear(l.next.place)
	l.next.in = in
	return l.next
}

// index has l know what v counts, in v's places, which is what l knows of and perhaps more.
func (l *live) index(v *view) {
	if l.based {
		l.known.in, l.known.sure = v.in, v.known
	}
}

// end makes the census under way, of which v is the outcome, what is known, after looking again at every
// process that an event has named meanwhile: what the census has found of it may be from before that or
// from after. It corrects the counts of v by that, and returns those of them that there were at one time
// for certain: where events were lost, one that has ended may be counted besides one that took its place.
func (l *live) end(v *view, look executable, now time.Time) (certain []int) {
	counts := v.tally.counts
	if l.known == nil {
		return counts
	}
	l.taking = false
	l.next.in, l.next.sure = v.in, v.known
	slices.Sort(l.touched)
	l.touched = slices.Compact(l.touched)
	for _, pid := range l.touched {
		l.next.look(pid, look).correct(counts)
	}
	clear(l.suspects)
	if l.sound && l.intact {
		l.suspect(now)
	}
	if certain = counts; !l.intact {
		certain = l.next.common(l.known) // they were there when the census began
	}
	l.known, l.next = l.next, l.known
	l.sound, l.based = l.intact, true
	return certain
}

// suspect notes the processes that events tell otherwise of than the census.
func (l *live) suspect(now time.Time) {
	l.suspected = now
	l.known.differences(l.next, func(pid int32) {
		if _, named := slices.BinarySearch(l.touched, pid); !named {
			l.suspects[pid] = struct{}{}
		}
	})
}

// abort is for a census that failed: what was known stays.
func (l *live) abort() { l.taking = false }

// correct makes counts of c.
func (c change) correct(counts []int) {
	if c.from != none {
		counts[c.from]--
	}
	if c.to != none {
		counts[c.to]++
	}
}
