package proctable

import (
	"fmt"
	"time"
)

// Stats is how the counting goes, for the status document and the metrics. Unreadable above zero
// means that counts may be too low, and is to be shown as an error: root's daemon needs
// CAP_SYS_PTRACE for processes of other users, an ordinary user can only read its own.
type Stats struct {
	Accounting       string        // "census": how processes are counted
	AccountingReason string        // why so, and what that means
	Overflows        int           // how often kernel events were lost: a census waits for none, so 0
	Unreadable       int           // processes that would not say what they execute, in the last census
	Processes        int           // all that the last census saw, kernel threads included
	Censuses         int           // complete ones, since the table was made
	LastDuration     time.Duration // of the last census
}

// Stats describes the last complete census; all its numbers are zero before the first.
func (t *Table) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Stats{
		Accounting: "census",
		AccountingReason: fmt.Sprintf(
			"no kernel process events: a new process is seen within %s, or ten times the length of a census if that is more", t.interval),
		Unreadable:   t.last.tally.unreadable,
		Processes:    t.last.tally.processes,
		Censuses:     t.censuses,
		LastDuration: t.last.took,
	}
}
