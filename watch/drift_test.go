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
	"relinkd/internal/fstest"
	"relinkd/internal/standin"
)

// rot changes one byte of a file so that neither size nor modification time tell.
func rot(t testing.TB, path string) {
	t.Helper()
	before := lstat(t, path)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), 0, int(before.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	m[before.Size-1] ^= 1
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(before.Mtime)}, 0))
	must(t, unix.Munmap(m))
	if got := lstat(t, path); got.Mtime != before.Mtime || got.ID != before.ID {
		t.Fatalf("the test itself: %+v became %+v", before, got)
	}
}

func TestVerifyFindsBitRot(t *testing.T) {
	t.Parallel()
	disk := fstest.Ext4(t, 8<<20)
	s := newSiteIn(t, filepath.Join(disk.Dir, "site"))
	s.install("1")
	d := s.start()
	d.steady("1")
	ctx := context.Background()
	v, err := d.Verify(ctx, name)
	must(t, err)
	if v.Problems() != 0 || len(v.Targets) != 1 || len(v.Targets[0].Copies) != 3 || v.Targets[0].SHA256 != sha("1") {
		t.Errorf("a pool that is right: %+v", v)
	}
	rotten := lstat(t, s.copy(2)).ID
	decay(t, disk, s.copy(2), "1")
	v, err = d.Verify(ctx, "")
	must(t, err)
	if v.Problems() != 1 || v.Targets[0].Copies[1].Problem == "" {
		t.Errorf("a pool with a rotten copy 2: %+v", v)
	}
	eventually(t, "copy 2 is cloned again", func() bool { return lstat(t, s.copy(2)).ID != rotten })
	d.steady("1")
	if v, err = d.Verify(ctx, name); err != nil || v.Problems() != 0 {
		t.Errorf("a pool that was mended: %+v, %v", v, err)
	}
}

// Verify is a check, and may be of use where nothing else is to be changed.
func TestVerifyOfflineChangesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	d.stop()
	rot(t, s.copy(1)) // to which the private link leads
	before := tree(t, s.dir)
	v, err := s.offline().Verify(context.Background(), name)
	must(t, err)
	if v.Problems() != 1 || v.Targets[0].Copies[0].Problem == "" {
		t.Errorf("a pool with a rotten copy 1: %+v", v)
	}
	unchanged(t, s.dir, before)
}

// dpkg-statoverride, or a chmod through path, changes the linked copy and means all.
func TestModeThroughPath(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	must(t, os.Chmod(s.path, 0o751))
	for _, path := range []string{s.copy(1), s.copy(2), s.copy(3), s.pristine()} {
		eventually(t, path+" has the mode", func() bool { return lstat(t, path).Perm() == 0o751 })
	}
	inodes := d.steady("1").Copies
	d.stop()
	d = s.start()
	for i, c := range d.steady("1").Copies {
		if c.Inode != inodes[i].Inode {
			t.Errorf("%s was cloned again", c.Name)
		}
	}
	r, err := d.Restore(context.Background(), name, false)
	must(t, err)
	if s.plain("1", 0); lstat(t, s.path).Perm() != 0o751 {
		t.Errorf("the restored file has lost its mode: %+v", r)
	}
}

func TestModeOfAnotherCopy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	changed := lstat(t, s.copy(2)).ID
	must(t, os.Chmod(s.copy(2), 0o700))
	eventually(t, "copy 2 is cloned again", func() bool { return lstat(t, s.copy(2)).ID != changed })
	d.steady("1")
}

func TestMissingCopy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	for range 3 {
		linked := filepath.Join(s.dir, d.steady("1").Current)
		must(t, os.Remove(linked))
		eventually(t, "path executes", func() bool { return ask(t, request{Op: "run", Args: []string{s.path}}).Error == "" })
		eventually(t, linked+" is cloned again", func() bool { return !lstat(t, linked).ID.IsZero() })
	}
	d.steady("1")
}

