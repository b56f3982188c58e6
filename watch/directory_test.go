package watch

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/internal/standin"
	"relinkd/linker"
)

func TestDirectoryMissing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	must(t, os.Remove(s.dir))
	d := s.start()
	if st := d.target(); st.State != api.Absent || st.Reason == "" {
		t.Errorf("without a directory: %+v", st)
	}
	must(t, os.Mkdir(s.dir, 0o755))
	d.waitFor("the directory is there, with nothing in it", func(st api.TargetStatus) bool {
		return st.State == api.Absent && st.Reason == "nothing is installed at path"
	})
	s.install("1")
	d.steady("1")
}

func TestDirectoryMadeAgain(t *testing.T) {
	for _, way := range []struct {
		name string
		do   func(s *site)
	}{
		{"deleted", func(s *site) {
			// A daemon that puts something back meanwhile makes it fail, as it would rm -r.
			eventually(s.t, "the directory is deleted", func() bool { return os.RemoveAll(s.dir) == nil })
			must(s.t, os.Mkdir(s.dir, 0o755))
		}},
		{"renamed", func(s *site) {
			must(s.t, os.Rename(s.dir, s.dir+".old"))
			must(s.t, os.Mkdir(s.dir, 0o755))
		}},
		{"exchanged", func(s *site) {
			must(s.t, os.Mkdir(s.dir+".new", 0o755))
			must(s.t, unix.Renameat2(unix.AT_FDCWD, s.dir, unix.AT_FDCWD, s.dir+".new", unix.RENAME_EXCHANGE))
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.install("1")
			d := s.start()
			d.steady("1")
			way.do(s)
			d.waitFor("absent", func(st api.TargetStatus) bool { return st.State == api.Absent })
			s.install("2")
			d.steady("2")
			s.install("3") // the new directory is watched
			d.steady("3")
		})
	}
}

// Somebody who cleans up takes the private directory away: path leads nowhere until it is made again.
func TestPrivateDirectoryRemoved(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	eventually(t, "the private directory is deleted", func() bool { return os.RemoveAll(s.private("")) == nil })
	eventually(t, "path executes", func() bool { return ask(t, request{Op: "run", Args: []string{s.path}}).Error == "" })
	d.waitFor("the status tells", func(st api.TargetStatus) bool {
		return st.State == api.Steady && len(st.Copies) == 3 && strings.Contains(st.Reason, "the pristine was removed by somebody")
	})
	_, err := d.Restore(t.Context(), name, false)
	must(t, err)
	s.plain("1", 0)
}

func TestUnsafeDirectories(t *testing.T) {
	for _, unsafe := range []struct {
		name string
		make func(s *site)
		says string
	}{
		{"anybody may write to the directory", func(s *site) { must(s.t, os.Chmod(s.dir, 0o777)) }, "chmod go-w"},
		{"the private directory is a file", func(s *site) { must(s.t, os.WriteFile(s.dir+"/"+linker.PrivateDir, nil, 0o600)) }, "move it away"},
		{"the private directory is a link", func(s *site) { must(s.t, os.Symlink(s.t.TempDir(), s.dir+"/"+linker.PrivateDir)) }, "move it away"},
		{"anybody may write to the private directory", func(s *site) {
			must(s.t, os.Mkdir(s.dir+"/"+linker.PrivateDir, 0o755))
			must(s.t, os.Chmod(s.dir+"/"+linker.PrivateDir, 0o777))
		}, "chmod it to 0755"},
	} {
		t.Run(unsafe.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.install("1")
			unsafe.make(s)
			before := tree(t, s.dir)
			d := s.start()
			d.degraded(unsafe.says)
			unchanged(t, s.dir, before)
		})
	}
}

// A directory that was made anew below a sandboxed service is read-only for it, and only a new start
// of the service helps. That is asked for once.
func TestReadOnlyDirectory(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	s.calls.on("prepare: make directory", func(string) error { return unix.EROFS })
	d := s.launch()
	select {
	case <-d.ended:
		if !errors.Is(d.err, ErrRestart) {
			t.Errorf("Run: %v", d.err)
		}
	case <-time.After(deadline):
		t.Fatal("a new start is not asked for")
	}
	d.stop()
	d = s.start()
	d.degraded("read-only file system")
	s.calls.on("prepare: make directory", nil)
	s.install("1") // an event, instead of the wait that grows
	d.steady("1")
}

// Two targets in one directory share the private directory and nothing else.
func TestTwoTargets(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	pop3d := s.target("pop3d")
	s.configure(func(c *config.Config) { c.Targets = append(c.Targets, pop3d) })
	s.install("1")
	must(t, standin.Write(pop3d.Path, "pop"))
	d := s.start()
	both := func() {
		t.Helper()
		d.waitFor("imapd is steady", func(st api.TargetStatus) bool { return st.State == api.Steady })
		d.waitForTarget("pop3d", "pop3d is steady", func(st api.TargetStatus) bool { return st.State == api.Steady })
	}
	both()
	end := execLoop(t, pop3d.Path)
	r, err := d.Restore(t.Context(), name, false)
	must(t, err)
	if len(r.Warnings) != 0 {
		t.Errorf("warnings: %q", r.Warnings)
	}
	must(t, standin.Write(pop3d.Path, "pop 2"))
	d.waitForTarget("pop3d", "pop3d goes on", func(st api.TargetStatus) bool {
		return st.State == api.Steady && st.Generation.SHA256 == sha("pop 2")
	})
	s.holds(s.path, "1")
	if st := d.target(); st.State != api.Released {
		t.Errorf("imapd is %s", st.State)
	}
	// The other way round, and the private directory made anew between the two.
	_, err = d.Restore(t.Context(), "pop3d", false)
	must(t, err)
	end()
	if names := s.names(s.dir); len(names) != 2 {
		t.Errorf("left in the install directory: %v", names)
	}
	for _, target := range []string{"pop3d", name} {
		_, err := d.Manage(t.Context(), target)
		must(t, err)
	}
	both()
	s.install("2")
	must(t, standin.Write(pop3d.Path, "pop 3"))
	d.waitFor("both are upgraded", func(st api.TargetStatus) bool {
		return st.Generation.SHA256 == sha("2") && d.targetOf("pop3d").Generation.SHA256 == sha("pop 3")
	})
	both()
}
