package watch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/internal/faults"
)

// unable waits until the target is told of as one that does not execute, for that reason, everywhere.
func (d *daemon) unable(reason string) {
	d.s.t.Helper()
	d.degraded(reason)
	st := d.waitFor("it does not execute: "+reason, func(st api.TargetStatus) bool {
		return !st.Executes && strings.Contains(st.ExecutesReason, reason)
	})
	if !st.Unable() {
		d.s.t.Errorf("it is not shown as what nobody can execute: %+v", st)
	}
	eventually(d.s.t, "the journal has it", func() bool {
		for line := range strings.Lines(d.s.log.String()) {
			if strings.Contains(line, `"level":"error"`) && strings.Contains(line, "no service can start it") && strings.Contains(line, reason) {
				return true
			}
		}
		return false
	})
}

// able waits until all is well again.
func (d *daemon) able(version string) {
	d.s.t.Helper()
	d.waitFor("it executes", func(st api.TargetStatus) bool { return st.Executes && st.ExecutesReason == "" })
	d.steady(version)
}

// Whether an ordinary user can execute path is looked at, and what is in the way told; it is not steady
// meanwhile.
func TestExecutes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("left out, it needs root: what keeps others out and not oneself")
	}
	for _, way := range []struct {
		name, says string
		shut, open func(t *testing.T, s *site)
	}{
		{"the install directory is shut to others", "bin (mode 0700)",
			func(t *testing.T, s *site) { must(t, os.Chmod(s.dir, 0o700)) },
			func(t *testing.T, s *site) { must(t, os.Chmod(s.dir, 0o755)) }},
		{"the directory above it is shut to others", "001 (mode 0700)",
			func(t *testing.T, s *site) { must(t, os.Chmod(filepath.Dir(s.dir), 0o700)) },
			func(t *testing.T, s *site) { must(t, os.Chmod(filepath.Dir(s.dir), 0o755)) }},
		{"the private link is gone and cannot be made again", ".relinkd/imapd",
			func(t *testing.T, s *site) {
				s.calls.on("rotate: symlink", func(string) error { return unix.EIO })
				must(t, os.Remove(s.privateLink()))
			},
			func(_ *testing.T, s *site) { s.calls.on("rotate: symlink", nil) }},
	} {
		for _, publish := range ways {
			t.Run(way.name+"/"+string(publish), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, func(c *config.Target) { c.Publish = publish })
				s.install("1")
				d := s.start()
				d.able("1")
				way.shut(t, s)
				d.unable(way.says)
				way.open(t, s)
				d.able("1")
				if said := strings.Count(s.log.String(), "executes again"); said != 1 {
					t.Errorf("it is told %d times that it executes again", said)
				}
				d.stop()
				way.shut(t, s)
				s.start().degraded(way.says) // a new start sees it too
				way.open(t, s)
				faults.Record(t, faults.Row{What: "steady", Injected: way.name, Times: 3,
					Survived: "that nobody can execute path is told by the status, a metric and the journal, and so is its end"})
			})
		}
	}
}

// What is meant for all may leave the program to root alone: that is done, and told.
func TestExecutableByRootAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("left out, it needs root: what keeps others out and not oneself")
	}
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.able("1")
	must(t, os.Chmod(s.path, 0o700))
	d.unable("mode 0700")
	eventually(t, "all copies have the mode", func() bool { return lstat(t, s.copy(3)).Perm() == 0o700 })
	must(t, os.Chmod(s.path, 0o755))
	d.able("1")
}

// mountedWith binds the directory dir over itself with mount options, until the test ends.
func mountedWith(t *testing.T, dir string, flags uintptr) (remount func(flags uintptr)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("left out, it needs root: mounting")
	}
	must(t, unix.Mount(dir, dir, "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	remount = func(flags uintptr) { must(t, unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|flags, "")) }
	remount(flags)
	return remount
}

// msNosymfollow is MS_NOSYMFOLLOW of linux/mount.h.
const msNosymfollow = 0x100

// Where nothing can be executed, or no link followed, nothing is published; and where that becomes so later,
// it is told.
func TestMountOptions(t *testing.T) {
	for _, option := range []struct {
		name string
		flag uintptr
	}{{"noexec", unix.MS_NOEXEC}, {"nosymfollow", msNosymfollow}} {
		for _, publish := range ways {
			t.Run(option.name+"/"+string(publish), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, func(c *config.Target) { c.Publish = publish })
				remount := mountedWith(t, s.dir, option.flag)
				s.install("1")
				before := lstat(t, s.path)
				d := s.start()
				d.degraded(option.name)
				if now := lstat(t, s.path); now != before || len(s.names(s.dir)) > 2 {
					t.Errorf("published where it cannot be executed: %+v, %v", now, s.names(s.dir))
				}
				remount(0)
				d.able("1")
				remount(option.flag)
				d.unable(option.name)
				remount(0)
				d.able("1")
				faults.Record(t, faults.Row{What: "publish and steady", Injected: "a file system mounted " + option.name, Times: 3,
					Survived: "nothing is published there; where it is already, it is told that nobody can execute it"})
			})
		}
	}
}
