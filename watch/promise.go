package watch

import (
	"fmt"
	"time"

	"relinkd/config"
	"relinkd/pool"
)

// promise is whether the threshold holds as things stand: if no more processes start before relinkd acts than
// may be reckoned with, no copy has more than that.
type promise struct {
	unseen int       // the processes that are reckoned with
	broken string    // why it does not hold; "" when it does
	last   time.Time // when it last did not hold
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
