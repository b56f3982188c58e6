package watch

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"relinkd/api"
	"relinkd/config"
)

// What is measured of a target's life is in the snapshot, and an earlier snapshot does not change.
func TestSnapshot(t *testing.T) {
	s := newSite(t, func(c *config.Target) { c.Copies, c.MaxCopies, c.Threshold, c.RotateAt = 2, 3, 2, 0.5 })
	s.install("1")
	d := s.start()
	d.waitFor("steady", func(st api.TargetStatus) bool { return st.State == api.Steady })
	first := d.Snapshot()
	if m := first.Measures[0]; len(first.Measures) != len(first.Targets) || m.Upgrade.Total() != 1 || m.CloneGeneration.Total() != 1 ||
		m.CloneGrowth.Total() != 0 || m.Rotation.Total() != 0 || m.Grown != 0 || !m.LastErrorAt.IsZero() {
		t.Errorf("after the first generation: %+v", m)
	}
	if c := first.Counting; c.Durations.Total() == 0 || c.Processes == 0 || c.Subscriptions > 1 {
		t.Errorf("after the first census: %+v", c)
	}

	for i := 1; i <= 3; i++ { // the mark is 1: two rotations fill two copies, and then a third is made
		hold(t, s.path)
		d.waitFor("the next copy", func(st api.TargetStatus) bool { return st.Processes == i && st.Rotations >= min(i, 2) })
	}
	var m api.Measures
	d.waitFor("a third copy", func(api.TargetStatus) bool { m = d.Snapshot().Measures[0]; return m.Grown == 1 })
	if m.Rotation.Total() < 2 || m.CloneGrowth.Total() != 1 {
		t.Errorf("after two rotations and a growth: %+v", m)
	}
	// Only where an event has asked for it; on a busy machine a census may be sooner.
	if n := strings.Count(s.log.String(), `"event_to_link"`); m.RotationLatency.Total() != uint64(n) || n > 0 && m.RotationLatency.Sum() <= 0 {
		t.Errorf("%d rotations by events, %+v", n, m.RotationLatency)
	}
	s.install("2")
	d.waitFor("the upgrade", func(api.TargetStatus) bool { return d.Snapshot().Measures[0].Upgrade.Total() == 2 })
	if m := first.Measures[0]; m.Upgrade.Total() != 1 || m.Rotation.Total() != 0 {
		t.Errorf("the first snapshot has changed: %+v", m)
	}
}

// An error is counted, with its time; reloads by what came of them.
func TestSnapshotErrors(t *testing.T) {
	s := newSite(t)
	must(t, os.WriteFile(s.path, []byte("#!/bin/sh\n"), 0o755))
	d := s.start()
	d.waitFor("degraded", func(st api.TargetStatus) bool { return st.State == api.Degraded })
	snap := d.Snapshot()
	if m := snap.Measures[0]; m.Errors == 0 || time.Since(m.LastErrorAt) > time.Minute || snap.LastError == "" {
		t.Errorf("%d errors, the last at %v: %q", m.Errors, m.LastErrorAt, snap.LastError)
	}

	loaded := snap.ConfigLoadedAt
	if _, err := d.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := d.Snapshot(); got.Reloads != (api.Reloads{Succeeded: 1}) || !got.ConfigLoadedAt.After(loaded) {
		t.Errorf("%+v, loaded at %v", got.Reloads, got.ConfigLoadedAt)
	}
}
