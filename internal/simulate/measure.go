package simulate

import (
	"math"
	"time"
)

// rate is the number of new processes a second as watch/proctable reckons it: exponentially weighted
// over 0.5 s or 5 s, whichever gives more.
type rate struct{ short, long float64 }

// add takes note of grew more processes in a further gap.
func (r *rate) add(grew int, gap time.Duration) {
	if gap <= 0 {
		return
	}
	sample := float64(grew) / gap.Seconds()
	r.short += weight(gap, 500*time.Millisecond) * (sample - r.short)
	r.long += weight(gap, 5*time.Second) * (sample - r.long)
}

func (r *rate) perSecond() float64 { return max(r.short, r.long) }

func weight(gap, window time.Duration) float64 { return -math.Expm1(-gap.Seconds() / window.Seconds()) }

// peak is the longest of the times that were added in the last half minute or, at most, minute.
type peak struct {
	began       time.Duration // of the present half minute
	now, before time.Duration
}

func (p *peak) add(d, at time.Duration) {
	if age := at - p.began; age >= 30*time.Second {
		if p.before = p.now; age >= time.Minute {
			p.before = 0
		}
		p.now, p.began = 0, at
	}
	p.now = max(p.now, d)
}

func (p *peak) longest() time.Duration { return max(p.now, p.before) }
