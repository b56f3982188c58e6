package watch

import (
	"context"
	"os"
	"testing"

	"relinkd/api"
	"relinkd/internal/standin"
	"relinkd/linker"
	"relinkd/pool"
)

// With publish = "none" path is the package manager's alone.
func TestSidecarLeavesPathAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t, sidecar)
	s.install("1")
	packaged := lstat(t, s.path)
	d := s.start()
	d.steady("1")
	s.runs(s.privateLink(), "1")
	s.runs(s.path, "1")
	ctx := context.Background()
	for _, err := range []error{
		second(d.Rotate(ctx, name, 3)),
		second(d.Reclone(ctx, name)),
		second(d.Verify(ctx, name)),
	} {
		must(t, err)
	}
	d.steady("1")
	if got := lstat(t, s.path); got != packaged {
		t.Errorf("path was touched: it was %+v, is %+v", packaged, got)
	}
}

func second[T any](_ T, err error) error { return err }

// While the copies of a new version are made, new processes run the packaged file: none may start from
// the old one.
func TestSidecarUpgrade(t *testing.T) {
	t.Parallel()
	s := newSite(t, sidecar)
	s.install("1")
	d := s.start()
	d.steady("1")
	end := execLoop(t, s.privateLink())
	cloning, goOn := make(chan struct{}, 16), make(chan struct{})
	s.calls.on("clone: sync", func(string) error {
		cloning <- struct{}{}
		<-goOn
		return nil
	})
	s.install("2")
	<-cloning
	st := d.waitFor("bypassed", func(st api.TargetStatus) bool { return st.State == api.Bypassed })
	if st.Current != "" || linkText(t, s.privateLink()) != "../"+name {
		t.Errorf("bypassed: current %q, the private link says %q", st.Current, linkText(t, s.privateLink()))
	}
	pid := hold(t, s.privateLink())
	s.runs(s.privateLink(), "2")
	d.waitFor("the process on the packaged file is seen", func(st api.TargetStatus) bool { return st.SourceProcesses == 1 })
	close(goOn)
	d.steady("2")
	end()
	release(t, pid)
}

// cyrus.conf names the private link: a restore leaves it, leading to the packaged file, until the
// operator says that it is not named any more.
func TestSidecarRestore(t *testing.T) {
	t.Parallel()
	s := newSite(t, sidecar)
	s.install("1")
	packaged := lstat(t, s.path)
	d := s.start()
	d.steady("1")
	end := execLoop(t, s.privateLink())
	ctx := context.Background()
	r, err := d.Restore(ctx, name, false)
	must(t, err)
	said(t, r.Done, "removed 3 copies")
	said(t, r.Warnings, "relinkd restore imapd --force")
	if text := linkText(t, s.privateLink()); text != "../"+name {
		t.Errorf("the private link says %q", text)
	}
	if names := s.names(s.dir); len(names) != 2 {
		t.Errorf("left in the install directory: %v", names)
	}
	s.install("2") // an upgrade goes by relinkd now
	s.runs(s.privateLink(), "2")
	end()
	_, err = d.Manage(ctx, name)
	must(t, err)
	d.steady("2")
	if _, err = d.Restore(ctx, name, true); err != nil {
		t.Error(err)
	}
	s.plain("2", 0)
	if got := lstat(t, s.path); got.ID == packaged.ID || got.Nlink != 1 {
		t.Errorf("path is %+v", got)
	}
	d.stop()
	w := s.offline()
	r, err = w.Restore(ctx, name, true)
	must(t, err)
	said(t, r.Done, "nothing to restore")
}

// A copy cannot stand in for a packaged file that is gone: nothing tells whether it was meant to go.
func TestSidecarPathRemoved(t *testing.T) {
	t.Parallel()
	s := newSite(t, sidecar)
	s.install("1")
	d := s.start()
	d.steady("1")
	must(t, os.Remove(s.path))
	d.degraded("path is gone; the copies go on")
	s.runs(s.privateLink(), "1")
	s.install("1")
	d.steady("1")
}

// A target that was published before is given its file back first.
func TestSidecarOfPublished(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	packaged := lstat(t, s.path).Ino
	d := s.start()
	d.steady("1")
	d.stop()
	s.retarget(sidecar)
	d = s.start()
	d.steady("1")
	if got := lstat(t, s.path).Ino; got != packaged {
		t.Errorf("path has inode %d, want the packaged file's %d", got, packaged)
	}
	if names := s.names(s.private("")); len(names) != 1 || names[0] != name {
		t.Errorf("in %s: %v", linker.PrivateDir, names)
	}
}

// A rotation does not wait for the disk, also where the private link itself is what is executed.
func TestSidecarRotatesWithoutSync(t *testing.T) {
	t.Parallel()
	s := newSite(t, sidecar)
	s.install("1")
	d := s.start()
	d.steady("1")
	before := s.calls.count("point: sync")
	if before == 0 {
		t.Error("the private link was not made durable")
	}
	for _, to := range []int{2, 3, 1} {
		_, err := d.Rotate(t.Context(), name, to)
		must(t, err)
	}
	if n := s.calls.count("point: sync"); n != before {
		t.Errorf("%d rotations have waited for the disk", n-before)
	}
}

// A link of somebody's that leads to the copies does not make a wrapper of the packaged file: the copies are of it.
func TestSidecarRestoresBesideAForeignLink(t *testing.T) {
	t.Parallel()
	s := newSite(t, sidecar)
	s.install("1")
	d := s.start()
	copies := d.steady("1").Copies
	must(t, os.Symlink(s.privateLink(), s.copy(len(copies)+1)))
	if r, err := d.Restore(t.Context(), name, true); err != nil {
		t.Errorf("restore: %v, %+v", err, r)
	}
	s.holds(s.path, "1")
	for _, c := range copies {
		if !lstat(t, s.copy(c.Number)).ID.IsZero() {
			t.Errorf("%s is left", c.Name)
		}
	}
}

// What somebody has put where other ways of publishing keep the packaged file is not what was in force: a restore
// that needs a program has a copy.
func TestSidecarDoesNotTrustAPristine(t *testing.T) {
	t.Parallel()
	s := newSite(t, sidecar)
	s.install("1")
	d := s.start()
	d.steady("1")
	must(t, standin.Write(s.pristine(), "2"))
	s.install("3")
	d.steady("3")
	must(t, os.Remove(s.path))
	must(t, os.Symlink(pool.CopyName(name, 1), s.path))
	if _, err := d.Restore(t.Context(), name, true); err != nil {
		t.Errorf("restore: %v", err)
	}
	s.holds(s.path, "3")
}
