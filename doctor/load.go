package doctor

import (
	"fmt"
	"math"
	"time"

	"relinkd/api"
	"relinkd/config"
)

// rotations a minute from which on their price is worth a word, where workers are reused.
const oftenRotated = 6

// judgeLoad advises from what the daemon has counted. st may be nil.
func judgeLoad(t config.Target, st *api.TargetStatus, up time.Duration, reused bool) []Finding {
	f := &found{section: Load, target: t.Name}
	if st == nil {
		return nil
	}
	switch st.State {
	case api.Degraded, api.Bypassed:
		f.needs(fmt.Sprintf("%s is %s: %s", t.Name, st.State, st.Reason), "new processes may not be spread over copies", "do what the reason says; relinkd status shows when it is steady")
	case api.Released:
		try := "" // where relinkd could not manage what stands there
		if st.AwaitsManage {
			try = "relinkd plan, then: relinkd manage " + t.Name
		}
		f.note(t.Name+" is released: relinkd leaves it alone", "an operator has said so, or the package has just been installed", try)
	}
	if st.State != api.Steady || t.Rotation == config.RotationInterval {
		return f.all
	}
	share := max(1, int(math.Floor(t.RotateAt*float64(t.Threshold)+1e-9)))
	judgeFill(f, t, st, share)
	judgeMark(f, t, st, share)
	judgeRate(f, t, st, up, reused)
	return f.all
}

// judgeLeft tells of targets that have left the configuration and still are relinkd's.
func judgeLeft(left []config.Target) []Finding {
	var all []Finding
	for _, t := range left {
		f := &found{section: Load, target: t.Name}
		f.needs(fmt.Sprintf("the configuration no longer names %s, which relinkd has managed", t.Path),
			"path still leads to copies that nothing looks after", "relinkd restore "+t.Name+", or name it in the configuration again")
		all = append(all, f.all...)
	}
	return all
}

// judgeFill compares the pool with what runs on it.
func judgeFill(f *found, t config.Target, st *api.TargetStatus, share int) {
	n := len(st.Copies)
	if n == 0 {
		return
	}
	running := fmt.Sprintf("%s on %s, highest so far %d of %d", counted(st.Processes, "process", "processes"), counted(n, "copy", "copies"), st.PeakCopyProcesses, st.Threshold)
	switch {
	case st.Saturated:
		copies := int(math.Ceil(1.25 * float64(st.Processes) / float64(share)))
		f.needs("saturated: "+running, "no copy has room, so the threshold is passed or about to be", enlarge(t, int(1.25*float64(st.Processes)), max(copies, t.MaxCopies+1)))
	case st.PeakCopyProcesses > st.Threshold:
		f.note("a copy was run by more processes than the threshold: "+running, "a burst came faster than relinkd heard of it, or the threshold was lowered", "lower rotate_at to leave more room for a burst")
	case n > t.Copies:
		f.note(fmt.Sprintf("the pool has grown from %d: %s", t.Copies, running), "a copy that is made when it is needed comes late for a burst", fmt.Sprintf("set copies = %d", n))
	default:
		f.fine(running, "there is room")
	}
}

// judgeMark tells of a mark that late news has lowered.
func judgeMark(f *found, t config.Target, st *api.TargetStatus, share int) {
	if 10*st.Mark >= 9*share {
		return
	}
	f.note(fmt.Sprintf("relinkd moves on at %d processes instead of %d: %.0f start a second, and each is known after %s", st.Mark, share, st.ExecRate, milliseconds(st.EventLatencySeconds)),
		"what starts before it is known goes to the same copy; early rotations pay for that",
		fmt.Sprintf("process events (see Kernel) and Nice=-10 in the unit shorten it; else raise threshold above %d", t.Threshold))
}

// judgeRate tells of rotations that cost more than they need.
func judgeRate(f *found, t config.Target, st *api.TargetStatus, up time.Duration, reused bool) {
	if up < time.Minute {
		return
	}
	rate := float64(st.Rotations) / up.Minutes()
	what := fmt.Sprintf("%s in %s, %.1f a minute", count(st.Rotations, "rotation"), up.Round(time.Minute), rate)
	if rate < oftenRotated || !reused || t.Publish != config.PublishSymlink {
		f.fine(what, "a rotation costs waiting workers where path is a link")
		return
	}
	// What fits on one copy rotates not at all.
	fits := int(math.Ceil(1.15 * float64(st.Processes) / t.RotateAt))
	do := "raise threshold"
	if fits > t.Threshold && fits <= 5*t.Threshold {
		do = fmt.Sprintf("threshold = %d would take all %d processes on one copy, with no rotation", fits, st.Processes)
	}
	f.note(what, "each retires all waiting workers, which Cyrus starts anew", do+"; or publish = \"launcher\", with which a rotation retires none")
}

// milliseconds makes seconds readable.
func milliseconds(seconds float64) string {
	if seconds < 1 {
		return fmt.Sprintf("%.1f ms", seconds*1000)
	}
	return fmt.Sprintf("%.1f s", seconds)
}
