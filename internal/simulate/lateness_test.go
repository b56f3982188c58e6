package simulate

import (
	"slices"
	"testing"
	"time"
)

func TestLateness(t *testing.T) {
	r := random(seed, t.Name())
	late := make([]time.Duration, 100_000)
	for i := range late {
		late[i] = lateness(r)
	}
	slices.Sort(late)
	for _, tt := range []struct {
		share     float64
		low, high time.Duration
	}{
		{0.5, 65 * time.Microsecond, 75 * time.Microsecond},
		{0.99, 700 * time.Microsecond, 900 * time.Microsecond},
		{0.9999, 10 * time.Millisecond, 17 * time.Millisecond},
	} {
		if got := late[int(tt.share*float64(len(late)))]; got < tt.low || got > tt.high {
			t.Errorf("the %v quantile is %v, want %v to %v", tt.share, got, tt.low, tt.high)
		}
	}
}
