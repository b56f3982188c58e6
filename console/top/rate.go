package top

import "time"

// window is the time over which a rate is taken.
const window = 5 * time.Second

// rate is how often something happens, of a counter that was looked at now and then. A rate never changes.
type rate struct {
	samples []sample // in their order; the first one is of before the window
}

type sample struct {
	at    time.Time
	count int
}

// with is r after a further look. A counter that has fallen is another one's.
func (r rate) with(count int, at time.Time) rate {
	samples := append(r.samples[:len(r.samples):len(r.samples)], sample{at, count})
	if n := len(samples); n > 1 && count < samples[n-2].count {
		samples = samples[n-1:]
	}
	for len(samples) > 2 && at.Sub(samples[1].at) >= window {
		samples = samples[1:]
	}
	return rate{samples}
}

// perSecond is the rate; 0 before it is known.
func (r rate) perSecond() float64 {
	if len(r.samples) < 2 {
		return 0
	}
	first, last := r.samples[0], r.samples[len(r.samples)-1]
	if elapsed := last.at.Sub(first.at); elapsed > 0 {
		return float64(last.count-first.count) / elapsed.Seconds()
	}
	return 0
}
