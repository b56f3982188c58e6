package proctable

import "time"

// The bounds of the time between two censuses.
const (
	// minInterval keeps an interval that was given as next to nothing from being no interval.
	minInterval = time.Millisecond
	// maxInterval is as long as a new process may stay unseen when nothing but the census tells.
	maxInterval = time.Second
	// maxShare is the part of one core that censuses may take: one in maxShare.
	maxShare = 10
)

// clampInterval is the interval that is kept when d was asked for.
func clampInterval(d time.Duration) time.Duration {
	return min(max(d, minInterval), maxInterval)
}

// nextBegin is when the census after one that began at began and lasted took is to begin: an
// interval later, or at due if that is sooner and somebody has set it, but never so soon that
// censuses take more than their share of a core.
func nextBegin(began time.Time, took, interval time.Duration, due time.Time) time.Time {
	next := began.Add(interval)
	if !due.IsZero() && due.Before(next) {
		next = due
	}
	if earliest := began.Add(maxShare * took); next.Before(earliest) {
		next = earliest
	}
	return next
}
