package top

import (
	"maps"
	"slices"
	"time"

	"relinkd/api"
)

// keep is how many events a log holds: far more than any screen has lines.
const keep = 500

// log is the last events, in the order of their times. A log never changes.
type log struct {
	events []api.Event
	known  map[identity]bool
}

// identity tells events apart, also those of a daemon that was started anew and counts from 1 again.
type identity struct {
	id uint64
	at time.Time
}

func identityOf(e api.Event) identity { return identity{e.ID, e.Time.UTC().Round(0)} }

// with is l and the events of more that it did not hold.
func (l log) with(more []api.Event) log {
	known := maps.Clone(l.known)
	if known == nil {
		known = map[identity]bool{}
	}
	events := slices.Clone(l.events)
	for _, e := range more {
		if !known[identityOf(e)] {
			known[identityOf(e)] = true
			events = append(events, e)
		}
	}
	slices.SortStableFunc(events, func(a, b api.Event) int { return a.Time.Compare(b.Time) })
	for len(events) > keep {
		delete(known, identityOf(events[0]))
		events = events[1:]
	}
	return log{events, known}
}

// last is the last n events that concern a target: its own, and those of the daemon.
func (l log) last(n int, target string) []api.Event {
	var found []api.Event
	for _, e := range slices.Backward(l.events) {
		if len(found) == n {
			break
		}
		if e.Target == "" || e.Target == target {
			found = append(found, e)
		}
	}
	slices.Reverse(found)
	return found
}
