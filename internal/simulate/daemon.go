package simulate

import (
	"math"
	"math/rand/v2"
	"slices"
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

	generation int         // of the copies: how often all were made anew
	loads      []pool.Load // of the copies of that generation, as far as it has heard
	current    int
	rotatedAt  time.Duration
	growing    bool
	rotations  int
	saturated  bool // ever

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
	d := &daemon{clock: c, random: r, policy: s.Policy, move: move}
	for n := range s.Copies {
		d.loads = append(d.loads, pool.Load{Number: n + 1})
	}
	d.point(1)
	d.starts.Until(instant(0))
	return d
}

// generationSize is more than the copies of a generation. File n of generation g is number g × generationSize
// + n, and file 0 is the packaged one.
const generationSize = 1000

// point has the link lead to a copy, or to the packaged file for 0.
func (d *daemon) point(number int) {
	d.current = number
	d.move(d.generation*generationSize + number)
}

// upgrade makes all copies anew, of a file that an upgrade has put at path and that processes run meanwhile.
// That takes 70 to 400 ms.
func (d *daemon) upgrade(copies int) {
	d.generation++
	d.point(0)
	d.growing = true
	d.clock.after(within(d.random, 70*time.Millisecond, 400*time.Millisecond), func() {
		d.growing = false
		d.loads = d.loads[:0]
		for n := range copies {
			d.loads = append(d.loads, pool.Load{Number: n + 1})
		}
		d.point(1)
	})
}

// tell sends news on its way: a process of a file started (+1) or ended (-1).
func (d *daemon) tell(file, by int) {
	began := d.clock.now
	d.heard = max(d.heard, began+lateness(d.random))
	d.clock.at(d.heard, func() { d.hear(file, by, d.clock.now-began) })
}

// hear takes note of news that was so long on its way.
func (d *daemon) hear(file, by int, late time.Duration) {
	d.news = true
	number := file - d.generation*generationSize
	at := slices.IndexFunc(d.loads, func(l pool.Load) bool { return l.Number == number })
	if at >= 0 {
		d.loads[at].Processes += by
	}
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
	if d.current == 0 {
		return
	}
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
	d.rotatedAt = d.clock.now
	d.rotations++
	d.point(to)
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
