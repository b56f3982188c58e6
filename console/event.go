package console

import (
	"fmt"
	"strings"

	"relinkd/watch"
)

// Event is e in a line, whatever its length: when, of which target where several is true, and what.
func (s Screen) Event(e watch.Event, several bool) string {
	text := s.Paint(s.Clock(e.Time), Dim) + " "
	if several && e.Target != "" && !strings.HasPrefix(e.Message, e.Target+": ") {
		text += s.Clean(e.Target) + ": "
	}
	return text + s.Paint(s.Clean(e.Message), eventTone(e))
}

// eventTone is the colour of what has happened.
func eventTone(e watch.Event) Tone {
	switch e.Kind {
	case watch.EventError:
		return Bad
	case watch.EventRepair, watch.EventCounting:
		return Busy
	case watch.EventUpgrade, watch.EventManage, watch.EventRestore:
		return Strong
	case watch.EventState:
		return StateTone(watch.State(e.To))
	}
	return Plain
}

// last is the latest of events, which are in their order, that is of a target and of a kind.
func last(events []watch.Event, target string, kind watch.EventKind) (watch.Event, bool) {
	for i := len(events) - 1; i >= 0; i-- {
		if events[i].Target == target && events[i].Kind == kind {
			return events[i], true
		}
	}
	return watch.Event{}, false
}

// history writes when and why t was last rotated and upgraded.
func (s Screen) history(b *strings.Builder, t *watch.TargetStatus, events []watch.Event) {
	if e, found := last(events, t.Name, watch.EventRotation); found {
		s.row(b, "rotated", "%s: %s%s", s.When(e.Time), strings.TrimPrefix(e.Message, "rotated "), took(e))
	}
	if e, found := last(events, t.Name, watch.EventUpgrade); found {
		s.row(b, "upgraded", "%s: %s%s", s.When(e.Time), e.Message, took(e))
	}
}

// lastErrorAt says when the last error was, where it is among events.
func (s Screen) lastErrorAt(st *watch.Status, events []watch.Event) string {
	for i := len(events) - 1; i >= 0; i-- {
		e := events[i]
		if e.Kind == watch.EventError && e.Message != "" && (strings.Contains(st.LastError, e.Message) || strings.Contains(e.Message, st.LastError)) {
			return ", " + s.When(e.Time)
		}
	}
	return ""
}

// took says how long what has happened took, if the message does not.
func took(e watch.Event) string {
	if e.Seconds <= 0 || strings.Contains(e.Message, "took") {
		return ""
	}
	return fmt.Sprintf(", in %s", lasted(e.Seconds))
}
