package watch

import (
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
)

// shownCopy is the status of the copy that the private link leads to.
func shownCopy(t testing.TB, st *api.TargetStatus) api.CopyStatus {
	t.Helper()
	for _, c := range st.Copies {
		if c.Name == st.Current {
			return c
		}
	}
	t.Fatalf("the current copy is %q, of %+v", st.Current, st.Copies)
	return api.CopyStatus{}
}

// No copy passes the threshold while there is room on another or the pool may grow; then the pool is
// saturated, and says so.
func TestThreshold(t *testing.T) {
	t.Parallel()
	const copies, maxCopies, threshold = 2, 4, 8
	s := newSite(t, func(c *config.Target) {
		c.Copies, c.MaxCopies, c.Threshold, c.RotateAt, c.MinDwell = copies, maxCopies, threshold, 0.75, time.Hour
	})
	s.install("1")
	d := s.start()
	d.steady("1")
	var pids []int
	for len(pids) < maxCopies*threshold {
		pids = append(pids, hold(t, s.path))
		st := d.waitFor("the process is counted, and the next one has room", func(st api.TargetStatus) bool {
			if st.Processes != len(pids) {
				return false
			}
			current := shownCopy(t, &st).Processes
			return current < st.Mark || st.Saturated && current < threshold || st.Processes == maxCopies*threshold
		})
		for _, c := range st.Copies {
			if c.Processes > threshold {
				t.Fatalf("%s runs %d processes, the threshold is %d", c.Name, c.Processes, threshold)
			}
		}
	}
	st := d.waitFor("saturated", func(st api.TargetStatus) bool { return st.Saturated && len(st.Copies) == maxCopies })
	if st.PeakCopyProcesses != threshold || st.Mark > threshold*3/4 || st.Mark < 1 {
		t.Errorf("status: %+v", st)
	}
	if r := st.RotationsByReason; r.Threshold < maxCopies-1 || r.Interval+r.Operator != 0 || r.Threshold+r.Saturated != st.Rotations {
		t.Errorf("rotations: %+v, %d in all", r, st.Rotations)
	}
	said(t, []string{s.log.String()}, "raise max_copies or threshold")
	for _, pid := range pids {
		release(t, pid)
	}
	st = d.waitFor("nothing runs", func(st api.TargetStatus) bool { return st.Processes == 0 && !st.Saturated })

	// Grown copies stay, for whoever starts next may need them, until the next generation.
	d.stop()
	d = s.start()
	if st = d.steady("1"); len(st.Copies) != maxCopies {
		t.Errorf("after a new start there are %d copies", len(st.Copies))
	}
	// Not for an instant does path lead to one of them once it leads to copies of the new generation.
	if st.Current != "imapd_004" {
		_, err := d.Rotate(t.Context(), name, maxCopies)
		must(t, err)
	}
	s.calls.on("publish: exchange", func(string) error {
		s.holds(s.privateLink(), "2")
		return nil
	})
	s.install("2")
	d.waitFor("the grown copies go with the next generation", func(st api.TargetStatus) bool {
		return st.State == api.Steady && st.Generation.SHA256 == sha("2") && len(st.Copies) == copies && lstat(t, s.copy(3)).ID.IsZero() && lstat(t, s.copy(4)).ID.IsZero()
	})
	d.steady("2")
}

// A pool that cannot grow goes on with what it has, and says so.
func TestGrowthPrevented(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *config.Target) { c.Copies, c.MaxCopies, c.Threshold, c.RotateAt = 1, 2, 4, 0.5 })
	s.install("1")
	d := s.start()
	d.waitFor("steady", func(st api.TargetStatus) bool { return st.State == api.Steady })
	s.calls.on("clone: create", func(string) error { return unix.ENOSPC })
	for range 2 {
		hold(t, s.path)
	}
	eventually(t, "the last error tells", func() bool {
		st, err := d.Status(t.Context())
		return err == nil && strings.Contains(st.LastError, "cannot grow the pool") && strings.Contains(st.LastError, "no space left")
	})
	d.waitFor("it is saturated", func(st api.TargetStatus) bool { return st.Saturated })
	s.runs(s.path, "1")
}

