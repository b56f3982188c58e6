package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/internal/standin"
)

// identities is path's, the private link's and the copies'.
func (s *site) identities() (ids []fsys.ID) {
	for _, path := range []string{s.path, s.privateLink(), s.copy(1), s.copy(2), s.copy(3), s.pristine()} {
		ids = append(ids, lstat(s.t, path).ID)
	}
	return ids
}

// A new start changes nothing that is right.
func TestRestartAdopts(t *testing.T) {
	for _, without := range []string{"", "the manifest", "a manifest that can be read"} {
		for _, publish := range ways {
			t.Run(fmt.Sprintf("%s without %q", publish, without), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, func(c *config.Target) { c.Publish = publish })
				s.install("1")
				d := s.start()
				d.steady("1")
				_, err := d.Rotate(context.Background(), name, 2)
				must(t, err)
				since := d.target().Generation.Since
				before, clones := fmt.Sprint(s.identities()), s.calls.count("clone: create")
				d.stop()
				manifest := filepath.Join(s.cfg.State.Dir, name+".json")
				switch without {
				case "the manifest":
					must(t, os.Remove(manifest))
				case "a manifest that can be read":
					must(t, os.WriteFile(manifest, []byte("{"), 0o600))
				}
				d = s.start()
				st := d.steady("1")
				if after := fmt.Sprint(s.identities()); after != before || st.Current != "imapd_002" {
					t.Errorf("a new start has changed something:\nbefore %s\nafter  %s, current %s", before, after, st.Current)
				}
				if n := s.calls.count("clone: create"); n != clones {
					t.Errorf("a new start has cloned %d copies", n-clones)
				}
				if without == "" && !st.Generation.Since.Equal(since) {
					t.Errorf("the generation is since %s, was since %s", st.Generation.Since, since)
				}
			})
		}
	}
}

// What happens while no daemon runs is made up for at its start.
func TestUpgradeWhileStopped(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	d.stop()
	s.install("2")
	must(t, os.Remove(s.copy(2)))
	command(t, "cp", s.file("x"), s.copy(3))
	d = s.start()
	d.steady("2")
	s.holds(s.private("imapd_003.drifted"), "x")
}

// As long as the pristine is there, nothing is lost.
func TestAllGoneButThePristine(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	packaged := lstat(t, s.path).ID
	d := s.start()
	d.steady("1")
	d.stop()
	for _, path := range []string{s.path, s.copy(1), s.copy(2), s.copy(3), s.privateLink()} {
		must(t, os.Remove(path))
	}
	d = s.start()
	d.steady("1")
	if lstat(t, s.pristine()).ID != packaged {
		t.Error("the pristine is not the packaged file any more")
	}
	s.runs(s.path, "1")
}

// The linked copy is gone when a daemon starts: another one is led to at once, before anything is cloned or
// counted.
func TestRestartWithoutTheLinkedCopy(t *testing.T) {
	t.Parallel()
	for _, publish := range ways {
		t.Run(string(publish), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *config.Target) { c.Publish = publish })
			s.install("1")
			d := s.start()
			d.steady("1")
			d.stop()
			must(t, os.Remove(s.copy(1)))
			var leads atomic.Bool // when cloning begins
			s.calls.on("clone: create", func(string) error {
				_, err := os.Stat(s.privateLink())
				leads.Store(err == nil)
				return nil
			})
			d = s.start()
			d.steady("1")
			if !leads.Load() {
				t.Error("the private link leads nowhere while the copy is cloned")
			}
		})
	}
}

func TestRestartKeepsStaleProcesses(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	held := hold(t, s.path)
	s.install("2")
	d.steady("2")
	d.stop()
	d = s.start()
	d.waitFor("the process on a replaced copy is known", func(st api.TargetStatus) bool { return st.StaleProcesses == 1 })
	release(t, held)
	d.waitFor("and its end is seen", func(st api.TargetStatus) bool { return st.StaleProcesses == 0 })
}

