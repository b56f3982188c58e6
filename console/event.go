package console

import (
	"fmt"
	"strings"

	"relinkd/api"
)

// Event is e in a line, whatever its length: when, and what.
func (s Screen) Event(e api.Event) string {
	return s.Paint(s.Clock(e.Time), Dim) + " " + s.Paint(s.Clean(e.Message), eventTone(e))
}

// eventTone is the colour of what has happened.
func eventTone(e api.Event) Tone {
	switch e.Kind {
	case api.EventError:
		return Bad
	case api.EventRepair, api.EventCounting:
		return Busy
	case api.EventUpgrade, api.EventManage, api.EventRestore:
		return Strong
	case api.EventState:
		return StateTone(api.State(e.To))
	}
	return Plain
}

// last is the latest of events, which are in their order, that is of a target and of a kind.
func last(events []api.Event, target string, kind api.EventKind) (api.Event, bool) {
	for i := len(events) - 1; i >= 0; i-- {
		if events[i].Target == target && events[i].Kind == kind {
			return events[i], true
		}
	}
	return api.Event{}, false
}

// history writes when and why t was last rotated and upgraded.
func (s Screen) history(b *strings.Builder, t *api.TargetStatus, events []api.Event) {
	if e, found := last(events, t.Name, api.EventRotation); found {
		more := ""
		if e.To != t.Current { // those of a storm are told of together, when it is over
			more = ", and on since"
		}
		s.row(b, "rotated", "%s: %s%s", s.When(e.Time), strings.TrimPrefix(e.Message, "rotated "), more)
	}
	if e, found := last(events, t.Name, api.EventUpgrade); found {
		s.row(b, "upgraded", "%s: %s", s.When(e.Time), s.upgrade(e))
	}
}

// upgrade says from which generation to which one, or what was done instead.
func (s Screen) upgrade(e api.Event) string {
	if e.To == "" {
		return e.Message
	}
	text := e.To
	if e.From != "" {
		text = fmt.Sprintf("%s %s %s", e.From, s.Glyphs().Arrow, e.To)
	}
	if e.Seconds > 0 {
		text += ", in " + lasted(e.Seconds)
	}
	return text
}
