package watch

import (
	"context"
	"slices"
	"time"

	"relinkd/api"
	"relinkd/api/histogram"
)

// What durations are counted by, in seconds. DESIGN.md §11 has limits of 0.2 ms and 1 ms for a rotation,
// and 0.5 s for an upgrade.
var (
	rotationLimits = histogram.NewLimits(0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 1)
	cloneLimits    = histogram.NewLimits(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
)

func newMeasures() api.Measures {
	return api.Measures{
		RotationLatency: histogram.New(rotationLimits),
		Rotation:        histogram.New(rotationLimits),
		CloneGeneration: histogram.New(cloneLimits),
		CloneGrowth:     histogram.New(cloneLimits),
		Upgrade:         histogram.New(cloneLimits),
	}
}

// cloned takes note in m of how long the copies of j took.
func cloned(m *api.Measures, j *job) {
	d := time.Since(j.cloning)
	if j.grow {
		m.CloneGrowth.Observe(d)
		return
	}
	m.CloneGeneration.Observe(d)
}

// Status is the state of everything at one instant.
func (w *Watcher) Status(context.Context) (*api.Status, error) { return &w.Snapshot().Status, nil }

// Snapshot is the state of everything at one instant, with what was measured. It waits for nothing that a
// loop does.
func (w *Watcher) Snapshot() *api.Snapshot {
	stats := w.table.Stats()
	s := &api.Snapshot{Counting: api.Counting{Processes: stats.Processes, Subscriptions: stats.Subscriptions, Durations: stats.Durations}, Status: api.Status{
		Version:             w.version,
		Accounting:          stats.Accounting,
		AccountingReason:    stats.AccountingReason,
		Overflows:           stats.Overflows,
		UnreadableProcesses: stats.Unreadable,
		Targets:             []api.TargetStatus{},
	}}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.ConfigError, s.ConfigLoadedAt, s.Reloads = w.cfgError, w.cfgLoadedAt, w.reloads
	for i, cfg := range slices.Concat(w.cfg.Targets, w.left) {
		l := w.loops[cfg.Name]
		if l == nil { // no daemon, or it is being published anew
			reason := ""
			if i >= len(w.cfg.Targets) {
				reason = leaveReason(cfg.Path)
			}
			s.Targets = append(s.Targets, api.TargetStatus{
				Name: cfg.Name, Path: cfg.Path, Publish: string(cfg.Publish), State: api.Starting, Reason: reason, Copies: []api.CopyStatus{},
			})
			s.Measures = append(s.Measures, newMeasures())
			continue
		}
		shown := l.shown.Load()
		s.Targets = append(s.Targets, shown.TargetStatus)
		s.Measures = append(s.Measures, shown.Measures)
		if shown.lastErr != "" && !shown.LastErrorAt.Before(s.LastErrorAt) {
			s.LastError, s.LastErrorAt = shown.lastErr, shown.LastErrorAt
		}
	}
	if stats.EventsMissing && s.LastError == "" {
		s.LastError = `census.events is "netlink", and there are no process events: ` + stats.AccountingReason
	}
	return s
}
