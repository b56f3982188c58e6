package proctable

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// The bounds of the time between two censuses.
const (
	// minInterval keeps an interval that was given as next to nothing from being no interval.
	minInterval = time.Millisecond
	// maxInterval is as long as a new process may stay unseen when nothing but the census tells.
	maxInterval = time.Second
	// maxShare is the part of one core that censuses may take: one in maxShare.
	maxShare = 10
)

// pace is the time between two censuses when that asked for is interval; sound says that events tell
// of what happens in between.
func pace(interval time.Duration, sound bool) time.Duration {
	interval = max(interval, minInterval)
	if sound {
		return interval
	}
	return min(interval, maxInterval)
}

// nextBegin is when the census after one that began at began and cost so much processor time is to
// begin: an interval later, or at due if that is sooner and somebody has set it, but never so soon
// that censuses take more than their share of a core.
func nextBegin(began time.Time, cost, interval time.Duration, due time.Time) time.Time {
	next := began.Add(interval)
	if !due.IsZero() && due.Before(next) {
		next = due
	}
	if earliest := began.Add(maxShare * cost); next.Before(earliest) {
		next = earliest
	}
	return next
}

// onProcessor runs work and returns the processor time that it took. Time by the clock would not do:
// on a busy host a census waits for its turn, and the longer it had to wait the later the next one
// would be, just when processes begin fastest.
func onProcessor(work func() error) (time.Duration, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadTime()
	err := work()
	return threadTime() - before, err
}

// threadTime is the processor time that the calling thread has used.
func threadTime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
		return 0 // the kernel has had this clock since 2.6.12
	}
	return time.Duration(ts.Nano())
}
