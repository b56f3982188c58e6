package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/pool"
)

// handmade is what the cron job of old works on: copies, and at path a link to one of them.
func (s *site) handmade(linked int, versions ...string) {
	s.t.Helper()
	for i, v := range versions {
		command(s.t, "install", "-m755", s.file(v), s.copy(i+1))
	}
	s.linkTo(linked)
}

// linkTo is the cron job: ln -sf.
func (s *site) linkTo(n int) {
	s.t.Helper()
	command(s.t, "ln", "-sfn", pool.CopyName(name, n), s.path)
}

func TestHandMadePool(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.handmade(2, "1", "1", "other", "1") // one more than the configuration asks for
	before := tree(t, s.dir)
	d := s.start()
	d.degraded("a hand-made pool: nothing is touched until relinkd manage")
	unchanged(t, s.dir, before)

	linked := lstat(t, s.copy(2)).ID
	end := execLoop(t, s.path)
	r, err := d.Manage(context.Background(), name)
	must(t, err)
	said(t, r.Done, "took imapd_002")
	said(t, r.Done, "verified the hand-made copies")
	said(t, r.Warnings, "imapd_003 differs from the source")
	st := d.waitFor("steady", func(st api.TargetStatus) bool { return st.State == api.Steady })
	end()
	s.holds(s.private("imapd_003.drifted"), "other")
	for _, c := range st.Copies {
		s.holds(filepath.Join(s.dir, c.Name), "1")
	}
	if lstat(t, s.pristine()).ID != linked {
		t.Error("the pristine is not the copy that was linked")
	}
	// What equals the source in all is a copy, and goes when it is one too many that no process runs.
	eventually(t, "the copy that is not asked for goes", func() bool { return lstat(t, s.copy(4)).ID.IsZero() })
	d.stop()
	d = s.start()
	d.waitFor("steady after a new start", func(st api.TargetStatus) bool { return st.State == api.Steady && len(st.Copies) == 3 })
}

// A taking over that fails half way goes on when it can, with the source that it had taken.
func TestHandMadePoolInterrupted(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		t.Run(map[bool]string{false: "tried again", true: "started anew"}[restarted], func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.handmade(2, "1", "1", "1")
			d := s.start()
			d.degraded("a hand-made pool")
			s.calls.on("clone: create", func(string) error { return unix.ENOSPC })
			end := execLoop(t, s.path)
			if _, err := d.Manage(context.Background(), name); !errors.Is(err, api.ErrRefused) {
				t.Errorf("manage with a full disk: %v", err)
			}
			if restarted {
				d.stop()
			}
			s.calls.on("clone: create", nil)
			if restarted {
				d = s.start()
			}
			d.steady("1")
			end()
		})
	}
}

// A cron job that goes on linking is undone, and told of.
func TestCronJobGoesOn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	end := execLoop(t, s.path)
	for times := range 2 {
		s.linkTo(3)
		d.waitFor("the status tells", func(st api.TargetStatus) bool {
			return st.State == api.Steady && strings.Contains(st.Reason, fmt.Sprintf("somebody linked path to imapd_003, %d times so far", times+1))
		})
	}
	end()
	d.steady("1")
	whole, err := d.Status(context.Background())
	must(t, err)
	said(t, []string{whole.LastError}, "somebody linked path")
	r, err := d.Restore(context.Background(), name, false)
	must(t, err)
	said(t, r.Warnings, "end that cron job")
	s.plain("1", 0)
}

// A link to somewhere else is an administrator's doing, and stays.
func TestLinkElsewhere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	must(t, os.Symlink("/bin/true", s.path))
	before := tree(t, s.dir)
	d := s.start()
	d.degraded("path is a symbolic link to /bin/true")
	if _, err := d.Manage(context.Background(), name); !errors.Is(err, api.ErrRefused) {
		t.Errorf("manage: %v", err)
	}
	unchanged(t, s.dir, before)
	must(t, os.Remove(s.path))
	s.install("1")
	d.steady("1")
}

// A newer file that comes in the moment of taking path back is not lost.
func TestUpgradeWhileReclaiming(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	build := s.file("2")
	newest := lstat(t, build).ID
	var calls atomic.Int32
	s.calls.on("reclaim: symlink", func(string) error {
		if calls.Add(1) == 1 {
			return os.Rename(build, s.path)
		}
		return nil
	})
	s.linkTo(2)
	d.steady("2")
	if lstat(t, s.pristine()).ID != newest {
		t.Error("the pristine is not the newer file")
	}
}
