package watch

import (
	"fmt"
	"time"

	"relinkd/api"
	"relinkd/config"
	"relinkd/pool"
)

// promise is whether the threshold holds as things stand: if no more processes start before relinkd acts than
// may be reckoned with, no copy has more than that.
type promise struct {
	unseen int       // the processes that are reckoned with
	broken string    // why it does not hold; "" when it does
	last   time.Time // when it last did not hold

	holds  bool      // it did when tellPromise last looked
	held   bool      // it has held since the target is steady
	since  time.Time // from when on it holds or does not hold, as long as the target is steady; zero while it is not
	told   bool      // its loss was told of, and not yet that it holds again
	lostAt time.Time // when its loss was last told of
}

// How often it is told of, in the log and the history: it may come and go many times a second.
const (
	lossGap   = time.Minute      // between two losses
	firstLoss = 10 * time.Second // a promise that has never held is missed after that
	keptFor   = 10 * time.Second // and one that was lost holds again
)

// tellPromise tells that the promise was lost, and that it holds again when it has done so for a while. What
// is not steady tells of that itself.
func (t *target) tellPromise(now time.Time) {
	p := &t.promise
	if t.status != api.Steady || !t.active || t.cfg.Rotation == config.RotationInterval { // nobody expects it of that
		p.held, p.since = false, time.Time{}
		return
	}
	if holds := p.broken == ""; p.since.IsZero() || holds != p.holds {
		p.holds, p.since = holds, now
	}
	lasted := now.Sub(p.since)
	switch {
	case p.holds && p.told && lasted >= keptFor:
		p.told = false
		t.did(api.Event{Kind: api.EventState, Reason: "promised again"}, "the threshold of %d is promised again", t.cfg.Threshold)
	case !p.holds && !p.told && (p.held || lasted >= firstLoss) && (p.lostAt.IsZero() || now.Sub(p.lostAt) >= lossGap):
		p.told, p.lostAt = true, now
		t.warn(api.Event{Kind: api.EventState, Reason: "not promised"}, "the threshold of %d is not promised: %s", t.cfg.Threshold, p.broken)
	}
	p.held = p.held || p.holds
}

// judge takes note of a decision, which is carried out.
func (t *target) judge(d pool.Decision, now time.Time) {
	t.promise.unseen = d.Unseen
	room := fmt.Sprintf("no copy has room for the %d processes that may start before relinkd acts", d.Unseen)
	switch {
	case t.cfg.Rotation == config.RotationInterval:
		t.breaks(`rotation is "interval", which looks at no count`, now)
	case !t.follower.Sound():
		t.breaks("the kernel does not tell of every process: as many as start between two looks go unseen", now)
	case d.Holds:
		t.promise.broken = ""
	case d.Unseen >= t.cfg.Threshold:
		t.breaks(fmt.Sprintf("up to %d processes may start before relinkd acts, at %.0f a second and %s late, and a copy may have %d",
			d.Unseen, t.follower.Rate(), max(t.follower.Latency(), pool.LatencyFloor).Round(100*time.Microsecond), t.cfg.Threshold), now)
	case d.Saturated:
		t.breaks(room+", and no more copies can be made", now)
	default:
		t.breaks(room, now)
	}
}

// breaks takes note of why the promise does not hold.
func (t *target) breaks(why string, now time.Time) { t.promise.broken, t.promise.last = why, now }
