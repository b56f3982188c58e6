package proctable

import (
	"relinkd/fsys"
	"relinkd/watch/procevents"
)

// processes knows of each process that executes something that is counted which of these it is. It
// is what a census has found, kept up to date by events.
//
// An event says no more than that a process must be looked at again, so that it does no harm to hear
// of one twice, late, or of a pid that has another process by now. The order of events does matter
// for one pid, and the kernel keeps it: an exit is told before the pid can be used again.
type processes struct {
	in    index
	sure  []bool          // by place, whether all of its processes are known
	place map[int32]int32 // by pid; 10 to 20 bytes a process
}

// none is the place of a process that executes nothing that is counted.
const none = -1

// change is what an event has changed: a process went from one place to another, each of them none
// or a place in the index.
type change struct{ from, to int }

// executable is how the table looks at a process: what it executes now. ok is false when it
// executes nothing, is gone, or will not say.
type executable func(pid int32) (id fsys.ID, ok bool)

// apply takes note of an event.
func (p *processes) apply(e procevents.Event, look executable) change {
	switch e.Kind {
	case procevents.Fork, procevents.Exec:
		return p.look(e.PID, look)
	case procevents.Exit:
		return p.put(e.PID, none)
	}
	return change{none, none}
}

// look looks at a process again.
func (p *processes) look(pid int32, look executable) change {
	to := none
	if id, ok := look(pid); ok {
		if place, ok := p.in[id]; ok {
			to = place
		}
	}
	return p.put(pid, to)
}

// put makes to the place of a process.
func (p *processes) put(pid int32, to int) change {
	c := change{from: p.of(pid), to: to}
	switch {
	case c.from == to:
	case to == none:
		delete(p.place, pid)
	default:
		p.place[pid] = int32(to)
	}
	return c
}

// of is the place of a process.
func (p *processes) of(pid int32) int {
	if place, ok := p.place[pid]; ok {
		return int(place)
	}
	return none
}

// differences calls tell for every process that executes another thing in q than in p, as far as
// both know of all that execute it.
func (p *processes) differences(q *processes, tell func(pid int32)) {
	p.missing(q, tell)
	q.missing(p, tell)
}

// missing calls tell for the processes of p that are not in the same place in q.
func (p *processes) missing(q *processes, tell func(pid int32)) {
	same := p.places(q)
	for pid, place := range p.place {
		if there := same[place]; there != none && p.sure[place] && q.sure[there] && q.of(pid) != there {
			tell(pid)
		}
	}
}

// common is how many processes of p, in each of its places, execute the same in q.
func (p *processes) common(q *processes) []int {
	same, counts := p.places(q), make([]int, len(p.in))
	for pid, place := range p.place {
		if there := same[place]; there != none && q.of(pid) == there {
			counts[place]++
		}
	}
	return counts
}

// places is, for each place of p, the place in q of what has it, or none.
func (p *processes) places(q *processes) []int {
	same := make([]int, len(p.in))
	for id, place := range p.in {
		same[place] = none
		if there, ok := q.in[id]; ok {
			same[place] = there
		}
	}
	return same
}