func TestReleasedSurvivesRestart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	packaged := lstat(t, s.path).Ino
	d := s.start()
	d.steady("1")
	ctx := context.Background()
	_, err := d.Restore(ctx, name, false)
	must(t, err)
	s.plain("1", packaged)
	for range 2 {
		if st := d.target(); st.State != api.Released || st.Reason == "" {
			t.Errorf("after restore: %+v", st)
		}
		d.stop()
		d = s.start()
		s.install("1")
		s.plain("1", 0)
	}
	if _, err := d.Rotate(ctx, name, 0); !errors.Is(err, api.ErrRefused) {
		t.Errorf("rotate a released target: %v", err)
	}
	if _, err := d.Reclone(ctx, name); !errors.Is(err, api.ErrRefused) {
		t.Errorf("reclone a released target: %v", err)
	}
	r, err := d.Manage(ctx, name)
	must(t, err)
	said(t, r.Done, "leads to 3 copies")
	d.steady("1")
	d.stop()
	d = s.start()
	d.steady("1")
}

// dpkg unwinds a failed upgrade by renaming its backup, a link like ours, over path.
func TestUnwoundUpgrade(t *testing.T) {
	for _, publish := range waysOurs {
		t.Run(string(publish), func(t *testing.T) {
			t.Parallel()
			testUnwoundUpgrade(t, newSite(t, func(c *config.Target) { c.Publish = publish }))
		})
	}
}

func testUnwoundUpgrade(t *testing.T, s *site) {
	unlock := lockFile(t, filepath.Join(s.admin, "lock-frontend"))
	s.install("1")
	d := s.start()
	d.steady("1")
	first := lstat(t, s.pristine()).ID
	end := execLoop(t, s.path)
	s.backup(s.path + ".dpkg-tmp")
	s.install("2")
	d.waitFor("version 2 is in force", func(st api.TargetStatus) bool {
		return st.State == api.Steady && st.Generation.SHA256 == sha("2")
	})
	if lstat(t, s.previous()).ID != first {
		t.Error("the source before the upgrade is not kept")
	}
	d.stop() // it must be understood after a new start too
	must(t, os.Rename(s.path+".dpkg-tmp", s.path))
	d = s.start()
	d.steady("1")
	end()
	if lstat(t, s.pristine()).ID != first {
		t.Error("the pristine is not the source before the upgrade")
	}
	s.runs(s.path, "1")
	unlock()
	eventually(t, "the failed upgrade is forgotten", func() bool { return lstat(t, s.previous()).ID.IsZero() })
	d.steady("1")
}

// The backup of an upgrade that was never published comes back: what was in force stays, and is not
// taken for the upgrade before, which may still be taken back too.
func TestUnwoundBeforePublished(t *testing.T) {
	for _, publish := range waysOurs {
		t.Run(string(publish), func(t *testing.T) {
			t.Parallel()
			testUnwoundBeforePublished(t, newSite(t, func(c *config.Target) { c.Publish = publish }))
		})
	}
}

func testUnwoundBeforePublished(t *testing.T, s *site) {
	lockFile(t, filepath.Join(s.admin, "lock-frontend")) // the previous one stays
	s.install("1")
	d := s.start()
	d.steady("1")
	s.install("2")
	d.steady("2")
	d.stop()
	backup := s.path + ".dpkg-tmp"
	eventually(t, "the clock of files advances", func() bool {
		_ = os.Remove(backup) // of the round before
		s.backup(backup)
		return lstat(t, backup).Mtime > lstat(t, s.previous()).Ctime || s.cfg.Targets[0].Publish == config.PublishLauncher
	})
	s.install("3")
	must(t, os.Rename(backup, s.path))
	d = s.start()
	d.steady("2")
	s.holds(s.previous(), "1")
}

