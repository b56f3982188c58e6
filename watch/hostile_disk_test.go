package watch

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/internal/faults"
	"relinkd/internal/fstest"
	"relinkd/internal/standin"
)

// heavySize is the size of an executable of which a few fill a small disk.
const heavySize = 1 << 20

// prepareHeavy writes a version beside path, as dpkg does before it takes path's name. The returned
// function gives it the name.
func (s *site) prepareHeavy(version string) (install func()) {
	s.t.Helper()
	must(s.t, os.WriteFile(s.path+".dpkg-new", standin.ELFSize(version, heavySize), 0o755))
	must(s.t, os.Chmod(s.path+".dpkg-new", 0o755))
	return func() { must(s.t, os.Rename(s.path+".dpkg-new", s.path)) }
}

// steadyHeavy waits until a version of heavySize is in force and nothing is wrong.
func (d *daemon) steadyHeavy(version string) api.TargetStatus {
	d.s.t.Helper()
	want := standin.ELFSize(version, heavySize)
	return d.waitFor("steady with the heavy "+version, func(st api.TargetStatus) bool {
		if st.State != api.Steady || len(st.Copies) != 3 {
			return false
		}
		for _, c := range st.Copies {
			content, err := os.ReadFile(filepath.Join(d.s.dir, c.Name))
			if err != nil || string(content) != string(want) {
				return false
			}
		}
		return true
	})
}

// A disk or a quota that fills up while the copies of an upgrade are made: the new version runs as it was
// packaged, the copies of the old one stay, and when there is room again the copies are made.
func TestNoRoomForAnUpgrade(t *testing.T) {
	for _, full := range []struct {
		name, injected, says string
		make                 func(t *testing.T) (*fstest.Disk, func() (free func()))
	}{
		{"full", "a real ext4 that fills up", "make room on the file system of", func(t *testing.T) (*fstest.Disk, func() func()) {
			d := fstest.Ext4(t, 16<<20)
			return d, func() func() { return d.Fill(t) }
		}},
		{"quota", "the quota of a real btrfs used up", "raise the quota", func(t *testing.T) (*fstest.Disk, func() func()) {
			d := fstest.Quota(t, 64<<20)
			return d, func() func() {
				d.Limit(t, 1)
				return func() { d.Limit(t, 64<<20) }
			}
		}},
		{"inodes", "no inode left on a real ext4", "inodes are free", func(t *testing.T) (*fstest.Disk, func() func()) {
			d := fstest.Ext4(t, 16<<20, "-N", "64")
			return d, func() func() { return d.FillInodes(t) }
		}},
	} {
		t.Run(full.name, func(t *testing.T) {
			t.Parallel()
			disk, fill := full.make(t)
			s := newSiteIn(t, filepath.Join(disk.Dir, "site"))
			s.prepareHeavy("1")()
			d := s.start()
			d.steadyHeavy("1")
			install := s.prepareHeavy("2")
			end := execLoop(t, s.path)
			var once sync.Once
			var free func()
			s.calls.on("clone: create", func(string) error {
				once.Do(func() { free = fill() })
				return nil
			})
			install()
			d.degraded(full.says)
			s.onlyKnown()
			if content, err := os.ReadFile(s.path); err != nil || string(content) != string(standin.ELFSize("2", heavySize)) {
				t.Errorf("path does not hold the new version (%v)", err)
			}
			free()
			d.steadyHeavy("2")
			end()
			s.onlyKnown()
			faults.Record(t, faults.Row{What: "upgrade", Injected: full.injected, Times: 1,
				Survived: "path executes the new version throughout, nothing half made is left, the copies are made when there is room"})
		})
	}
}

// A full disk keeps nobody from rotating, and one without inodes only for as long as that lasts.
func TestRotateWithoutRoom(t *testing.T) {
	t.Parallel()
	disk := fstest.Ext4(t, 8<<20, "-N", "64")
	s := newSiteIn(t, filepath.Join(disk.Dir, "site"))
	s.install("1")
	d := s.start()
	d.steady("1")
	end := execLoop(t, s.path)
	free := disk.Fill(t)
	_, err := d.Rotate(t.Context(), name, 2)
	must(t, err)
	free()
	free = disk.FillInodes(t)
	if _, err := d.Rotate(t.Context(), name, 3); err == nil || !strings.Contains(err.Error(), "0 inodes are free") {
		t.Errorf("rotate without an inode: %v", err)
	}
	free()
	d.steady("1")
	_, err = d.Rotate(t.Context(), name, 3)
	must(t, err)
	end()
	faults.Record(t, faults.Row{What: "rotation", Injected: "no space and no inode left on a real ext4", Times: 2,
		Survived: "path executes, the link moves again when there is an inode"})
}

