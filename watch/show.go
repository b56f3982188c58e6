package watch

import (
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"relinkd/api"
	"relinkd/linker"
	"relinkd/pool"
)

// shown is what others see of a target: never changed once it is stored.
type shown struct {
	api.TargetStatus
	api.Measures
	lastErr string
}

// show makes the present state visible to others, and tells of it where it is another than before.
func (t *target) show() {
	now := time.Now()
	t.tellState()
	t.tellPromise(now)
	s := &shown{lastErr: t.lastErr, Measures: t.measures, TargetStatus: t.standing(now)}
	if t.pool == nil {
		s.ThresholdPromised, s.ThresholdReason = false, "there are no copies"
	} else {
		t.showProcesses(&s.TargetStatus, now)
	}
	t.shown.Store(s)
}

// standing returns the status but for the copies and the processes.
func (t *target) standing(now time.Time) api.TargetStatus {
	s := api.TargetStatus{
		Name:                t.name,
		Path:                t.cfg.Path,
		PrivateLink:         linker.PrivateLink(t.cfg.Path),
		Publish:             string(t.cfg.Publish),
		State:               t.status,
		Reason:              t.reason,
		AwaitsManage:        t.awaits,
		Executes:            t.exec.ok,
		ExecutesReason:      t.exec.reason,
		ExecutesTry:         t.exec.try,
		Threshold:           t.cfg.Threshold,
		Mark:                t.mark,
		MaxCopies:           t.cfg.MaxCopies,
		GrowthReason:        t.growth.hindered(now),
		Saturated:           t.saturated,
		Rotations:           t.rotations.Threshold + t.rotations.Interval + t.rotations.Saturated + t.rotations.Operator,
		RotationsByReason:   t.rotations,
		PeakCopyProcesses:   t.peak,
		ExecRate:            t.follower.Rate(),
		EventLatencySeconds: t.follower.Latency().Seconds(),
		UnseenProcesses:     t.promise.unseen,
		ThresholdPromised:   t.promise.broken == "",
		ThresholdReason:     t.promise.broken,
		UnpromisedAt:        t.promise.last,
		Copies:              []api.CopyStatus{},
	}
	if t.current > 0 {
		s.Current = pool.CopyName(t.base(), t.current)
	}
	return s
}

// showProcesses adds the copies to a status, and how many processes run what.
func (t *target) showProcesses(s *api.TargetStatus, now time.Time) {
	counts := t.follower.Counts()
	if t.src != nil {
		s.Generation = api.Generation{SHA256: t.src.SHA256(), Size: t.src.Info().Size, Since: t.since}
	}
	for _, c := range t.pool.Owned() {
		n := counts.Of(c.Info.ID)
		if t.src == nil || c.SHA256 != t.src.SHA256() {
			s.StaleProcesses += n
			continue
		}
		s.Processes += n
		s.Copies = append(s.Copies, api.CopyStatus{
			Name:      pool.CopyName(t.base(), c.Number),
			Number:    c.Number,
			Processes: n,
			Inode:     c.Info.Ino,
			Verified:  !t.suspect[c.Number],
		})
	}
	s.GrowableCopies = t.growable(len(s.Copies), now)
	for id := range t.stale {
		s.StaleProcesses += counts.Of(id)
	}
	for _, id := range t.sources {
		if _, stale := t.stale[id]; !stale {
			s.SourceProcesses += counts.Of(id)
		}
	}
}

// tellState tells of a state that has changed. What a target passes through within one round of Ensure is
// no state that anybody could see.
func (t *target) tellState() {
	if t.status == t.told {
		return
	}
	from := t.told
	t.told = t.status
	t.happened(zerolog.InfoLevel, api.Event{
		Kind: api.EventState, Reason: t.reason, From: string(from), To: string(t.status),
		Message: fmt.Sprintf("%s is %s now, and was %s%s", t.cfg.Path, t.status, from, because(t.reason)),
	})
}