// A link at path that an earlier daemon put there, and did not come to write down, is no unwinding.
func TestCrashBeforeTheManifestIsSaved(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	lockFile(t, filepath.Join(s.admin, "lock-frontend")) // the previous one stays
	s.install("1")
	d := s.start()
	d.steady("1")
	s.calls.on("publish: keep pristine", func(string) error {
		s.calls.on("manifest: create", func(string) error { return unix.EIO })
		return nil
	})
	s.install("2")
	eventually(t, "version 2 is the pristine", func() bool {
		content, err := os.ReadFile(s.pristine())
		return err == nil && bytes.Equal(content, standin.ELF("2"))
	})
	d.stop()
	s.calls.on("publish: keep pristine", nil)
	s.calls.on("manifest: create", nil)
	d = s.start()
	d.steady("2")
	s.holds(s.previous(), "1")
}

// The same for a link that was put back at path while an upgrade could still be taken back.
func TestCrashAfterALinkIsPutBack(t *testing.T) {
	for _, way := range []struct {
		name     string
		make, op fsys.Op
		do       func(s *site)
		publish  config.Publish
	}{
		{"put back", "put back: symlink", "put back: rename", func(s *site) { must(s.t, os.Remove(s.path)) }, config.PublishSymlink},
		{"put back a launcher", "launcher: create", "put back: rename", func(s *site) { must(s.t, os.Remove(s.path)) }, config.PublishLauncher},
		{"reclaim", "reclaim: symlink", "reclaim: exchange", func(s *site) { s.linkTo(2) }, config.PublishSymlink},
		{"reclaim by a launcher", "launcher: create", "reclaim: exchange", func(s *site) { s.linkTo(2) }, config.PublishLauncher},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *config.Target) { c.Publish = way.publish })
			lockFile(t, filepath.Join(s.admin, "lock-frontend"))
			s.install("1")
			d := s.start()
			d.steady("1")
			s.install("2")
			d.steady("2")
			s.calls.on(way.make, func(string) error {
				for i := range 10 { // the inode number of the link that was there is taken
					if err := os.Symlink("nowhere", fmt.Sprint(s.private("holder"), i)); err != nil {
						t.Error(err)
					}
				}
				return nil
			})
			s.calls.on(way.op, func(string) error {
				s.calls.on("manifest: create", func(string) error { return unix.EIO })
				return nil
			})
			before := s.calls.count(way.op)
			way.do(s)
			eventually(t, "our link is at path again", func() bool {
				return s.calls.count(way.op) > before && s.published(way.publish)
			})
			d.stop()
			for i := range 10 {
				must(t, os.Remove(fmt.Sprint(s.private("holder"), i)))
			}
			s.calls.on(way.make, nil)
			s.calls.on(way.op, nil)
			s.calls.on("manifest: create", nil)
			if way.publish == config.PublishSymlink { // as if the clock had been set back since the upgrade
				past := unix.NsecToTimespec(time.Now().Add(-time.Hour).UnixNano())
				must(t, unix.UtimesNanoAt(unix.AT_FDCWD, s.path, []unix.Timespec{past, past}, unix.AT_SYMLINK_NOFOLLOW))
			}
			d = s.start()
			d.steady("2")
			s.holds(s.previous(), "1")
		})
	}
}

// While a package manager is at work its upgrade may be taken back.
func TestPreviousIsKeptWhileLocked(t *testing.T) {
	for _, lock := range []string{"lock-frontend", "lock", ".rpm.lock"} {
		t.Run(lock, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.install("1")
			d := s.start()
			d.steady("1")
			unlock := lockFile(t, filepath.Join(s.admin, lock))
			s.install("2")
			d.steady("2")
			s.waitCensuses(d, 5)
			s.holds(s.previous(), "1")
			unlock()
			eventually(t, "the previous one is dropped", func() bool { return lstat(t, s.previous()).ID.IsZero() })
		})
	}
}

// waitCensuses waits until n more censuses have been acted upon: each shows a process come or gone.
func (s *site) waitCensuses(d *daemon, n int) {
	s.t.Helper()
	before := d.target().Processes
	for range n {
		pid := hold(s.t, s.path)
		d.waitFor("a process is seen", func(st api.TargetStatus) bool { return st.Processes == before+1 })
		release(s.t, pid)
		d.waitFor("its end is seen", func(st api.TargetStatus) bool { return st.Processes == before })
	}
}

