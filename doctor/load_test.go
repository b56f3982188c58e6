package doctor

import (
	"testing"
	"time"

	"relinkd/api"
	"relinkd/config"
)

func TestLoad(t *testing.T) {
	target := config.Target{Name: "imapd", Path: imapd, Publish: config.PublishSymlink, Copies: 60, MaxCopies: 240, Threshold: 200, RotateAt: 0.9, Rotation: config.RotationAdaptive}
	sound := api.TargetStatus{State: api.Steady, Threshold: 200, Mark: 180, MaxCopies: 240, Processes: 4000, PeakCopyProcesses: 181, Rotations: 30, Copies: make([]api.CopyStatus, 60)}
	for name, c := range map[string]struct {
		change func(*config.Target, *api.TargetStatus)
		up     time.Duration
		want   []string
	}{
		"sound":      {func(*config.Target, *api.TargetStatus) {}, time.Hour, []string{"fine 4000 processes on 60 copies, highest so far 181 of 200", "fine 30 rotations in 1h0m0s, 0.5 a minute"}},
		"just begun": {func(*config.Target, *api.TargetStatus) {}, time.Second, []string{"fine"}},
		"saturated":  {func(_ *config.Target, s *api.TargetStatus) { s.Saturated, s.Processes = true, 43200 }, 0, []string{"TODO saturated: 43200 processes | set max_copies = 300, or threshold = 250"}},
		"over it":    {func(_ *config.Target, s *api.TargetStatus) { s.PeakCopyProcesses = 230 }, 0, []string{"note a copy was run by more processes than the threshold | lower rotate_at"}},
		"grown":      {func(_ *config.Target, s *api.TargetStatus) { s.Copies = make([]api.CopyStatus, 71) }, 0, []string{"note the pool has grown from 60 | set copies = 71"}},
		"late": {func(_ *config.Target, s *api.TargetStatus) {
			s.Mark, s.ExecRate, s.EventLatencySeconds = 100, 200, 0.5
		}, 0, []string{"fine", "note relinkd moves on at 100 processes instead of 180: 200 start a second, and each is known after 500.0 ms"}},
		"webmail":         {func(_ *config.Target, s *api.TargetStatus) { s.Rotations, s.Processes = 922, 262 }, 20 * time.Minute, []string{"fine", "note 922 rotations in 20m0s, 46.1 a minute | threshold = 335 would take all 262 processes on one copy | publish = \"launcher\""}},
		"webmail, many":   {func(_ *config.Target, s *api.TargetStatus) { s.Rotations, s.Processes = 922, 9000 }, 20 * time.Minute, []string{"fine", "note | raise threshold; or"}},
		"with a launcher": {func(t *config.Target, s *api.TargetStatus) { t.Publish, s.Rotations = "launcher", 922 }, 20 * time.Minute, []string{"fine", "fine 922 rotations"}},
		"degraded":        {func(_ *config.Target, s *api.TargetStatus) { s.State, s.Reason = api.Degraded, "disk full" }, 0, []string{"TODO imapd is degraded: disk full"}},
		"released":        {func(_ *config.Target, s *api.TargetStatus) { s.State, s.AwaitsManage = api.Released, true }, 0, []string{"note imapd is released | relinkd manage imapd"}},
		"by the clock":    {func(t *config.Target, s *api.TargetStatus) { t.Rotation, s.Mark = config.RotationInterval, 0 }, time.Hour, nil},
	} {
		t.Run(name, func(t *testing.T) {
			tt, st := target, sound
			c.change(&tt, &st)
			says(t, judgeLoad(tt, &st, c.up, true), c.want...)
		})
	}
	says(t, judgeLoad(target, nil, 0, true))
	busy := sound
	busy.Rotations = 10000
	says(t, judgeLoad(target, &busy, time.Hour, false), "fine", "fine 10000 rotations")
}

func TestCost(t *testing.T) {
	target := config.Target{Name: "imapd", Copies: 60, MaxCopies: 240, Rotation: config.RotationAdaptive}
	sound := directoryFacts{Size: 360224, Free: 1 << 30, Inodes: 1000, Reflink: no}
	for name, c := range map[string]struct {
		change func(*directoryFacts)
		want   []string
	}{
		"room":        {func(*directoryFacts) {}, []string{"fine page cache: up to 20 MiB for 60 copies, at most 82 MiB for 240", "fine disk: 20 MiB for 60 copies, at most 82 MiB for 240; 1024 MiB is free", "fine inodes: 60, and as many in an upgrade; 1000 are free"}},
		"reflinks":    {func(d *directoryFacts) { d.Reflink, d.Inodes = yes, -1 }, []string{"fine page cache", "fine disk: next to nothing"}},
		"full":        {func(d *directoryFacts) { d.Free, d.Inodes = 1<<20, 10 }, []string{"fine", "TODO disk: a new generation of 60 copies takes 20 MiB, and 1024 KiB is free", "TODO inodes: a new generation takes 60, and 10 are free"}},
		"nothing yet": {func(d *directoryFacts) { d.Size = 0 }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := sound
			c.change(&d)
			says(t, d.judgeCost(target), c.want...)
		})
	}
}
