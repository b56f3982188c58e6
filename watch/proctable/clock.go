package proctable

import (
	"time"

	"relinkd/watch/procevents"
)

// clock tells the time of process events without a system call each time.
type clock struct {
	base time.Time
	mono int64 // procevents.Monotonic at base
}

func newClock() clock { return clock{base: time.Now(), mono: procevents.Monotonic()} }

// since is how long ago a process event was written. It is never negative: mono is a little later
// than base.
func (c clock) since(at int64) time.Duration {
	return max(0, time.Since(c.base)-time.Duration(at-c.mono))
}

// time is when a process event was written.
func (c clock) time(at int64) time.Time { return c.base.Add(time.Duration(at - c.mono)) }