// A file system that is remounted read-only keeps the link where it is.
func TestReadOnlyRemount(t *testing.T) {
	t.Parallel()
	disk := fstest.Ext4(t, 8<<20)
	s := newSiteIn(t, filepath.Join(disk.Dir, "site"))
	s.configure(func(c *config.Config) { c.State.Dir = t.TempDir() }) // in which the lock is open for writing
	s.retarget(func(c *config.Target) { c.Threshold, c.RotateAt = 4, 0.5 })
	s.install("1")
	d := s.start()
	d.steady("1")
	end := execLoop(t, s.path)
	disk.ReadOnly(t, true)
	for range 3 {
		hold(t, s.path)
	}
	d.degraded("mount the file system of")
	told := func() int { return strings.Count(s.log.String(), "read-only file system") }
	before := told()
	for range 5 {
		hold(t, s.path) // each asks for a rotation anew
	}
	if n := told() - before; n > 5 { // once more if it had begun with fewer processes
		t.Errorf("%d lines in the log tell of one read-only file system", n)
	}
	disk.ReadOnly(t, false)
	d.waitFor("the link is moved", func(st api.TargetStatus) bool { return st.State == api.Steady && st.Current != "imapd_001" })
	end()
	d.steady("1")
	s.install("2")
	d.steady("2")
	faults.Record(t, faults.Row{What: "rotation", Injected: "a file system that is remounted read-only", Times: 1,
		Survived: "path executes, the link moves again when the file system is writable"})
}

// What is mounted over the install directory counts, and what it hides comes back.
func TestMountedOver(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("left out, it needs root: mounting over the install directory")
	}
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	before := tree(t, s.dir)
	other := filepath.Join(t.TempDir(), "bin")
	must(t, os.Mkdir(other, 0o755))
	must(t, os.Chmod(other, 0o755))
	must(t, standin.Write(filepath.Join(other, name), "2"))
	must(t, unix.Mount(other, s.dir, "", unix.MS_BIND, ""))
	unmount := func() { must(t, unix.Unmount(s.dir, unix.MNT_DETACH)) }
	t.Cleanup(func() { _ = unix.Unmount(s.dir, unix.MNT_DETACH) }) // if it is still there
	d.steady("2")
	s.install("3") // the directory that is mounted there is watched
	d.steady("3")
	unmount()
	st := d.steady("1")
	for path, was := range before {
		if path != s.privateLink() && path != s.private("") && tree(t, s.dir)[path] != was {
			t.Errorf("%s was changed while something was mounted over it", path)
		}
	}
	if st.Generation.SHA256 != sha("1") {
		t.Errorf("status: %+v", st)
	}
	s.install("4")
	d.steady("4")
	faults.Record(t, faults.Row{What: "steady", Injected: "a directory mounted over the install directory, and unmounted", Times: 1,
		Survived: "each is managed while it is there, neither is changed by what happens to the other"})
}

// An install directory that is a file system of its own goes and comes back.
func TestUnmountedAndMounted(t *testing.T) {
	t.Parallel()
	disk := fstest.Ext4(t, 8<<20)
	root := t.TempDir()
	s := newSiteIn(t, root)
	must(t, unix.Mount(disk.Dir, s.dir, "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(s.dir, unix.MNT_DETACH) }) // if it is still there
	s.install("1")
	d := s.start()
	d.steady("1")
	must(t, unix.Unmount(s.dir, unix.MNT_DETACH))
	d.waitFor("nothing is there", func(st api.TargetStatus) bool { return st.State == api.Absent && st.Reason != "" })
	must(t, unix.Mount(disk.Dir, s.dir, "", unix.MS_BIND, ""))
	d.waitFor("it is back", func(st api.TargetStatus) bool { return st.State == api.Steady })
	s.install("2")
	d.steady("2")
	faults.Record(t, faults.Row{What: "steady", Injected: "the install directory unmounted, and mounted again", Times: 1,
		Survived: "the status says that nothing is there, and all is managed again when it is"})
}

// A link to the private link, by another spelling, with nothing of ours behind it: a start and a running daemon say so,
// and the program comes into force when it comes.
func TestLinkToWhatIsGone(t *testing.T) {
	t.Parallel()
	for _, publish := range ways {
		t.Run(string(publish), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *config.Target) { c.Publish = publish })
			must(t, os.Symlink(s.privateLink(), s.path))
			d := s.launch()
			d.waitFor("degraded or absent", func(st api.TargetStatus) bool { return st.State == api.Degraded && st.Reason != "" })
			must(t, os.Remove(s.path))
			s.install("1")
			d.steady("1")
		})
	}
}
