package api

import "time"

// Event is one thing that has happened, of which the daemon keeps the last ones. An Event never
// changes once it is handed out.
type Event struct {
	ID      uint64    `json:"id"` // ascending over all targets, from 1 at the daemon's start
	Time    time.Time `json:"time"`
	Target  string    `json:"target"` // "" for the daemon itself
	Kind    EventKind `json:"kind"`
	Reason  string    `json:"reason"`  // in a word or two where there is such a word, or in a sentence
	From    string    `json:"from"`    // a copy's name, the beginning of a generation's hash, or a state
	To      string    `json:"to"`      // likewise
	Seconds float64   `json:"seconds"` // how long it took; 0 where that means nothing
	Message string    `json:"message"` // for people: a whole sentence
}

// EventKind is what an Event is about.
type EventKind string

// The kinds of events.
const (
	EventRotation EventKind = "rotation" // the private link was moved, once or, in a storm, many times
	EventUpgrade  EventKind = "upgrade"  // another generation came in force
	EventGrowth   EventKind = "growth"   // the pool got one more copy
	EventRepair   EventKind = "repair"   // something was found amiss, or was mended: a copy, the pristine, path
	EventManage   EventKind = "manage"   // an operator had the target managed
	EventRestore  EventKind = "restore"  // path was given back: by an operator's word, or with its package
	EventState    EventKind = "state"    // the target's state has changed, from From to To
	EventReload   EventKind = "reload"   // the configuration was read again
	EventCounting EventKind = "counting" // the source of counts has changed, or has lost events
	EventError    EventKind = "error"    // something went wrong
)

// EventKinds is all of them.
func EventKinds() []EventKind {
	return []EventKind{EventRotation, EventUpgrade, EventGrowth, EventRepair, EventManage, EventRestore,
		EventState, EventReload, EventCounting, EventError}
}

// The names of the log's fields that tell what an Event tells.
const (
	FieldTarget     = "target"
	FieldKind       = "event"
	FieldCopy       = "copy"       // the copy that was made, mended or rotated to
	FieldGeneration = "generation" // the beginning of the hash of the source in force
	FieldReason     = "reason"
	FieldFrom       = "from"
	FieldSeconds    = "seconds"
)
