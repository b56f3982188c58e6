package watch

import (
	"time"

	"relinkd/linker"
	"relinkd/pool"
)

// shown is what others see of a target: never changed once it is stored.
type shown struct {
	TargetStatus
	lastErr   string
	lastErrAt time.Time
}

// show makes the present state visible to others.
func (t *target) show() {
	s := &shown{
		lastErr:   t.lastErr,
		lastErrAt: t.lastErrAt,
		TargetStatus: TargetStatus{
			Name:                t.name,
			Path:                t.cfg.Path,
			PrivateLink:         linker.PrivateLink(t.cfg.Path),
			Publish:             string(t.cfg.Publish),
			State:               t.status,
			Reason:              t.reason,
			Threshold:           t.cfg.Threshold,
			Mark:                t.mark,
			MaxCopies:           t.cfg.MaxCopies,
			Saturated:           t.saturated,
			Rotations:           t.rotations.Threshold + t.rotations.Interval + t.rotations.Saturated + t.rotations.Operator,
			RotationsByReason:   t.rotations,
			PeakCopyProcesses:   t.peak,
			ExecRate:            t.follower.Rate(),
			EventLatencySeconds: t.follower.Latency().Seconds(),
			Copies:              []CopyStatus{},
		},
	}
	if t.current > 0 {
		s.Current = pool.CopyName(t.base(), t.current)
	}
	defer t.shown.Store(s)
	if t.pool == nil {
		return
	}
	counts := t.follower.Counts()
	if t.src != nil {
		s.Generation = Generation{SHA256: t.src.SHA256(), Size: t.src.Info().Size, Since: t.since}
	}
	for _, c := range t.pool.Owned() {
		n := counts.Of(c.Info.ID)
		if t.src == nil || c.SHA256 != t.src.SHA256() {
			s.StaleProcesses += n
			continue
		}
		s.Processes += n
		s.Copies = append(s.Copies, CopyStatus{
			Name:      pool.CopyName(t.base(), c.Number),
			Number:    c.Number,
			Processes: n,
			Inode:     c.Info.Ino,
			Verified:  !t.suspect[c.Number],
		})
	}
	for id := range t.stale {
		s.StaleProcesses += counts.Of(id)
	}
	for _, id := range t.sources {
		if _, stale := t.stale[id]; !stale {
			s.SourceProcesses += counts.Of(id)
		}
	}
}
