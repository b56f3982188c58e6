package simulate

import (
	"math"
	"math/rand/v2"
	"time"

	"relinkd/pool"
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

	heard   time.Duration // when the last of the news so far is read: none overtakes another
	news    bool          // not yet acted upon
	late    peak          // of the times that news took
	rate    rate
	grew    int           // processes that started since the rate was measured
	sampled time.Duration // when that was
}

func newDaemon(c *clock, r *rand.Rand, s Scheme, move func(int)) *daemon {
	d := &daemon{clock: c, random: r, policy: s.Policy, move: move, current: 1}
	for n := range s.Copies {
		d.loads = append(d.loads, pool.Load{Number: n + 1})
	}
	move(d.current)
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
	d.grew += max(by, 0)
	d.late.add(late, d.clock.now)
}

// act follows the policy.
func (d *daemon) act() {
	now := d.clock.now
	d.rate.add(d.grew, now-d.sampled)
	d.news, d.grew, d.sampled = false, 0, now
	decision := pool.Choose(d.policy, pool.View{
		Loads:         d.loads,
		Current:       d.current,
		Latency:       d.late.longest(),
		Rate:          d.rate.perSecond(),
		SinceRotation: now - d.rotatedAt,
		NoGrowth:      d.growing,
	})
	d.saturated = d.saturated || decision.Saturated
	switch decision.Action {
	case pool.Rotate:
		d.rotate(decision.To)
	case pool.Grow:
		d.grow(decision.To)
	}
}

func (d *daemon) rotate(to int) {
	d.current, d.rotatedAt = to, d.clock.now
	d.rotations++
	d.move(to)
}

// grow makes a copy, which takes 5 to 30 ms with its sync, and moves on to it.
func (d *daemon) grow(number int) {
	d.growing = true
	d.clock.after(within(d.random, 5*time.Millisecond, 30*time.Millisecond), func() {
		d.growing = false
		d.loads = append(d.loads, pool.Load{Number: number})
		d.rotate(number)
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
