package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/internal/standin"
)

// reload changes the configuration and has it read.
func (d *daemon) reload(edit func(*config.Config)) *api.Report {
	d.s.t.Helper()
	d.s.configure(edit)
	r, err := d.Reload(context.Background())
	must(d.s.t, err)
	return r
}

func (d *daemon) retarget(edit func(*config.Target)) *api.Report {
	d.s.t.Helper()
	return d.reload(func(c *config.Config) { edit(&c.Targets[0]) })
}

// Copies beyond the number that is asked for stay for as long as processes run them.
func TestReloadFewerCopies(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *config.Target) { c.Copies, c.MaxCopies = 5, 5 })
	s.install("1")
	d := s.start()
	d.steady("1")
	_, err := d.Rotate(t.Context(), name, 4)
	must(t, err)
	held := hold(t, s.path)
	d.waitFor("the process is seen", func(st api.TargetStatus) bool { return st.Processes == 1 })
	end := execLoop(t, s.path)
	r := d.retarget(func(c *config.Target) { c.Copies, c.MaxCopies = 2, 2 })
	said(t, r.Done, "changed imapd")
	d.waitFor("copies 3 and 5 are removed, copy 4 is left", func(st api.TargetStatus) bool {
		return len(st.Copies) == 3 && st.Copies[2].Number == 4 && st.Current != "imapd_004"
	})
	if lstat(t, s.copy(4)).ID.IsZero() || !lstat(t, s.copy(3)).ID.IsZero() || !lstat(t, s.copy(5)).ID.IsZero() {
		t.Errorf("in the install directory: %v", s.names(s.dir))
	}
	release(t, held)
	d.waitFor("copy 4 is removed", func(st api.TargetStatus) bool { return len(st.Copies) == 2 })
	end()
	d.steady("1")
	d.stop()
	d = s.start()
	d.steady("1")
}

// A grown pool shrinks to what it may be.
func TestReloadLowerMaximum(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *config.Target) { c.Copies, c.MaxCopies, c.Threshold, c.RotateAt = 1, 3, 2, 0.5 })
	s.install("1")
	d := s.start()
	d.steady("1")
	var pids []int
	for range 2 {
		pids = append(pids, hold(t, s.path))
		d.waitFor("the process is counted, and the next one has a copy of its own", func(st api.TargetStatus) bool {
			return st.Processes == len(pids) && shownCopy(t, &st).Processes == 0
		})
	}
	if st := d.target(); len(st.Copies) != 3 {
		t.Fatalf("the pool has grown to %+v", st.Copies)
	}
	for _, pid := range pids {
		release(t, pid)
	}
	d.retarget(func(c *config.Target) { c.MaxCopies = 2 })
	d.waitFor("two copies are left", func(st api.TargetStatus) bool { return st.State == api.Steady && len(st.Copies) == 2 })
	d.steady("1")
}

func TestReloadMoreCopies(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	before := d.steady("1").Copies
	d.retarget(func(c *config.Target) { c.Copies, c.MaxCopies = 6, 6 })
	d.waitFor("there are more", func(st api.TargetStatus) bool { return len(st.Copies) == 6 })
	after := d.steady("1").Copies
	if !slices.Equal(after[:3], before) {
		t.Errorf("the copies that were there have changed: %+v, now %+v", before, after)
	}
}

func TestReloadRemovesAndAddsTargets(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	packaged := lstat(t, s.path).Ino
	d := s.start()
	d.steady("1")
	imapd := s.target(name)
	r := d.reload(func(c *config.Config) { c.Targets = nil })
	said(t, r.Done, "restored "+s.path)
	said(t, r.Done, "removed imapd")
	s.plain("1", packaged)
	if st, err := d.Status(t.Context()); err != nil || len(st.Targets) != 0 {
		t.Errorf("status: %+v, %v", st, err)
	}
	if _, err := d.Rotate(t.Context(), name, 0); !errors.Is(err, api.ErrNoTarget) {
		t.Errorf("rotate a target that is gone: %v", err)
	}
	// Nobody released it: it is managed again when it is named again.
	r = d.reload(func(c *config.Config) { c.Targets = []config.Target{imapd} })
	said(t, r.Done, "added imapd")
	d.steady("1")
}

