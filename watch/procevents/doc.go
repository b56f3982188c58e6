// Package procevents is what the kernel tells of the fork, exec and exit of processes: how it is asked, what its
// messages hold, and how one waits for them. It must never look at a process.
package procevents

import "golang.org/x/sys/unix"

// Monotonic returns CLOCK_MONOTONIC in nanoseconds, which events bear.
func Monotonic() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0 // every kernel has this clock
	}
	return ts.Nano()
}
