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

func TestRate(t *testing.T) {
	var r rate
	for range 1000 {
		r.add(3, 30*time.Millisecond)
	}
	if got := r.perSecond(); got < 99 || got > 101 {
		t.Errorf("%g a second, want 100", got)
	}
	r.add(0, 5*time.Second)
	if got := r.perSecond(); got < 36 || got > 38 { // 100/e
		t.Errorf("%g a second after 5 s of nothing, want 37", got)
	}
}

func TestPeak(t *testing.T) {
	var p peak
	for _, tt := range []struct{ add, at, want time.Duration }{
		{17, 1 * time.Second, 17},
		{3, 29 * time.Second, 17},
		{2, 40 * time.Second, 17},
		{1, 70 * time.Second, 2},
		{4, 200 * time.Second, 4},
	} {
		p.add(tt.add, tt.at)
		if got := p.longest(); got != tt.want {
			t.Errorf("%d at %v: the longest is %d, want %d", tt.add, tt.at, got, tt.want)
		}
	}
}