// From each way of publishing to each other one, while path is executed all the time. Between a symbolic
// link and a launcher it is one exchange.
func TestReloadChangesPublish(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	packaged := lstat(t, s.path).Ino
	d := s.start()
	d.steady("1")
	end := execLoop(t, s.path)
	const symlink, launcher, none = config.PublishSymlink, config.PublishLauncher, config.PublishNone
	before := symlink
	for _, publish := range []config.Publish{launcher, symlink, none, launcher, none, symlink} {
		copies, restores := fmt.Sprint(s.identities()[1:5]), s.calls.count("restore: exchange")
		d.retarget(func(c *config.Target) { c.Publish = publish })
		st := d.waitFor(string(publish), func(st api.TargetStatus) bool {
			return st.State == api.Steady && st.Publish == string(publish) && (publish == none || s.published(publish))
		})
		d.steady("1")
		at := s.pristine()
		if publish == none {
			at = s.path
		}
		if lstat(t, at).Ino != packaged || st.Publish != string(publish) {
			t.Errorf("publish is %s, the packaged file is not %s", st.Publish, at)
		}
		if before != none && publish != none {
			if after := fmt.Sprint(s.identities()[1:5]); after != copies || s.calls.count("restore: exchange") != restores {
				t.Errorf("from %s to %s: the link or copies are others, or path was restored", before, publish)
			}
		}
		before = publish
	}
	end()
	r, err := d.Restore(t.Context(), name, false)
	must(t, err)
	s.plain("1", packaged)
	said(t, r.Done, "restored")
}

// To leave path alone the private link need not be gone for an instant: cyrus.conf may name it already.
func TestReloadToSidecarKeepsThePrivateLink(t *testing.T) {
	for _, from := range waysOurs {
		t.Run(string(from), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *config.Target) { c.Publish = from })
			s.install("1")
			packaged := lstat(t, s.path).Ino
			d := s.start()
			d.steady("1")
			copies := fmt.Sprint(s.identities()[2:5])
			unlinked := make(chan string, 100)
			s.calls.onAll(func(op fsys.Op, path string) error {
				if _, err := os.Stat(s.privateLink()); err != nil {
					unlinked <- string(op)
				}
				return nil
			})
			end := execLoop(t, s.privateLink())
			r := d.retarget(func(c *config.Target) { c.Publish = config.PublishNone })
			said(t, r.Done, "restored "+s.path)
			d.waitFor("a sidecar", func(st api.TargetStatus) bool { return st.State == api.Steady && st.Publish == "none" })
			d.steady("1")
			end()
			s.calls.onAll(nil)
			close(unlinked)
			for op := range unlinked {
				t.Errorf("the private link leads nowhere ahead of %q", op)
			}
			if after := fmt.Sprint(s.identities()[2:5]); after != copies {
				t.Errorf("the copies are others: %s, and were %s", after, copies)
			}
			if lstat(t, s.path).Ino != packaged {
				t.Error("path is not the packaged file")
			}
		})
	}
}

func TestReloadChangesPath(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	packaged := lstat(t, s.path).Ino
	d := s.start()
	d.steady("1")
	other := newSite(t) // for its directory
	other.install("2")
	r := d.retarget(func(c *config.Target) { c.Path = other.path })
	said(t, r.Done, "restored "+s.path)
	s.plain("1", packaged)
	st := d.waitFor("the other path is managed", func(st api.TargetStatus) bool { return st.State == api.Steady && st.Path == other.path })
	other.inForce("2", st.Copies...)
}

