package watch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
)

// isMarked reports whether an operator's word that the target is released stands on the disk.
func (s *site) isMarked() bool {
	_, err := os.Lstat(filepath.Join(s.cfg.State.Dir, name+suffixReleased))
	return err == nil
}

// releasedSite is a site whose target is released, with its program at path, and the daemon.
func releasedSite(t *testing.T, publish config.Publish) (*site, *daemon) {
	t.Helper()
	s := newSite(t, func(c *config.Target) {
		c.Publish = publish
		c.Settle.Max = 300 * time.Millisecond
	})
	s.install("1")
	d := s.start()
	d.steady("1")
	_, err := d.Restore(t.Context(), name, true)
	must(t, err)
	return s, d
}

// stillReleased fails the test unless the target is as releasedSite has left it, also after a new start.
func (s *site) stillReleased(d *daemon, before map[string]string) {
	s.t.Helper()
	d.waitFor("released", func(st api.TargetStatus) bool { return st.State == api.Released })
	if !s.isMarked() {
		s.t.Error("the operator's word that it is released is lost")
	}
	unchanged(s.t, s.dir, before)
	d.stop()
	d = s.start()
	if st := d.target(); st.State != api.Released {
		s.t.Errorf("after a new start: %s, %s", st.State, st.Reason)
	}
	unchanged(s.t, s.dir, before)
}

// manage that is refused, for whatever there is to refuse at once or after a while, leaves a released target
// released, and nothing behind.
func TestManageRefusedLeavesAReleaseAlone(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		world func(s *site)
		fails fsys.Op
		errno unix.Errno
		why   string
	}{
		"being written": {world: func(s *site) {
			part := s.file("1") // the copying of it goes no further
			must(s.t, os.Truncate(part, 150))
			must(s.t, os.Rename(part, s.path))
		}, why: "cut short"},
		"a directory for everybody": {world: func(s *site) { must(s.t, os.Chmod(s.dir, 0o777)) }, why: "can be written by others"},
		"no private directory":      {fails: "prepare: make directory", errno: unix.EACCES, why: "permission denied"},
		"a full disk":               {fails: "clone: create", errno: unix.ENOSPC, why: "no space"},
		"names that cannot be had":  {fails: "commit: move", errno: unix.EIO, why: "input/output"},
		"a link that cannot be had": {fails: "rotate: rename", errno: unix.EIO, why: "input/output"},
		"no mark":                   {fails: "manage: unlink", errno: unix.EIO, why: "input/output"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s, d := releasedSite(t, config.PublishSymlink)
			if c.world != nil {
				c.world(s)
			}
			before := tree(t, s.dir)
			if c.fails != "" {
				s.calls.on(c.fails, func(string) error { return c.errno })
			}
			_, err := d.Manage(t.Context(), name)
			if err == nil || !strings.Contains(strings.ToLower(err.Error()), c.why) {
				t.Fatalf("manage: %v", err)
			}
			s.calls.on(c.fails, nil)
			before[filepath.Clean(s.dir)] = tree(t, s.dir)[filepath.Clean(s.dir)] // its times tell of what was tried
			s.stillReleased(d, before)
		})
	}
}

// A publish that fails leaves nothing in force, and all that was made goes.
func TestManageThatCannotPublishLeavesAReleaseAlone(t *testing.T) {
	t.Parallel()
	for publish, op := range map[config.Publish]fsys.Op{config.PublishSymlink: "publish: exchange", config.PublishLauncher: "publish: exchange", config.PublishNone: "rotate: rename"} {
		t.Run(string(publish), func(t *testing.T) {
			t.Parallel()
			s, d := releasedSite(t, publish)
			before := tree(t, s.dir)
			s.calls.on(op, func(string) error { return unix.EIO })
			if _, err := d.Manage(t.Context(), name); err == nil {
				t.Fatal("manage has not failed")
			}
			s.calls.on(op, nil)
			before[filepath.Clean(s.dir)] = tree(t, s.dir)[filepath.Clean(s.dir)]
			s.stillReleased(d, before)
		})
	}
}

// Who gives up waiting for manage has not managed, and a daemon that ends meanwhile has not either.
func TestManageGivenUpLeavesAReleaseAlone(t *testing.T) {
	t.Parallel()
	for _, stop := range []bool{false, true} {
		s, d := releasedSite(t, config.PublishSymlink)
		before := tree(t, s.dir)
		reached, free := s.calls.hold("clone: sync", "")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := d.Manage(ctx, name)
			done <- err
		}()
		<-reached
		ended := d.jobEnds()
		if stop {
			d.quit()
		} else {
			cancel()
		}
		<-ended
		free()
		err := <-done
		cancel()
		if err == nil || !stop && !errors.Is(err, context.Canceled) {
			t.Errorf("manage: %v", err)
		}
		if stop {
			d.stop()
			if d = s.start(); d.target().State != api.Released {
				t.Errorf("after the daemon's end: %s", d.target().State)
			}
			continue
		}
		eventually(t, "nothing of it is left", func() bool { return lstat(t, s.private("")).ID.IsZero() && d.target().State == api.Released })
		before[filepath.Clean(s.dir)] = tree(t, s.dir)[filepath.Clean(s.dir)]
		s.stillReleased(d, before)
	}
}