// Copies that a pool has grown by stay in use while an operator puts another program in force, whether that
// succeeds or not: they may be all that has room.
func TestAdoptKeepsAGrownPool(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *config.Target) { c.Copies, c.MaxCopies, c.Threshold, c.RotateAt = 1, 2, 4, 0.5 })
	s.install("1")
	d := s.start()
	d.waitFor("steady", func(st api.TargetStatus) bool { return st.State == api.Steady })
	for range 2 {
		hold(t, s.path)
	}
	eventually(t, "it has grown", func() bool { return strings.Contains(s.log.String(), "grew the pool to 2 copies") })
	var full atomic.Bool
	full.Store(true)
	s.calls.on("clone: create", func(path string) error {
		if full.Load() && strings.HasSuffix(path, ".new") {
			return unix.ENOSPC
		}
		return nil
	})
	if _, err := d.Adopt(t.Context(), name, s.file("2")); !errors.Is(err, api.ErrRefused) {
		t.Errorf("adopt without room on the disk: %v", err)
	}
	for range 2 { // to and fro
		if _, err := d.Rotate(t.Context(), name, 0); err != nil {
			t.Errorf("after a failed adopt: %v", err)
		}
	}
	full.Store(false)
	_, err := d.Adopt(t.Context(), name, s.file("2"))
	must(t, err)
	st := d.waitFor("it is in force", func(st api.TargetStatus) bool { return st.State == api.Steady && st.Generation.SHA256 == sha("2") })
	if len(st.Copies) != 2 {
		t.Errorf("of 2 copies there are %d", len(st.Copies))
	}
}

// The original scheme: the next number, by the clock alone.
func TestIntervalRotation(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *config.Target) {
		c.Rotation, c.Interval, c.Threshold = config.RotationInterval, 10*time.Millisecond, 1
	})
	s.install("1")
	d := s.start()
	d.waitFor("steady", func(st api.TargetStatus) bool { return st.State == api.Steady }) // the link is in motion
	hold(t, s.path)
	st := d.waitFor("it has gone round", func(st api.TargetStatus) bool { return st.Rotations >= 7 })
	if st.RotationsByReason.Interval != st.Rotations || st.Saturated || len(st.Copies) != 3 {
		t.Errorf("status: %+v", st)
	}
	d.stop()
	next := map[string]string{"imapd_001": "imapd_002", "imapd_002": "imapd_003", "imapd_003": "imapd_001"}
	rotations := 0
	for line := range strings.Lines(s.log.String()) {
		var said struct{ Message, From, To string }
		must(t, json.Unmarshal([]byte(line), &said))
		if said.Message != "rotated" {
			continue
		}
		if rotations++; next[said.From] != said.To {
			t.Errorf("rotated from %s to %s", said.From, said.To)
		}
	}
	if rotations < 7 {
		t.Errorf("%d rotations were logged", rotations)
	}
}

// A pool grows no further than keep_free allows. It says why, it is saturated, and room is not promised; when
// there is room again it grows.
func TestGrowthLeavesRoom(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *config.Target) {
		c.Copies, c.MaxCopies, c.Threshold, c.RotateAt, c.KeepFree = 1, 3, 4, 0.5, 1<<60
	})
	s.install("1")
	d := s.start()
	st := d.waitFor("it is known that there is no room", func(st api.TargetStatus) bool { return st.State == api.Steady && st.GrowthReason != "" })
	if st.GrowableCopies != 0 || st.Saturated {
		t.Errorf("while nothing runs: %+v", st)
	}
	for range 2 {
		hold(t, s.path)
	}
	st = d.waitFor("it is saturated", func(st api.TargetStatus) bool { return st.Saturated && st.Processes == 2 })
	if len(st.Copies) != 1 || st.GrowableCopies != 0 || !strings.Contains(st.GrowthReason, "keep_free") {
		t.Errorf("no room is to be used, and yet: %+v", st)
	}
	d.retarget(func(c *config.Target) { c.KeepFree = 0 })
	st = d.waitFor("it grows", func(st api.TargetStatus) bool { return len(st.Copies) > 1 && !st.Saturated })
	if st.GrowthReason != "" || st.GrowableCopies != 3-len(st.Copies) {
		t.Errorf("there is room, and yet: %+v", st)
	}
	said(t, []string{s.log.String()}, "no more can be made: ")
}
