package pool

import (
	"math"
	"time"
)

// Policy is what an administrator has said about rotations.
type Policy struct {
	Threshold int           // processes per executable, at least 1
	RotateAt  float64       // share of Threshold at which a rotation is due, above 0 up to 1
	MaxCopies int           // as far as the pool may grow
	MinDwell  time.Duration // least time between two rotations of a saturated pool
	Rotation  Rotation
	Interval  time.Duration // time between two rotations with RotationInterval
}

// Rotation is the way in which the next copy is chosen.
type Rotation string

// The ways, named as in the configuration.
const (
	RotationAdaptive Rotation = "adaptive" // the least loaded copy, when the mark is reached
	RotationInterval Rotation = "interval" // the next number, by the clock alone
)

// Load is how many processes run one copy.
type Load struct {
	Number    int
	Processes int
}

// View is what Choose decides on.
type View struct {
	// Loads of all copies that the private link may lead to. They must be in the order of their
	// numbers so that ties go to the next copy in turn.
	Loads []Load

	Current       int           // the copy that the private link leads to; 0 when it leads to none
	Latency       time.Duration // from a process's start to our knowing of it, the longest lately
	Rate          float64       // processes started a second
	Surge         int           // the most processes that have started within a LatencyFloor lately
	RateUnknown   bool          // it is not known yet how fast processes start: Rate and Surge may be too low
	SinceRotation time.Duration // since the private link was last changed

	GrowthTime time.Duration // making a copy takes so long
	NoGrowth   bool          // no copies are asked for now: some are being made, or could not be made a moment ago
	CannotGrow bool          // none could be made the last time, as the disk is full, say: the pool must do with what it has
}

// LatencyFloor is the least time that a process is reckoned to start unseen: news that has come within
// microseconds so far may take as long the next time, as the processor and the disk are others' too.
const LatencyFloor = 10 * time.Millisecond

// unmeasured is how many processes are reckoned to start within a LatencyFloor while nothing is known of
// that: 2,500 a second, as many as two cores start of a small program while the daemon runs beside it.
const unmeasured = 25

// Action is what Choose wants done.
type Action int

// The actions.
const (
	Stay   Action = iota // leave the private link
	Rotate               // point it at the copy Decision.To
)

// Reason says what asked for an action, in the words of the status document.
type Reason string

// The reasons.
const (
	ReasonThreshold Reason = "threshold" // the mark is reached
	ReasonInterval  Reason = "interval"  // the time is up
	ReasonSaturated Reason = "saturated" // all copies are about at the mark and the pool may not grow
)

// Decision is the answer of Choose.
type Decision struct {
	Action    Action
	To        int    // the number of a copy; 0 with Stay
	Reason    Reason // empty with Stay
	Mark      int    // processes; 0 with RotationInterval, which knows none
	Unseen    int    // processes that may start before the next decision; 0 with RotationInterval
	Saturated bool   // the mark is reached, no copy has room enough, and no more can be made

	// Grow is the numbers of copies to make now, whatever Action is, so that they are there when they are
	// needed.
	Grow []int

	// Holds says that the threshold holds if no more than Unseen processes start before the next decision,
	// this one carried out. It is never so with RotationInterval, which looks at no count.
	Holds bool

	// Next is the number of processes on the current copy at which to ask again without waiting, for
	// a decision to stay: to rotate, or to make a copy; 0 when more of them change nothing.
	Next int
	// Most is, in the same way, the number of them and of those that have started within the LatencyFloor
	// just then: a surge that was not foreseen.
	Most int
}

// Mark is the number of processes on the current copy at which a rotation is due: a share of the threshold,
// or less where more may start before we know of them than lie between that and the threshold; never below 1.
func Mark(p Policy, v View) int { return max(1, min(p.share(), limit(p, v))) }