// A bad configuration changes nothing, and shows until a good one is read.
func TestReloadBadConfiguration(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	s.waitCensuses(d, 1)
	eventually(t, "the previous one is dropped", func() bool { return lstat(t, s.previous()).ID.IsZero() })
	before := tree(t, s.dir)
	s.mu.Lock()
	s.cfgErr = errors.New("relinkd.toml:3: no such key")
	s.mu.Unlock()
	if _, err := d.Reload(t.Context()); !errors.Is(err, api.ErrRefused) {
		t.Errorf("reload: %v", err)
	}
	st, err := d.Status(t.Context())
	must(t, err)
	if st.ConfigError != "relinkd.toml:3: no such key" || len(st.Targets) != 1 || st.Targets[0].State != api.Steady {
		t.Errorf("status: %+v", st)
	}
	unchanged(t, s.dir, before)
	d.reload(func(*config.Config) {})
	if st, err = d.Status(t.Context()); err != nil || st.ConfigError != "" {
		t.Errorf("status after a good configuration: %+v, %v", st, err)
	}
}

// Where one of several targets cannot be restored, nothing has changed for any.
func TestReloadFailsHalfWay(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	pop3d := s.target("pop3d")
	s.configure(func(c *config.Config) { c.Targets = append(c.Targets, pop3d) })
	s.install("1")
	must(t, standin.Write(pop3d.Path, "pop"))
	d := s.start()
	d.waitFor("imapd is steady", func(st api.TargetStatus) bool { return st.State == api.Steady })
	d.waitForTarget("pop3d", "pop3d is steady", func(st api.TargetStatus) bool { return st.State == api.Steady })
	var restores atomic.Int32
	s.calls.on("restore: exchange", func(string) error {
		if restores.Add(1) == 2 {
			return unix.EIO
		}
		return nil
	})
	s.configure(func(c *config.Config) {
		for i := range c.Targets {
			c.Targets[i].Publish = config.PublishNone
		}
	})
	if _, err := d.Reload(t.Context()); err == nil {
		t.Error("reload has succeeded")
	}
	st, err := d.Status(t.Context())
	must(t, err)
	if st.ConfigError == "" {
		t.Error("the status does not tell")
	}
	for _, target := range []string{name, "pop3d"} {
		d.waitForTarget(target, target+" is as before", func(st api.TargetStatus) bool { return st.State == api.Steady && st.Publish == "symlink" })
	}
	r, err := d.Reload(t.Context())
	must(t, err)
	said(t, r.Done, "changed pop3d")
	for _, target := range []string{name, "pop3d"} {
		d.waitForTarget(target, target+" is a sidecar", func(st api.TargetStatus) bool { return st.State == api.Steady && st.Publish == "none" })
	}
}

// What only a new start changes is said.
func TestReloadNeedsRestart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	r := d.reload(func(c *config.Config) {
		c.State.Dir = filepath.Join(t.TempDir(), "elsewhere")
		c.Census.Verify = time.Minute
	})
	said(t, r.Warnings, "state.dir: needs a restart")
	d.steady("1")
}

// A copy that is no longer wanted is not removed before a process that has looked its path up while the
// link still led there has had its time to execute it.
func TestUnwantedCopyStaysForAMoment(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *config.Target) { c.Copies, c.MaxCopies = 3, 3 })
	s.install("1")
	d := s.start()
	d.steady("1")
	_, err := d.Rotate(t.Context(), name, 3)
	must(t, err)
	var left, removed atomic.Int64 // since began
	began := time.Now()
	s.calls.on("rotate: rename", func(string) error {
		left.CompareAndSwap(0, int64(time.Since(began)))
		return nil
	})
	s.calls.on("remove: copy", func(path string) error {
		if path == s.copy(3) {
			removed.CompareAndSwap(0, int64(time.Since(began)))
		}
		return nil
	})
	end := execLoop(t, s.path) // so that the counts are looked at all the time
	d.retarget(func(c *config.Target) { c.Copies, c.MaxCopies = 2, 2 })
	eventually(t, "copy 3 is removed", func() bool { return lstat(t, s.copy(3)).ID.IsZero() })
	end()
	if stayed := time.Duration(removed.Load() - left.Load()); left.Load() == 0 || stayed < execGrace {
		t.Errorf("the copy was removed %v after the link had left it, want %v at least", stayed, execGrace)
	}
}
