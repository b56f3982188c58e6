package watch

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/internal/faults"
	"relinkd/pool"
)

// leaver is a site whose target is managed, and another configuration, read at the next start, that does not
// name it at that path.
func leaver(t *testing.T, publish config.Publish, change func(*config.Target)) (s *site, packaged uint64) {
	t.Helper()
	s = newSite(t, func(c *config.Target) { c.Publish = publish })
	s.install("1")
	packaged = lstat(t, s.path).Ino
	d := s.start()
	d.steady("1")
	d.stop()
	cfg := *s.cfg
	cfg.Targets = []config.Target{s.cfg.Targets[0]}
	change(&cfg.Targets[0])
	s.cfg = &cfg
	return s, packaged
}

// leavings is how a target leaves its path.
func leavings(s string) map[string]func(*config.Target) {
	return map[string]func(*config.Target){
		"removed":   func(c *config.Target) { c.Name, c.Path = "pop3d", filepath.Join(s, "pop3d") },
		"re-pathed": func(c *config.Target) { c.Path = filepath.Join(s, "pop3d") },
	}
}

// TestLeftWhileStopped: a target that left the configuration while no daemon ran is told of by every verb
// without a daemon, and restored by the next daemon as a reload would, or by restore.
func TestLeftWhileStopped(t *testing.T) {
	t.Run("all", leftWhileStopped) // which waits for them
	faults.Record(t, faults.Row{
		What:     "steady",
		Injected: "the target removed from the configuration, or given another path, while no daemon runs",
		Times:    8,
		Survived: "every verb tells of it, and the next daemon or restore puts the packaged file back",
	})
}

func leftWhileStopped(t *testing.T) {
	for _, publish := range waysOurs {
		for way := range leavings("") {
			for _, daemon := range []bool{true, false} {
				t.Run(way+", "+string(publish)+map[bool]string{true: ", by the daemon", false: ", by restore"}[daemon], func(t *testing.T) {
					t.Parallel()
					dir := t.TempDir()
					must(t, os.Chmod(dir, 0o755))
					s, packaged := leaver(t, publish, leavings(dir)[way])
					left, err := Left(s.cfg)
					if err != nil || len(left) != 1 || left[0].Path != s.path {
						t.Fatalf("left: %+v, %v", left, err)
					}
					w := s.offline()
					ctx := context.Background()
					st, err := w.Status(ctx)
					must(t, err)
					if len(st.Targets) != 2 || st.Targets[1].Name != left[0].Name || !strings.Contains(st.Targets[1].Reason, s.path) {
						t.Errorf("status: %+v", st.Targets)
					}
					p, err := w.Plan(ctx)
					if err != nil || len(p.Targets) != 2 || len(p.Targets[1].Steps) != 1 || !strings.Contains(p.Targets[1].Steps[0], s.path) {
						t.Errorf("plan: %+v, %v", p, err)
					}
					if _, err := w.Rotate(ctx, left[0].Name, 0); err == nil {
						t.Error("it can be rotated")
					}
					if !daemon {
						r, err := w.Restore(ctx, left[0].Name, false)
						must(t, err)
						said(t, r.Done, "restored "+s.path)
					}
					must(t, w.Close())
					if daemon {
						d := s.start()
						eventually(t, "it is restored", func() bool {
							st, err := d.Status(ctx)
							return err == nil && len(st.Targets) == 1
						})
						d.stop()
					}
					s.plain("1", packaged)
					if left, err := Left(s.cfg); err != nil || len(left) != 0 {
						t.Errorf("it is left still: %+v, %v", left, err)
					}
				})
			}
		}
	}
}

// TestLeftCannotBeRestored: it is told of until it can be, and does not keep the one that has its name now
// from its work.
func TestLeftCannotBeRestored(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EPERM, unix.EBUSY} { // an attribute, a mount point
		t.Run(errno.Error(), func(t *testing.T) { leftCannotBeRestored(t, errno) })
	}
}

func leftCannotBeRestored(t *testing.T, errno unix.Errno) {
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	s, packaged := leaver(t, config.PublishSymlink, leavings(dir)["re-pathed"])
	s.calls.on("restore: exchange", func(string) error { return errno })
	d := s.start()
	left := s.cfg.Targets[0].Name + leftMark
	find := func() *api.TargetStatus {
		st, err := d.Status(t.Context())
		must(t, err)
		for i := range st.Targets {
			if strings.HasPrefix(st.Targets[i].Name, left) {
				return &st.Targets[i]
			}
		}
		return nil
	}
	eventually(t, "its restoring fails", func() bool {
		f := find()
		return f != nil && f.State == api.Degraded && strings.Contains(f.Reason, s.path) && strings.Contains(f.Reason, "lsattr") && strings.Contains(f.Reason, "findmnt")
	})
	s.runs(s.path, "1")
	s.calls.on("restore: exchange", nil)
	if f := find(); f != nil { // else the daemon has tried again by itself
		if _, err := d.Restore(t.Context(), f.Name, false); err != nil && find() != nil {
			t.Error(err)
		}
	}
	eventually(t, "it is restored", func() bool { return lstat(t, s.path).IsRegular() })
	s.plain("1", packaged)
	eventually(t, "it is no longer told of", func() bool { return find() == nil })
}

// TestRenamedWhileStopped: a target that has another name at the same path is the same one.
func TestRenamedWhileStopped(t *testing.T) {
	s, _ := leaver(t, config.PublishSymlink, func(c *config.Target) { c.Name = "imap" })
	before := lstat(t, s.copy(1)).ID
	if left, err := Left(s.cfg); err != nil || len(left) != 0 {
		t.Errorf("left: %+v, %v", left, err)
	}
	d := s.start()
	eventually(t, "it is managed", func() bool {
		st, err := d.Status(t.Context())
		return err == nil && len(st.Targets) == 1 && st.Targets[0].State == api.Steady
	})
	if lstat(t, s.copy(1)).ID != before {
		t.Error("its copies were made again")
	}
	if names, err := pool.ManifestTargets(d.state); err != nil || !slices.Equal(names, []string{"imap"}) {
		t.Errorf("the state directory knows %q (%v)", names, err)
	}
	if (before == fsys.ID{}) {
		t.Error("there were none")
	}
}

// TestLeftIsNamedAgain: a target that could not be restored, and that the configuration names again, is managed as
// it was.
func TestLeftIsNamedAgain(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	for way, leave := range leavings(dir) {
		t.Run(way, func(t *testing.T) {
			s, _ := leaver(t, config.PublishSymlink, leave)
			s.calls.on("restore: exchange", func(string) error { return unix.EPERM })
			before := lstat(t, s.copy(1)).ID
			d := s.start()
			eventually(t, "its restoring fails", func() bool { return s.calls.count("restore: exchange") > 0 })
			d.reload(func(c *config.Config) { c.Targets = []config.Target{s.target(name)} })
			s.calls.on("restore: exchange", nil)
			d.steady("1")
			if st, err := d.Status(t.Context()); err != nil || len(st.Targets) != 1 {
				t.Errorf("status: %+v, %v", st, err)
			}
			if lstat(t, s.copy(1)).ID != before {
				t.Error("its copies were made again")
			}
			s.install("2")
			d.steady("2")
		})
	}
}
