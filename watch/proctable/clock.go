package proctable

import (
	"time"

	"golang.org/x/sys/unix"
)

// monotonic is CLOCK_MONOTONIC in nanoseconds, which process events bear.
func monotonic() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0 // every kernel has this clock
	}
	return ts.Nano()
}

// clock tells the time of process events without a system call each time.
type clock struct {
	base time.Time
	mono int64 // monotonic at base
}

func newClock() clock { return clock{base: time.Now(), mono: monotonic()} }

// since is how long ago a process event was written. It is never negative: mono is a little later
// than base.
func (c clock) since(at int64) time.Duration {
	return max(0, time.Since(c.base)-time.Duration(at-c.mono))
}

// time is when a process event was written.
func (c clock) time(at int64) time.Time { return c.base.Add(time.Duration(at - c.mono)) }