func TestRefusedSource(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	must(t, os.WriteFile(s.path, []byte("#!/bin/sh\n"), 0o755))
	before := tree(t, s.dir)
	d := s.start()
	d.degraded("ELF")
	unchanged(t, s.dir, before)
	s.install("1")
	d.steady("1")
	must(t, os.WriteFile(s.path+".new", []byte("#!/bin/sh\n"), 0o755))
	must(t, os.Rename(s.path+".new", s.path))
	d.degraded("ELF")
	if text, err := os.ReadFile(s.path); err != nil || string(text) != "#!/bin/sh\n" {
		t.Errorf("path holds %q, %v", text, err)
	}
	s.install("2")
	d.steady("2")
	// A program that executes what leads to the copies: they would execute each other.
	wrapper := append(standin.ELF("wrapper"), s.privateLink()+"\x00"...)
	must(t, os.WriteFile(s.path+".new", wrapper, 0o755))
	must(t, os.Rename(s.path+".new", s.path))
	d.degraded("is a wrapper of them")
	if _, err := d.Restore(t.Context(), name, false); err == nil || !strings.Contains(err.Error(), "the program is kept as "+s.pristine()) {
		t.Errorf("restore over a wrapper: %v", err)
	}
	s.holds(s.pristine(), "2")
	s.install("3")
	d.steady("3")
}

// What cannot be cloned is not published, and is tried again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	s.calls.on("clone: copy", func(string) error { return unix.ENOSPC })
	s.calls.on("clone: reflink", func(string) error { return unix.ENOSPC })
	s.install("2")
	d.degraded("no space left on device")
	s.onlyKnown()
	s.runs(s.path, "2")
	s.calls.on("clone: copy", nil)
	s.calls.on("clone: reflink", nil)
	d.steady("2")
}

// Mending one copy reads none of the others, which the loop would have to wait for.
func TestMendReadsNoOther(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	if st := d.steady("1"); st.Current == "imapd_002" {
		t.Fatalf("the test itself: the link leads to %s", st.Current)
	}
	fd, err := -1, error(unix.EMFILE)
	eventually(t, "the kernel lets go of other tests' inotify instances", func() bool {
		fd, err = unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
		return err != unix.EMFILE
	})
	must(t, err)
	defer unix.Close(fd)
	_, err = unix.InotifyAddWatch(fd, s.copy(2), unix.IN_ACCESS)
	must(t, err)
	must(t, os.Remove(s.copy(3)))
	eventually(t, "copy 3 is cloned again", func() bool { return !lstat(t, s.copy(3)).ID.IsZero() })
	d.waitFor("steady", func(st api.TargetStatus) bool { return st.State == api.Steady && len(st.Copies) == 3 })
	var buf [4096]byte
	if n, err := unix.Read(fd, buf[:]); err != unix.EAGAIN {
		t.Errorf("copy 2 was read: %d bytes of events, %v", n, err)
	}
	s.holds(s.copy(2), "1") // by which the test sees what a read looks like
	if n, err := unix.Read(fd, buf[:]); n <= 0 {
		t.Errorf("reading copy 2 does not show: %v", err)
	}
}

// What happens to a copy while another one is being made again is not forgotten when that is done.
func TestChangedWhileAnotherIsMended(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	arrived, goOn := make(chan struct{}), make(chan struct{})
	s.calls.on("clone: copy", func(string) error {
		close(arrived)
		<-goOn
		return nil
	})
	must(t, os.Remove(s.copy(3)))
	<-arrived
	s.calls.on("clone: copy", nil)
	changed := lstat(t, s.copy(2)).ID
	must(t, unix.Setxattr(s.copy(2), "user.somebody", []byte("was here"), 0))
	d.waitFor("copy 2 is not trusted", func(st api.TargetStatus) bool {
		return slices.ContainsFunc(st.Copies, func(c api.CopyStatus) bool { return c.Number == 2 && !c.Verified })
	})
	close(goOn)
	eventually(t, "copy 2 is cloned again", func() bool {
		now := lstat(t, s.copy(2)).ID
		return !now.IsZero() && now != changed
	})
	d.steady("1")
}