// A daemon that is stopped while it makes the first copies leaves no directory behind.
func TestStopLeavesNoEmptyDirectory(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	reached, free := s.calls.hold("clone: create", "")
	d := s.start()
	<-reached
	ended := d.jobEnds()
	d.quit()
	<-ended
	free()
	d.stop()
	s.onlyKnown()
	if !lstat(t, s.private("")).ID.IsZero() {
		t.Errorf("%s is left", s.private(""))
	}
}

// What is in force is managed, though something else is wrong with it; and manage ends a release for good.
func TestManageEndsARelease(t *testing.T) {
	t.Parallel()
	s, d := releasedSite(t, config.PublishSymlink)
	calls := 0
	s.calls.on("publish: sync", func(string) error {
		if calls++; calls == 1 { // ahead of the exchange
			return nil
		}
		return unix.EIO
	})
	r, err := d.Manage(t.Context(), name)
	must(t, err)
	said(t, r.Warnings, "input/output")
	s.calls.on("publish: sync", nil)
	if s.isMarked() {
		t.Error("it is marked as released, and is in force")
	}
	d.steady("1")
	d.stop()
	d = s.start()
	d.steady("1")
}

// A reclone that fails leaves a target that is as well as before.
func TestRecloneThatFailsIsOver(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	before := d.steady("1").Copies
	s.calls.on("clone: create", func(string) error { return unix.ENOSPC })
	if _, err := d.Reclone(t.Context(), name); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Fatalf("reclone: %v", err)
	}
	d.steady("1")
	for i, c := range d.target().Copies {
		if c.Inode != before[i].Inode {
			t.Errorf("%s was made anew", c.Name)
		}
	}
	s.calls.on("clone: create", nil)
	_, err := d.Reclone(t.Context(), name)
	must(t, err)
	d.steady("1")
}

// A restore that fails has put back even a pristine that somebody has written to, for which it made another.
func TestRestoreThatFailsPutsAChangedPristineBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	d.stop()
	command(t, "cp", s.file("x"), s.pristine())
	changed := lstat(t, s.pristine()).ID
	s.calls.on("restore: exchange", func(string) error { return unix.EIO })
	w := s.offline()
	if _, err := w.Restore(t.Context(), name, false); err == nil {
		t.Fatal("restore has not failed")
	}
	if lstat(t, s.pristine()).ID != changed || !lstat(t, s.private(name+".pristine.drifted")).ID.IsZero() {
		t.Errorf("the private directory holds %q", s.names(s.private("")))
	}
	if s.isMarked() {
		t.Error("it is released")
	}
	s.calls.on("restore: exchange", nil)
	_, err := w.Restore(t.Context(), name, false)
	must(t, err)
	s.holds(s.path, "1")
}

// Another program put in the pristine's place is kept and not taken for the packaged one, of which the copies are
// the last: by a daemon, by one that comes later, and by restore.
func TestAnotherProgramInThePristinesPlace(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"running", "started later", "started later, all touched", "restore"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.install("1")
			d := s.start()
			d.steady("1")
			if who != "running" {
				d.stop()
			}
			other := s.private("other")
			must(t, writeStandin(other, "theirs"))
			must(t, os.Rename(other, s.pristine()))
			if who == "started later, all touched" { // as by chown -R, or chattr
				for n := range 3 {
					must(t, os.Chmod(s.copy(n+1), 0o755))
				}
			}
			switch who {
			case "restore":
				_, err := s.offline().Restore(t.Context(), name, false)
				must(t, err)
				s.holds(s.path, "1")
			default:
				if strings.HasPrefix(who, "started") {
					d = s.start()
				}
				eventually(t, "it is kept", func() bool { return holdsVersion(s.private(name+".pristine.drifted"), "theirs") })
				d.steady("1")
				s.holds(s.pristine(), "1")
			}
			s.holds(s.private(name+".pristine.drifted"), "theirs")
		})
	}
}

// A copy of another generation than the one that the manifest names, as there is between the naming of copies and
// the publishing, is never taken for one of it without being read.
func TestManifestVouchesForOneGeneration(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	l, err := d.find(name)
	must(t, err)
	must(t, l.do(t.Context(), l.gone, func() {
		other := l.owned(2)
		other.SHA256 = "another"
		l.pool.Own(other)
		must(t, l.save())
		m, err := l.manifest()
		must(t, err)
		for n, vouched := range map[int]bool{1: true, 2: false} {
			if info := lstat(t, s.copy(n)); m.Copies[n].ID != info.ID || (m.Copies[n] == info) != vouched {
				t.Errorf("copy %d is %+v, and the manifest says %+v", n, info, m.Copies[n])
			}
		}
	}))
}

// What somebody has put in the pristine's place, and relinkd has not looked at yet, is not written down as a source
// of relinkd's own: the next start would make all copies of it.
func TestManifestNamesNoStrangersPristine(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	other := s.private("other")
	must(t, writeStandin(other, "theirs"))
	l, err := d.find(name)
	must(t, err)
	must(t, l.do(t.Context(), l.gone, func() {
		must(t, os.Rename(other, s.pristine()))
		must(t, l.save())
		m, err := l.manifest()
		must(t, err)
		if theirs := lstat(t, s.pristine()).ID; m.Previous == theirs {
			t.Errorf("the manifest says of inode %d, which somebody has put there, that it was in force", theirs.Ino)
		}
	}))
	d.steady("1")
}