// Unseen is how many processes may start before we know of them, and act: within the LatencyFloor as many as
// ever did lately, and what comes at the measured rate in the time that news has taken beyond that. While
// nothing is measured it is taken high, but for no more than half of the threshold.
func Unseen(p Policy, v View) int {
	unseen := max(float64(surge(p, v)), math.Ceil(v.Rate*LatencyFloor.Seconds()))
	unseen = math.Ceil(unseen + v.Rate*max(0, v.Latency-LatencyFloor).Seconds())
	return int(min(unseen, math.MaxInt32))
}

// surge is how many processes may start within a LatencyFloor.
func surge(p Policy, v View) int {
	if v.RateUnknown {
		return max(v.Surge, min(unmeasured, p.Threshold/2))
	}
	return v.Surge
}

// share is the part of the threshold at which a rotation is due while nothing is unseen.
func (p Policy) share() int {
	// The addend repairs products like 0.29 × 100 = 28.999999999999996.
	return int(math.Floor(p.RotateAt*float64(p.Threshold) + 1e-9))
}

// limit is the number of processes from which on a copy may pass the threshold before the next
// decision.
func limit(p Policy, v View) int { return max(1, p.Threshold-Unseen(p, v)) }

// Choose decides where the private link should lead. It is a pure function: the same view gives
// the same decision, and once a decision to rotate is carried out the answer is to stay.
//
//  1. The current copy is under the mark: stay.
//  2. Else take the least loaded other copy, ties to the next number after the current one. Its
//     room below the mark is at least a tenth of the mark: rotate.
//  3. Else some copy is not half as full as it should get: late news has lowered the mark, to which
//     more copies are no answer; rotate to the least loaded if that is lower.
//  4. Else rotate to the least loaded copy only if it is 5 % of the threshold lower and the
//     minimum dwell has passed, for a rotation has a price: it retires all waiting workers.
//     A current copy that may pass the threshold before the next decision does not wait for that:
//     whatever a rotation costs, the threshold holds as long as some copy has room.
//
// Whatever it decides, copies are made in good time before there is no room on any: see reserve.
func Choose(p Policy, v View) Decision {
	if p.Rotation == RotationInterval {
		return next(p, v)
	}
	d := choose(p, v)
	left := 0
	d.Grow, left = reserve(p, v, d.Mark)
	load, isThere := load(v)
	if d.Next > load+left && left > 0 {
		d.Next = load + left
	}
	if d.Action == Rotate {
		load, isThere = loadOf(v, d.To)
	}
	d.Holds = isThere && load+d.Unseen <= p.Threshold
	return d
}

// choose is Choose but for what it says of growth and of the threshold.
func choose(p Policy, v View) Decision {
	d := Decision{Mark: Mark(p, v), Unseen: Unseen(p, v)}
	current, isThere := load(v)
	if isThere && current < d.Mark { // 1
		d.Next, d.Most = d.Mark, p.Threshold
		return d
	}
	least, found := leastLoaded(v)
	if found && 10*(d.Mark-least.Processes) >= d.Mark { // 2
		return d.rotate(least.Number, ReasonThreshold)
	}
	if found && 2*least.Processes < p.share() { // 3
		if isThere && least.Processes >= current {
			d.Next = current + 1
			return d
		}
		return d.rotate(least.Number, ReasonThreshold)
	}
	d.Saturated = v.CannotGrow || mayGrow(p, v) == 0
	if !found { // 4
		return d
	}
	if !isThere {
		return d.rotate(least.Number, ReasonSaturated)
	}
	gain := current - least.Processes
	worthIt := 20*gain >= p.Threshold && v.SinceRotation >= p.MinDwell
	hard := limit(p, v)
	mustLeave := current >= hard && least.Processes < p.Threshold
	if gain > 0 && (worthIt || mustLeave) {
		return d.rotate(least.Number, ReasonSaturated)
	}
	switch {
	case current < hard:
		d.Next, d.Most = hard, p.Threshold
	case least.Processes < p.Threshold:
		d.Next = current + 1
	}
	return d
}

// mayGrow is how many more copies there may be.
func mayGrow(p Policy, v View) int { return max(0, min(p.MaxCopies, MaxCopies)-len(v.Loads)) }

