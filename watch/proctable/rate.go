package proctable

import (
	"math"
	"time"
)

// rateWindow is the time constant of the measured rate: what happened that long ago weighs 1/e.
const rateWindow = 5 * time.Second

// nextRate is the exponentially weighted rate, in processes a second, once grew more were seen in
// a further gap. A gap that is not above zero says nothing and leaves the rate.
func nextRate(rate float64, grew int, gap time.Duration) float64 {
	if gap <= 0 {
		return rate
	}
	weight := -math.Expm1(-gap.Seconds() / rateWindow.Seconds())
	return rate + weight*(float64(grew)/gap.Seconds()-rate)
}
