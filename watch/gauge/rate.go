// Package gauge measures how fast processes begin and how late that is known, by clocks that it is
// given: the daemon measures with it, and a simulation of the daemon. It must never look at a clock itself.
package gauge

import (
	"math"
	"time"
)

// The time constants of the measured rate: what happened that long ago weighs 1/e. The short one sees
// a burst within half a second, the long one remembers it through a lull.
const (
	shortWindow = 500 * time.Millisecond
	longWindow  = 5 * time.Second
)

// Rate is the number of new processes a second, exponentially weighted over both windows, or over all that was
// added where that is less.
type Rate struct {
	short, long float64
	past        time.Duration // what was added reaches so far back
}

// leastPast is how far back what was added is taken to reach at least: a first process says little.
const leastPast = 100 * time.Millisecond

// Add takes note of grew more processes in a further gap. A gap that is not above zero says nothing.
func (r *Rate) Add(grew int, gap time.Duration) {
	if gap <= 0 {
		return
	}
	sample := float64(grew) / gap.Seconds()
	r.short += weight(gap, shortWindow) * (sample - r.short)
	r.long += weight(gap, longWindow) * (sample - r.long)
	r.past += gap
}

// PerSecond is the higher of the two: who keeps room for what comes unseen must not be surprised.
func (r *Rate) PerSecond() float64 {
	past := max(r.past, leastPast)
	return max(r.short/weight(past, shortWindow), r.long/weight(past, longWindow))
}

// weight is that of a sample of length gap.
func weight(gap, window time.Duration) float64 { return -math.Expm1(-gap.Seconds() / window.Seconds()) }
