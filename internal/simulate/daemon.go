package simulate

import (
	"math"
	"math/rand/v2"
	"time"

	"relinkd/pool"
	"relinkd/watch/gauge"
)

// daemon is relinkd: it hears of processes late, and moves the link as pool.Choose says.
type daemon struct {
	clock  *clock
	random *rand.Rand
	policy pool.Policy
	move   func(to int) // points the link at that copy

	loads     []pool.Load // as far as it has heard
	current   int
	rotatedAt time.Duration
	growing   bool
	rotations int
	saturated bool // ever

	heard   time.Duration               // when the last of the news so far is read: none overtakes another
	news    bool                        // not yet acted upon
	late    gauge.Window[time.Duration] // of the times that news took
	starts  gauge.Starts
	growths gauge.Window[time.Duration] // of the times that making copies took
}

// instant is an instant of virtual time by a clock of the world.
func instant(at time.Duration) time.Time { return time.Unix(0, 0).Add(at) }

// firstGrowth is how long making copies took when the pool was made.
const firstGrowth = 100 * time.Millisecond

func newDaemon(c *clock, r *rand.Rand, s Scheme, move func(int)) *daemon {
	d := &daemon{clock: c, random: r, policy: s.Policy, move: move, current: 1}
	for n := range s.Copies {
		d.loads = append(d.loads, pool.Load{Number: n + 1})
	}
	move(d.current)
	d.starts.Until(instant(0))
	return d
}

// tell sends news on its way: a process of copy number started (+1) or ended (-1).
func (d *daemon) tell(number, by int) {
	began := d.clock.now
	d.heard = max(d.heard, began+lateness(d.random))
	d.clock.at(d.heard, func() { d.hear(number, by, d.clock.now-began) })
}

// hear takes note of news that was so long on its way.
func (d *daemon) hear(number, by int, late time.Duration) {
	d.news = true
	d.loads[number-1].Processes += by
	d.late.Add(late, instant(d.clock.now))
	if by > 0 {
		d.starts.Began(instant(d.clock.now - late))
	}
}

// act follows the policy.
func (d *daemon) act() {
	now := d.clock.now
	d.news = false
	d.starts.Until(instant(now))
	decision := pool.Choose(d.policy, pool.View{
		Loads:         d.loads,
		Current:       d.current,
		Latency:       d.late.Most(instant(now)),
		Rate:          d.starts.PerSecond(),
		Surge:         d.starts.Surge(instant(now)),
		RateUnknown:   !d.starts.Known(instant(now)),
		SinceRotation: now - d.rotatedAt,
		GrowthTime:    max(firstGrowth, d.growths.Most(instant(now))),
		NoGrowth:      d.growing,
	})
	d.saturated = d.saturated || decision.Saturated
	if decision.Action == pool.Rotate {
		d.rotate(decision.To)
	}
	if len(decision.Grow) > 0 {
		d.grow(decision.Grow)
	}
}

func (d *daemon) rotate(to int) {
	d.current, d.rotatedAt = to, d.clock.now
	d.rotations++
	d.move(to)
}

// grow makes copies, which takes 5 to 30 ms with their sync.
func (d *daemon) grow(numbers []int) {
	d.growing = true
	takes := within(d.random, 5*time.Millisecond, 30*time.Millisecond)
	d.clock.after(takes, func() {
		d.growing = false
		d.growths.Add(takes, instant(d.clock.now))
		for _, n := range numbers {
			d.loads = append(d.loads, pool.Load{Number: n})
		}
		d.act()
	})
}

// tick acts by the clock, until end.
func (d *daemon) tick(end time.Duration) {
	d.clock.at(max(d.clock.now+time.Millisecond, d.rotatedAt+d.policy.Interval), func() {
		d.act()
		if d.clock.now < end {
			d.tick(end)
		}
	})
}

// lateness is how long a process event is on its way to a reader that is not busy: 0.07 ms in the
// median, 0.8 ms at the 99th percentile, and now and then the 10 to 17 ms of a busy host.
func lateness(r *rand.Rand) time.Duration {
	const median, spread = 70 * time.Microsecond, 1.047 // e^(2.326 × spread) = 0.8 / 0.07
	if r.IntN(1000) == 0 {
		return within(r, 10*time.Millisecond, 17*time.Millisecond)
	}
	return min(scale(median, math.Exp(spread*r.NormFloat64())), 17*time.Millisecond)
}
