package histogram

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestObserve(t *testing.T) {
	h := New(NewLimits(0.001, 0.01, 0.1))
	before := h
	for _, d := range []time.Duration{-time.Second, 0, time.Millisecond, time.Millisecond + 1, 100 * time.Millisecond, time.Hour} {
		h.Observe(d)
	}
	if diff := cmp.Diff(map[float64]uint64{0.001: 3, 0.01: 4, 0.1: 5}, h.Cumulative()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if h.Total() != 6 || h.Sum() < 3600.1 || h.Sum() > 3600.2 {
		t.Errorf("%d durations of %g s", h.Total(), h.Sum())
	}
	if before.Total() != 0 || before.Cumulative()[0.1] != 0 {
		t.Error("a copy has changed with the original")
	}
}

func TestLimits(t *testing.T) {
	for _, limits := range [][]float64{nil, {2, 1}, make([]float64, most+1)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%v are taken", limits)
				}
			}()
			NewLimits(limits...)
		}()
	}
	var empty Histogram
	if len(empty.Cumulative()) != 0 {
		t.Error("a histogram without limits has some")
	}
}

func TestObserveAllocatesNothing(t *testing.T) {
	h := New(NewLimits(0.001, 0.01, 0.1))
	if n := testing.AllocsPerRun(100, func() { h.Observe(time.Millisecond) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	h := New(NewLimits(0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.1, 1))
	for b.Loop() {
		h.Observe(140 * time.Microsecond)
	}
}
