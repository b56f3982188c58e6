package proctable

import (
	"testing"
	"time"
)

func TestNextBegin(t *testing.T) {
	began := time.Now()
	at := func(d time.Duration) time.Time { return began.Add(d) }
	const ms = time.Millisecond
	for _, c := range []struct {
		what           string
		took, interval time.Duration
		due            time.Time
		want           time.Duration // after began
	}{
		{"the interval", 1 * ms, 500 * ms, time.Time{}, 500 * ms},
		{"due sooner", 1 * ms, 500 * ms, at(100 * ms), 100 * ms},
		{"due later", 1 * ms, 500 * ms, at(900 * ms), 500 * ms},
		{"due at once", 0, 500 * ms, at(0), 0},
		{"a tenth of a core when due", 25 * ms, 500 * ms, at(30 * ms), 250 * ms},
		{"a tenth of a core when due at once", 25 * ms, 500 * ms, at(-time.Second), 250 * ms},
		{"a tenth of a core at the interval", 200 * ms, 500 * ms, time.Time{}, 2000 * ms},
		{"exactly a tenth of a core", 50 * ms, 500 * ms, time.Time{}, 500 * ms},
	} {
		if got := nextBegin(began, c.took, c.interval, c.due); !got.Equal(at(c.want)) {
			t.Errorf("%s: next census after %v, want %v", c.what, got.Sub(began), c.want)
		}
	}
	if got := nextBegin(time.Time{}, 0, time.Second, time.Time{}); got.After(time.Now()) {
		t.Errorf("first census at %v, want at once", got)
	}
}

func TestPace(t *testing.T) {
	for asked, want := range map[time.Duration]struct{ census, events time.Duration }{
		60 * time.Second:      {time.Second, 60 * time.Second}, // census.interval's default
		time.Second:           {time.Second, time.Second},
		20 * time.Millisecond: {20 * time.Millisecond, 20 * time.Millisecond},
		0:                     {time.Millisecond, time.Millisecond},
		-time.Second:          {time.Millisecond, time.Millisecond},
	} {
		if got := pace(asked, false); got != want.census {
			t.Errorf("asked for %v without events: %v, want %v", asked, got, want.census)
		}
		if got := pace(asked, true); got != want.events {
			t.Errorf("asked for %v with events: %v, want %v", asked, got, want.events)
		}
	}
}

// TestOnProcessor sees that waiting is not counted as work.
func TestOnProcessor(t *testing.T) {
	began := time.Now()
	cost, err := onProcessor(func() error {
		<-time.After(50 * time.Millisecond)
		return nil
	})
	if took := time.Since(began); err != nil || cost >= took/2 {
		t.Errorf("waiting for %v cost %v, %v", took, cost, err)
	}
	cost, err = onProcessor(func() error {
		for start := threadTime(); threadTime()-start < 20*time.Millisecond; {
		}
		return nil
	})
	if err != nil || cost < 20*time.Millisecond {
		t.Errorf("20 ms of work cost %v, %v", cost, err)
	}
}
