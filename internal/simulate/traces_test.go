package simulate

import (
	"slices"
	"testing"
	"time"
)

// seed is that of testdata/table.md.
const seed = 1

func TestTraces(t *testing.T) {
	for _, tt := range []struct {
		make        func(seed uint64) Trace
		most        int // connections at any time
		perSecond   int // new ones in the busiest second, about
		connections int // about
	}{
		{loginStorm, 12_000, 135, 12_000},
		{webmail, 265, 260, 240_000},
		{idle, 12_000, 45, 21_000},
		{burst, 36_000, 460, 36_000},
		{growth, 12_000, 850, 12_000},
		{upgrade, 12_000, 850, 12_000},
	} {
		trace := tt.make(seed)
		most, perSecond := shape(t, trace)
		if !about(most, tt.most) || !about(perSecond, tt.perSecond) || !about(len(trace.Connections), tt.connections) {
			t.Errorf("%s: %d connections, %d at a time, %d in a second; want about %d, %d, %d",
				trace.Name, len(trace.Connections), most, perSecond, tt.connections, tt.most, tt.perSecond)
		}
	}
}

// shape is the most connections at any time, and the most that begin within a second of the clock.
func shape(t *testing.T, trace Trace) (most, perSecond int) {
	var ends []time.Duration
	for i, c := range trace.Connections {
		if c.Start < 0 || c.Start >= trace.End || c.Life <= 0 || i > 0 && c.Start < trace.Connections[i-1].Start {
			t.Fatalf("%s: connection %d is %v", trace.Name, i, c)
		}
		ends = append(ends, c.Start+c.Life)
	}
	slices.Sort(ends)
	ended, begun := 0, map[time.Duration]int{}
	for i, c := range trace.Connections {
		for ends[ended] <= c.Start {
			ended++
		}
		most = max(most, i+1-ended)
		second := c.Start.Truncate(time.Second)
		begun[second]++
		perSecond = max(perSecond, begun[second])
	}
	return most, perSecond
}

// about allows a tenth.
func about(got, want int) bool { return 10*max(got-want, want-got) <= want }

func TestIdleChurn(t *testing.T) {
	const settled = 10 * time.Minute
	trace, back := idle(seed), 0
	for _, c := range trace.Connections {
		if c.Start >= settled {
			back++
		}
	}
	if perSecond := float64(back) / (trace.End - settled).Seconds(); perSecond < 9.5 || perSecond > 10.5 {
		t.Errorf("%.1f connections come back a second, want 10", perSecond)
	}
}
