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
		near("a short window into 100 a second", r.PerSecond(), 100)
		steps(longWindow-shortWindow, perGap)
		near("a long window into 100 a second", r.PerSecond(), 100)
		steps(20*longWindow, perGap)
		near("long into 100 a second", r.PerSecond(), 100)
		steps(longWindow, 0)
		near("a long window after", r.PerSecond(), 100/math.E)
	}
	r := Rate{short: 7, long: 7, past: time.Hour}
	if r.Add(100, 0); r.PerSecond() != 7 {
		t.Errorf("rate is %v after a gap of nothing, want 7 as before", r.PerSecond())
	}
}

// From rest the rate is known within half a second, and the surge at once.
func TestStarts(t *testing.T) {
	var s Starts
	at := time.Unix(1700000000, 0)
	if s.Known(at) {
		t.Error("a rate is known before anything is watched")
	}
	s.Until(at)
	at = at.Add(time.Minute)
	s.Until(at)
	if !s.Known(at) || s.PerSecond() != 0 || s.Surge(at) != 0 {
		t.Errorf("after a minute of nothing: %v a second, a surge of %d, known: %v", s.PerSecond(), s.Surge(at), s.Known(at))
	}
	for i := range 800 { // a second
		at = at.Add(time.Second / 800)
		if n := s.Began(at); i > 20 && (n < 8 || n > 9) {
			t.Fatalf("%d began within %v, at 800 a second", n, SurgeWindow)
		}
	}
	s.Until(at)
	if r := s.PerSecond(); r < 600 || r > 800 {
		t.Errorf("%v a second after a second at 800", r)
	}
	for range 20 {
		s.Began(at)
	}
	if n := s.Surge(at); n < 28 || n > 29 {
		t.Errorf("the surge is %d, want 8 and 20 at once", n)
	}
	if n := s.Inside(at.Add(2 * SurgeWindow)); n != 0 {
		t.Errorf("%d began within %v after nothing began for longer", n, SurgeWindow)
	}
	if n := s.Began(at.Add(-time.Second)); n != 1 { // late news
		t.Errorf("%d for one that is late", n)
	}
	if n := s.Surge(at.Add(2 * peakWindow)); n != 0 {
		t.Errorf("the surge is %d a minute later", n)
	}
}
