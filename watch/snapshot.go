package watch

import (
	"context"
	"slices"
	"time"

	"relinkd/watch/histogram"
	"relinkd/watch/proctable"
)

// Snapshot is a Status and what goes with it for those who watch relinkd over time. Counters are since
// the daemon's start, or since the target was last added to the configuration. A Snapshot never changes once
// it is handed out.
type Snapshot struct {
	Status
	Counting       proctable.Stats
	Reloads        Reloads
	ConfigLoadedAt time.Time  // when the configuration in force was read
	Measures       []Measures // one for each of Targets, in their order
}

// Reloads counts reloads of the configuration by what came of them.
type Reloads struct{ Succeeded, Failed int }

// Measures is what one target has counted and timed.
type Measures struct {
	Grown       int       // copies that were added to a full pool
	Errors      int       // things that went wrong
	LastErrorAt time.Time // zero for never

	RotationLatency histogram.Histogram // from an event that asked for a rotation to the moved link; only with process events
	Rotation        histogram.Histogram // moving the private link, whatever asked for it
	CloneGeneration histogram.Histogram // making the copies of a generation durable beside those in force
	CloneGrowth     histogram.Histogram // the same of one more copy of the generation in force
	Upgrade         histogram.Histogram // from a complete new source to copies of it in force
}

// What durations are counted by, in seconds. DESIGN.md §11 has limits of 0.2 ms and 1 ms for a rotation,
// and 0.5 s for an upgrade.
var (
	rotationLimits = histogram.NewLimits(0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 1)
	cloneLimits    = histogram.NewLimits(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
)

func newMeasures() Measures {
	return Measures{
		RotationLatency: histogram.New(rotationLimits),
		Rotation:        histogram.New(rotationLimits),
		CloneGeneration: histogram.New(cloneLimits),
		CloneGrowth:     histogram.New(cloneLimits),
		Upgrade:         histogram.New(cloneLimits),
	}
}

// cloned takes note of how long the copies of j took.
func (m *Measures) cloned(j *job) {
	d := time.Since(j.cloning)
	if j.grow {
		m.CloneGrowth.Observe(d)
		return
	}
	m.CloneGeneration.Observe(d)
}

// Status is the state of everything at one instant.
func (w *Watcher) Status(context.Context) (*Status, error) { return &w.Snapshot().Status, nil }

// Snapshot is the state of everything at one instant, with what was measured. It waits for nothing that a
// loop does.
func (w *Watcher) Snapshot() *Snapshot {
	stats := w.table.Stats()
	s := &Snapshot{Counting: stats, Status: Status{
		Version:             w.version,
		Accounting:          stats.Accounting,
		AccountingReason:    stats.AccountingReason,
		Overflows:           stats.Overflows,
		UnreadableProcesses: stats.Unreadable,
		Targets:             []TargetStatus{},
	}}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.ConfigError, s.ConfigLoadedAt, s.Reloads = w.cfgError, w.cfgLoadedAt, w.reloads
	var last time.Time
	for i, cfg := range slices.Concat(w.cfg.Targets, w.left) {
		l := w.loops[cfg.Name]
		if l == nil { // no daemon, or it is being published anew
			reason := ""
			if i >= len(w.cfg.Targets) {
				reason = leaveReason(cfg.Path)
			}
			s.Targets = append(s.Targets, TargetStatus{
				Name: cfg.Name, Path: cfg.Path, Publish: string(cfg.Publish), State: Starting, Reason: reason, Copies: []CopyStatus{},
			})
			s.Measures = append(s.Measures, newMeasures())
			continue
		}
		shown := l.shown.Load()
		s.Targets = append(s.Targets, shown.TargetStatus)
		s.Measures = append(s.Measures, shown.Measures)
		if shown.lastErr != "" && !shown.LastErrorAt.Before(last) {
			s.LastError, last = shown.lastErr, shown.LastErrorAt
		}
	}
	if stats.EventsMissing && s.LastError == "" {
		s.LastError = `census.events is "netlink", and there are no process events: ` + stats.AccountingReason
	}
	return s
}
