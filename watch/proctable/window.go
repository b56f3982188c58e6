package proctable

import "time"

// peakWindow is how long the longest latency is remembered at least; twice as long at most.
const peakWindow = 30 * time.Second

// window remembers the longest of the durations that were added lately.
type window struct {
	began       time.Time // of the present half
	now, before time.Duration
}

// add takes note of d at the time now.
func (w *window) add(d time.Duration, now time.Time) {
	w.roll(now)
	w.now = max(w.now, d)
}

// longest is the longest of those added in the last peakWindow.
func (w *window) longest(now time.Time) time.Duration {
	w.roll(now)
	return max(w.now, w.before)
}

// roll lets go of what is too old.
func (w *window) roll(now time.Time) {
	age := now.Sub(w.began)
	if age < peakWindow {
		return
	}
	if w.before = w.now; age >= 2*peakWindow {
		w.before = 0
	}
	w.now, w.began = 0, now
}