// A daemon that is killed leaves a path that executes, at every instant, and the next one finishes
// what it began.
func TestKilled(t *testing.T) {
	for _, publish := range ways {
		t.Run(string(publish), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *config.Target) { c.Publish = publish })
			s.install("0")
			d := s.start()
			d.steady("0")
			d.stop()
			s.retarget(func(c *config.Target) { c.Rotation, c.Interval = config.RotationInterval, 2*time.Millisecond })
			executed := s.path
			if publish == config.PublishNone {
				executed = s.privateLink()
			}
			seed := rand.Uint64()
			random := rand.New(rand.NewPCG(seed, 0))
			t.Logf("seed %d", seed)
			end := execLoop(t, executed)
			kills := 10
			if os.Getenv("LONG_TESTS") != "" {
				kills = 200
			}
			version := ""
			for i := range kills {
				ended := s.killed(1 + random.IntN(60))
				for n := 0; !ended(); n++ {
					if n == 100 {
						t.Fatalf("%d upgrades, and the daemon has not killed itself: path is %+v", n, lstat(t, s.path))
					}
					version = fmt.Sprintf("v%d.%d", i, n)
					s.install(version)
					within(time.Duration(random.IntN(300))*time.Millisecond, ended)
				}
			}
			s.retarget(func(c *config.Target) { c.Rotation = config.RotationAdaptive }) // nothing is in motion then
			d = s.start()
			d.steady(version)
			end()
			s.runs(executed, version)
		})
	}
}

// killed runs a daemon that kills itself at its nth changing call that is no rotation, and returns a
// function that tells whether it has.
func (s *site) killed(n int) (ended func() bool) {
	s.t.Helper()
	return s.process(fmt.Sprintf("%s=%d", killVariable, n))
}

// process runs a daemon in a process of its own, which has these variables, and returns a function that
// tells whether it has ended.
func (s *site) process(env ...string) (ended func() bool) {
	s.t.Helper()
	cfg, err := s.load()
	must(s.t, err)
	text, err := json.Marshal(cfg)
	must(s.t, err)
	env = append(env, configVariable+"="+string(text), adminVariable+"="+s.admin)
	r := ask(s.t, request{Op: "daemon", Args: env})
	if r.Error != "" {
		s.t.Fatal(r.Error)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		ask(s.t, request{Op: "wait", PID: r.PID})
	}()
	return func() bool {
		select {
		case <-gone:
			return true
		default:
			return false
		}
	}
}

func TestLocked(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	if w, err := New(s.cfg, s.options()); !errors.Is(err, ErrLocked) {
		t.Errorf("a second Watcher: %v, %v", w, err)
	}
	d.stop()
	s.start()
}

// Copies that the configuration no longer asks for go at a new start as they do at a reload; those that
// the pool has grown by stay.
func TestRestartFewerCopies(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *config.Target) { c.Copies, c.MaxCopies, c.Threshold, c.RotateAt = 2, 4, 2, 0.5 })
	s.install("1")
	d := s.start()
	d.steady("1")
	var held []int
	for n := 3; n <= 4; n++ {
		for len(d.target().Copies) < n {
			held = append(held, hold(t, s.path))
			d.waitFor("the process is seen", func(st api.TargetStatus) bool { return st.Processes == len(held) })
		}
	}
	d.stop()
	for _, pid := range held {
		release(t, pid)
	}
	d = s.start()
	if st := d.steady("1"); len(st.Copies) != 4 {
		t.Errorf("of the 4 copies that the pool has grown to, %d are left", len(st.Copies))
	}
	d.stop()
	s.retarget(func(c *config.Target) { c.Copies = 1 })
	d = s.start()
	d.waitFor("one copy is left", func(st api.TargetStatus) bool { return st.State == api.Steady && len(st.Copies) == 1 })
	if st := d.steady("1"); st.Current != "imapd_001" {
		t.Errorf("the link leads to %s", st.Current)
	}
}
