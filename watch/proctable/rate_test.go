package proctable

import (
	"math"
	"testing"
	"time"
)

func TestRateWindows(t *testing.T) {
	// The rate that is reached does not depend on how often it is looked at.
	for _, gap := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond} {
		var r rate
		perGap := int(100 * gap.Seconds())
		steps := func(d time.Duration, grew int) {
			for range int(d / gap) {
				r.add(grew, gap)
			}
		}
		near := func(when string, got, want float64) {
			t.Helper()
			if math.Abs(got-want) > 1e-6*100 {
				t.Errorf("gap %v, %s: rate is %v, want %v", gap, when, got, want)
			}
		}
		steps(shortWindow, perGap)
		near("a short window into 100 a second", r.perSecond(), 100*(1-1/math.E))
		steps(longWindow-shortWindow, perGap)
		near("a long window into 100 a second", r.long, 100*(1-1/math.E))
		steps(20*longWindow, perGap)
		near("long into 100 a second", r.perSecond(), 100)
		steps(longWindow, 0)
		near("a long window after", r.perSecond(), 100/math.E)
	}
	r := rate{short: 7, long: 7}
	if r.add(100, 0); r.perSecond() != 7 {
		t.Errorf("rate is %v after a gap of nothing, want 7 as before", r.perSecond())
	}
}
