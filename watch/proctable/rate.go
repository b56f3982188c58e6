package proctable

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

// rate is the number of new processes a second, exponentially weighted over both windows.
type rate struct{ short, long float64 }

// add takes note of grew more processes in a further gap. A gap that is not above zero says nothing.
func (r *rate) add(grew int, gap time.Duration) {
	if gap <= 0 {
		return
	}
	sample := float64(grew) / gap.Seconds()
	r.short += weight(gap, shortWindow) * (sample - r.short)
	r.long += weight(gap, longWindow) * (sample - r.long)
}

// perSecond is the higher of the two: who keeps room for what comes unseen must not be surprised.
func (r *rate) perSecond() float64 { return max(r.short, r.long) }

// weight is that of a sample of length gap.
func weight(gap, window time.Duration) float64 { return -math.Expm1(-gap.Seconds() / window.Seconds()) }
