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
	Latency       time.Duration // from a process's start to our knowing of it
	Rate          float64       // processes started a second
	SinceRotation time.Duration // since the private link was last changed

	// NoGrowth is set while a copy is being made, and for a while after one could not be made: the
	// pool must do with what it has, or the threshold would fall to a full disk.
	NoGrowth bool
}

// Action is what Choose wants done.
type Action int

// The actions.
const (
	Stay   Action = iota // leave the private link
	Rotate               // point it at the copy Decision.To
	Grow                 // make the copy Decision.To, then rotate to it
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
	Saturated bool   // the mark is reached, no copy has room enough, and MaxCopies are there

	// Next is the number of processes on the current copy at which to ask again without waiting, for
	// a decision to stay; 0 when more of them change nothing.
	Next int
}

// Mark is the number of processes on the current copy at which a rotation is due. It lies below
// the threshold by the processes that start, at rate a second, before we know of them; never
// below 1.
func Mark(p Policy, latency time.Duration, rate float64) int {
	return max(1, min(p.share(), limit(p, latency, rate)))
}

// share is the part of the threshold at which a rotation is due while nothing is unseen.
func (p Policy) share() int {
	// The addend repairs products like 0.29 × 100 = 28.999999999999996.
	return int(math.Floor(p.RotateAt*float64(p.Threshold) + 1e-9))
}

// limit is the number of processes from which on a copy may pass the threshold before the next
// decision.
func limit(p Policy, latency time.Duration, rate float64) int {
	unseen := math.Ceil(latency.Seconds() * rate)
	if unseen >= float64(p.Threshold) {
		return 1
	}
	return max(1, p.Threshold-int(unseen))
}

// Choose decides where the private link should lead. It is a pure function: the same view gives
// the same decision, and once a decision to rotate is carried out the answer is to stay.
//
//  1. The current copy is under the mark: stay.
//  2. Else take the least loaded other copy, ties to the next number after the current one. Its
//     room below the mark is at least a tenth of the mark: rotate.
//  3. Else grow by one copy and rotate to it. But not while some copy is not half as full as it
//     should get: then late news has lowered the mark, to which one more copy is no answer; rotate
//     to the least loaded if that is lower.
//  4. Else rotate to the least loaded copy only if it is 5 % of the threshold lower and the
//     minimum dwell has passed, for a rotation has a price: it retires all waiting workers.
//     A current copy that may pass the threshold before the next decision does not wait for that:
//     whatever a rotation costs, the threshold holds as long as some copy has room.
func Choose(p Policy, v View) Decision {
	if p.Rotation == RotationInterval {
		return next(p, v)
	}
	d := Decision{Mark: Mark(p, v.Latency, v.Rate)}
	current, isThere := load(v)
	if isThere && current < d.Mark { // 1
		d.Next = d.Mark
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
	if len(v.Loads) < min(p.MaxCopies, MaxCopies) {
		if !v.NoGrowth {
			d.Action, d.To, d.Reason = Grow, freeNumber(v.Loads), ReasonThreshold
			return d
		}
	} else {
		d.Saturated = true
	}
	if !found { // 4
		return d
	}
	if !isThere {
		return d.rotate(least.Number, ReasonSaturated)
	}
	gain := current - least.Processes
	worthIt := 20*gain >= p.Threshold && v.SinceRotation >= p.MinDwell
	hard := limit(p, v.Latency, v.Rate)
	mustLeave := current >= hard && least.Processes < p.Threshold
	if gain > 0 && (worthIt || mustLeave) {
		return d.rotate(least.Number, ReasonSaturated)
	}
	switch {
	case current < hard:
		d.Next = hard
	case least.Processes < p.Threshold:
		d.Next = current + 1
	}
	return d
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
func load(v View) (int, bool) {
	for _, l := range v.Loads {
		if l.Number == v.Current {
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

// freeNumber is the lowest number that none of loads has.
func freeNumber(loads []Load) int {
	n := 1
	for _, l := range loads {
		if l.Number == n {
			n++
		}
	}
	return n
}