// growAtOnce is how many copies are made at a time at the most.
const growAtOnce = 16

// reserve is the numbers of the copies to make now, so that there is room for all processes that start until
// they are made. That is reckoned to take twice as long as it did, for the disk is others' too, and one
// process is always to find room. left is how many more processes may be on the copies until there is something
// to make; 0 when that is now, or never.
//
// A copy has room until it is at the mark, but at least until it is half as full as it should get: a mark
// that late news has lowered for a while is no reason to grow. Nor is a pool that nothing runs, or one that is
// not a quarter full while it is not known how fast processes start: what a few that came together seem to
// foretell is no more than that.
func reserve(p Policy, v View, mark int) (grow []int, left int) {
	may := min(mayGrow(p, v), growAtOnce)
	if v.NoGrowth || may == 0 {
		return nil, 0
	}
	full := max(mark, (p.share()+1)/2)
	room, taken := 0, 0
	for _, l := range v.Loads {
		taken += min(l.Processes, full)
		// Less than a tenth is no room, but on the copy that is filled up just now.
		if left := full - l.Processes; left > 0 && (10*left >= full || l.Number == v.Current) {
			room += left
		}
	}
	coming := v.Rate * v.GrowthTime.Seconds()
	needed := int(min(max(1, math.Ceil(2*coming), float64(surge(p, v))), math.MaxInt32))
	least := 0 // processes for which the pool is there, whatever is foretold
	if len(v.Loads) > 0 {
		least = 1
	}
	if v.RateUnknown {
		least = max(least, (full*len(v.Loads)+3)/4)
	}
	if left = max(room-needed, least-taken); left > 0 {
		return nil, left
	}
	// As many as leave that much room when they are made, for what comes meanwhile takes some.
	return freeNumbers(v.Loads, min(may, (needed-room+int(min(coming, math.MaxInt32)))/full+1)), 0
}

// next is Choose by the clock: the next number in turn when the interval has passed. It looks at
// no load and never grows the pool.
func next(p Policy, v View) Decision {
	if v.SinceRotation < p.Interval && v.Current != 0 {
		return Decision{}
	}
	for l := range inTurn(v) {
		return Decision{}.rotate(l.Number, ReasonInterval)
	}
	return Decision{}
}

func (d Decision) rotate(to int, why Reason) Decision {
	d.Action, d.To, d.Reason = Rotate, to, why
	return d
}

// load is the number of processes on the current copy; false when that is none of v.Loads.
func load(v View) (int, bool) { return loadOf(v, v.Current) }

// loadOf is the number of processes on copy n; false when that is none of v.Loads.
func loadOf(v View, n int) (int, bool) {
	for _, l := range v.Loads {
		if l.Number == n {
			return l.Processes, true
		}
	}
	return 0, false
}

// leastLoaded is the first of the least loaded copies in turn; false when there is no other copy
// than the current one.
func leastLoaded(v View) (least Load, found bool) {
	for l := range inTurn(v) {
		if !found || l.Processes < least.Processes {
			least, found = l, true
		}
	}
	return least, found
}

// Least is the number of the least loaded copy other than number current, ties to the next number
// after it; false when there is none. Loads are as in View.
func Least(loads []Load, current int) (number int, found bool) {
	l, found := leastLoaded(View{Loads: loads, Current: current})
	return l.Number, found
}

// inTurn yields all copies but the current one, from the next number on and round to the first.
func inTurn(v View) func(yield func(Load) bool) {
	return func(yield func(Load) bool) {
		for _, l := range v.Loads {
			if l.Number > v.Current && !yield(l) {
				return
			}
		}
		for _, l := range v.Loads {
			if l.Number < v.Current && !yield(l) {
				return
			}
		}
	}
}

// freeNumbers is the lowest n numbers that none of loads has.
func freeNumbers(loads []Load, n int) []int {
	var free []int
	for number := 1; len(free) < n; number++ {
		if len(loads) > 0 && loads[0].Number == number {
			loads = loads[1:]
			continue
		}
		free = append(free, number)
	}
	return free
}
