package proctable

import (
	"math"
	"testing"
	"time"
)

func TestNextRate(t *testing.T) {
	// The rate that is reached does not depend on how often it is looked at.
	for _, gap := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, time.Second} {
		rate, perGap := 0.0, int(100*gap.Seconds())
		steps := func(d time.Duration, grew int) {
			for range int(d / gap) {
				rate = nextRate(rate, grew, gap)
			}
		}
		near := func(when string, want float64) {
			t.Helper()
			if math.Abs(rate-want) > 1e-6*100 {
				t.Errorf("gap %v, %s: rate is %v, want %v", gap, when, rate, want)
			}
		}
		steps(rateWindow, perGap)
		near("one window into 100 a second", 100*(1-1/math.E))
		steps(20*rateWindow, perGap)
		near("long into 100 a second", 100)
		steps(rateWindow, 0)
		near("one window after", 100/math.E)
	}
	if got := nextRate(7, 100, 0); got != 7 {
		t.Errorf("rate is %v after a gap of nothing, want 7 as before", got)
	}
}
