package gauge

import (
	"math"
	"testing"
	"time"
)

func TestRateWindows(t *testing.T) {
	// The rate that is reached does not depend on how often it is looked at.
	for _, gap := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond} {
		var r Rate
		perGap := int(100 * gap.Seconds())
		steps := func(d time.Duration, grew int) {
			for range int(d / gap) {
				r.Add(grew, gap)
			}
		}
		near := func(when string, got, want float64) {
			t.Helper()
			if math.Abs(got-want) > 1e-6*100 {
				t.Errorf("gap %v, %s: rate is %v, want %v", gap, when, got, want)
			}
		}
		steps(shortWindow, perGap)
		near("a short window into 100 a second", r.PerSecond(), 100*(1-1/math.E))
		steps(longWindow-shortWindow, perGap)
		near("a long window into 100 a second", r.long, 100*(1-1/math.E))
		steps(20*longWindow, perGap)
		near("long into 100 a second", r.PerSecond(), 100)
		steps(longWindow, 0)
		near("a long window after", r.PerSecond(), 100/math.E)
	}
	r := Rate{short: 7, long: 7}
	if r.Add(100, 0); r.PerSecond() != 7 {
		t.Errorf("rate is %v after a gap of nothing, want 7 as before", r.PerSecond())
	}
}
