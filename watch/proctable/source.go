package proctable

// Events says whether process events are asked for, in the words of the configuration.
type Events string

// The ways.
const (
	EventsAuto    Events = "auto"    // with them if they are to be had
	EventsNetlink Events = "netlink" // the same, but their lack is an error
	EventsOff     Events = "off"     // by census only
)

// source is where counts come from just now.
type source struct {
	wanted        Events
	tried         bool   // it is known whether the kernel tells of events
	listening     bool   // it does
	sound         bool   // a census stands behind what it told, with no event lost since
	reason        string // why it does not tell
	overflows     int    // how often events were lost
	subscriptions int    // how often listening has begun
}

// settled reports whether counts will not get any better than they are.
func (s *source) settled() bool { return s.sound || s.tried && !s.listening }

// missing reports whether events are to be had by the administrator's word and are not.
func (s *source) missing() bool { return s.wanted == EventsNetlink && s.tried && !s.listening }
