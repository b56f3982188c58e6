package proctable

import (
	"fmt"
	"time"

	"relinkd/api/histogram"
)

// Stats is how the counting goes, for the status document and the metrics. Unreadable above zero
// means that counts may be too low, and is to be shown as an error: root's daemon needs
// CAP_SYS_PTRACE for processes of other users, an ordinary user can only read its own.
type Stats struct {
	Accounting       string              // how processes are counted: "netlink" (process events) or "census"
	AccountingReason string              // why so, and what that means; "" when all is as it should be
	EventsMissing    bool                // census.events demands process events, and there are none
	Overflows        int                 // how often events were lost, and a census has made up for them
	Subscriptions    int                 // how often listening to events has begun
	Unreadable       int                 // processes that would not say what they execute, in the last census
	Processes        int                 // all that the last census saw, kernel threads included
	Censuses         int                 // complete ones, since the table was made
	LastDuration     time.Duration       // of the last census
	Durations        histogram.Histogram // of all complete censuses
}

// Stats.Accounting.
const (
	accountingEvents = "netlink"
	accountingCensus = "census"
)

// durations is what censuses are counted by: a small host's takes a millisecond, 12,000 processes take ten.
var durations = histogram.NewLimits(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

// Stats describes the source of the counts and the last complete census, whose numbers are zero before
// the first.
func (t *Table) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Stats{
		Accounting:    accountingEvents,
		EventsMissing: t.source.missing(),
		Overflows:     t.source.overflows,
		Subscriptions: t.source.subscriptions,
		Unreadable:    t.last.tally.unreadable,
		Processes:     t.last.tally.processes,
		Censuses:      t.censuses,
		LastDuration:  t.last.took,
		Durations:     t.durations,
	}
	switch {
	case !t.source.listening:
		s.Accounting = accountingCensus
		s.AccountingReason = fmt.Sprintf("%s: a new process is seen within %s, or ten times the length of a census if that is more",
			t.source.reason, t.pace())
	case !t.source.sound:
		s.AccountingReason = "process events were lost, or are new: a census is being taken"
	}
	return s
}
