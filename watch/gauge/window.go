package gauge

import (
	"cmp"
	"time"
)

// peakWindow is how long the highest value is remembered at least; twice as long at most.
const peakWindow = 30 * time.Second

// Window remembers the highest of the values that were added lately. Values are zero or above.
type Window[T cmp.Ordered] struct {
	began       time.Time // of the present half
	now, before T
}

// Add takes note of v at the time now.
func (w *Window[T]) Add(v T, now time.Time) {
	w.roll(now)
	w.now = max(w.now, v)
}

// Most is the highest of those added in the last half minute, or minute at most.
func (w *Window[T]) Most(now time.Time) T {
	w.roll(now)
	return max(w.now, w.before)
}

// roll lets go of what is too old.
func (w *Window[T]) roll(now time.Time) {
	age := now.Sub(w.began)
	if age < peakWindow {
		return
	}
	var none T
	if w.before = w.now; age >= 2*peakWindow {
		w.before = none
	}
	w.now, w.began = none, now
}
