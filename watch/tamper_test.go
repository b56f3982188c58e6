package watch

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/internal/faults"
	"relinkd/internal/fstest"
	"relinkd/internal/standin"
)

// byEvents is how soon a copy that somebody has changed must be left: sooner than the loop looks
// without being told (glance).
const byEvents = 5 * time.Second

// tampering is one thing that somebody does to a copy.
type tampering struct {
	name, survived string
	do             func(t *testing.T, path string)
	root           bool // only root can do it
	kept           bool // the changed file is kept as drifted
	others         bool // done to another copy than the linked one alone: on that it is meant for all (TestAttributes)
}

const (
	leftAndMade = "the link leaves the copy by the event, the copy is cloned anew"
	leftAndKept = leftAndMade + ", what somebody wrote is kept as drifted"
)

var tamperings = []tampering{
	{name: "written to", survived: leftAndKept, kept: true, do: func(t *testing.T, path string) { overwrite(t, path) }},
	{name: "written to, and its times put back", survived: leftAndKept, kept: true, do: func(t *testing.T, path string) {
		before := lstat(t, path)
		overwrite(t, path)
		must(t, os.Chtimes(path, time.Time{}, before.ModTime()))
	}},
	{name: "cut short", survived: leftAndKept, kept: true, do: func(t *testing.T, path string) { must(t, os.Truncate(path, 100)) }},
	{name: "emptied", survived: leftAndKept, kept: true, do: func(t *testing.T, path string) { must(t, os.Truncate(path, 0)) }},
	{name: "deleted", survived: leftAndMade, do: func(t *testing.T, path string) { must(t, os.Remove(path)) }},
	{name: "made not executable", survived: leftAndMade, do: func(t *testing.T, path string) { must(t, os.Chmod(path, 0o644)) }},
	{name: "made writable by all", survived: leftAndMade, do: func(t *testing.T, path string) { must(t, os.Chmod(path, 0o777)) }},
	{name: "given to another user", survived: leftAndMade, root: true, do: func(t *testing.T, path string) { must(t, os.Chown(path, 65534, -1)) }},
	{name: "given an attribute", survived: "the copy is cloned anew by the event; on the linked copy it is given to all", others: true, do: func(t *testing.T, path string) {
		err := unix.Setxattr(path, "user.relinkd-test", []byte("1"), 0)
		if errors.Is(err, unix.EOPNOTSUPP) {
			t.Skip("left out: this file system has no user attributes")
		}
		must(t, err)
	}},
}

// again reports whether the file at path was made again since it was as described. It may have the
// inode number of the one before.
func again(t *testing.T, path string, was fsys.Info) bool {
	now := lstat(t, path)
	return !now.ID.IsZero() && (now.ID != was.ID || now.Mtime == was.Mtime && now.Size == was.Size && now.Mode == was.Mode && now.Ctime > was.Ctime && now.UID == was.UID)
}

// overwrite changes one byte of a file in place.
func overwrite(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	end := lstat(t, path).Size - 1
	last := make([]byte, 1)
	_, err = f.ReadAt(last, end)
	must(t, err)
	last[0] ^= 1
	_, err = f.WriteAt(last, end)
	must(t, errors.Join(err, f.Close()))
}

// Whatever somebody does to a copy, linked or not, shows by the event, and all is as it was soon.
func TestTampering(t *testing.T) {
	for _, tt := range tamperings {
		t.Run(tt.name, func(t *testing.T) {
			if tt.root && os.Geteuid() != 0 {
				t.Skip("left out, it needs root: a copy " + tt.name)
			}
			t.Parallel()
			s := newSite(t)
			s.install("1")
			d := s.start()
			for _, linked := range []bool{true, false} {
				if linked && tt.others {
					continue
				}
				st := d.steady("1")
				path := s.copy(2)
				if linked {
					path = filepath.Join(s.dir, st.Current)
				} else if st.Current == filepath.Base(path) {
					path = s.copy(3)
				}
				was := lstat(t, path)
				tt.do(t, path)
				if linked && !within(byEvents, func() bool { return d.target().Current != st.Current }) {
					t.Errorf("the link has not left the copy: %+v", d.target())
				}
				kept := s.private(filepath.Base(path) + ".drifted")
				if !within(byEvents, func() bool { return again(t, path, was) && (!tt.kept || lstat(t, kept).ID == was.ID) }) {
					t.Errorf("%s is not cloned again; what was changed is %+v, kept is %+v", path, was, lstat(t, kept))
				}
				after := d.steady("1")
				s.runs(s.path, "1")
				if !linked && after.Current != st.Current {
					t.Errorf("the link was moved from %s to %s because of another copy", st.Current, after.Current)
				}
			}
			faults.Record(t, faults.Row{What: "steady", Injected: "a copy is " + tt.name, Times: map[bool]int{true: 1, false: 2}[tt.others], Survived: tt.survived})
		})
	}
}

// A pool of one copy has none to move to: the copy is made again at once.
func TestTamperingWithTheOnlyCopy(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *config.Target) { c.Copies, c.MaxCopies = 1, 1 })
	s.install("1")
	d := s.start()
	for range 3 {
		d.steady("1")
		was := lstat(t, s.copy(1))
		overwrite(t, s.copy(1))
		eventually(t, "the copy is made again", func() bool { return again(t, s.copy(1), was) })
	}
	d.steady("1")
	s.runs(s.path, "1")
}

// A further name of a copy, as a backup by hard links makes it, changes nothing.
func TestHardLinkedCopy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	before := d.steady("1")
	other := filepath.Join(filepath.Dir(s.dir), "backup")
	for _, n := range []int{1, 2} {
		must(t, os.Link(s.copy(n), other))
		must(t, os.Remove(other))
	}
	v, err := d.Verify(t.Context(), name)
	must(t, err)
	after := d.steady("1")
	if v.Problems() != 0 || after.Current != before.Current || after.Copies[0] != before.Copies[0] || after.Copies[1] != before.Copies[1] {
		t.Errorf("%+v became %+v; verify says %+v", before, after, v)
	}
}

// decay changes what a file on a disk holds as a failing disk does: below the file system, which does
// not know.
func decay(t *testing.T, disk *fstest.Disk, path, content string) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	image, err := os.OpenFile(disk.Image, os.O_RDWR, 0)
	must(t, err)
	defer image.Close()
	must(t, f.Sync())

	block, err := firstBlock(f)
	must(t, err)
	at := int64(block) + lstat(t, path).Size - 1
	last := make([]byte, 1)
	_, err = image.ReadAt(last, at)
	must(t, err)
	if last[0] != content[len(content)-1] {
		t.Fatalf("the test itself: at %d of the image there is %q", at, last)
	}
	last[0] ^= 1
	_, err = image.WriteAt(last, at)
	must(t, err)
	must(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
	now, err := os.ReadFile(path)
	must(t, err)
	if strings.HasSuffix(string(now), content) {
		t.Fatal("the test itself: the file has not changed")
	}
}

// Bit rot shows in nothing but the content: the periodic check finds it, also while nothing happens.
func TestBitRot(t *testing.T) {
	t.Parallel()
	disk := fstest.Ext4(t, 8<<20)
	s := newSiteIn(t, filepath.Join(disk.Dir, "site"))
	s.configure(func(c *config.Config) { c.Census.Verify = 500 * time.Millisecond })
	s.install("version 1")
	d := s.start()
	for range 2 {
		st := d.steady("version 1")
		path := filepath.Join(s.dir, st.Current)
		was := lstat(t, path)
		decay(t, disk, path, "version 1")
		if now := lstat(t, path); now != was {
			t.Fatalf("the test itself: %+v became %+v", was, now)
		}
		d.waitFor("the link leaves the copy", func(now api.TargetStatus) bool { return now.Current != st.Current })
		eventually(t, "the copy is cloned again", func() bool { return again(t, path, was) })
	}
	d.steady("version 1")
	faults.Record(t, faults.Row{What: "steady", Injected: "bit rot below the file system, in the linked copy", Times: 2,
		Survived: "the periodic check finds it, the link leaves the copy, the copy is cloned anew"})
}

// The pristine is what all copies are made from: one that was tampered with makes no copy, and does
// not come to path.
func TestTamperingWithThePristine(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, path string)
	}{
		{"written to", overwrite},
		{"written to, and its times put back", func(t *testing.T, path string) {
			before := lstat(t, path)
			overwrite(t, path)
			must(t, os.Chtimes(path, time.Time{}, before.ModTime()))
		}},
		{"cut short", func(t *testing.T, path string) { must(t, os.Truncate(path, 100)) }},
	} {
		for _, stopped := range []bool{false, true} {
			when := ""
			if stopped {
				when = " while no daemon runs"
			}
			t.Run(tt.name+when, func(t *testing.T) {
				t.Parallel()
				s := newSite(t)
				s.install("1")
				d := s.start()
				d.steady("1")
				end := execLoop(t, s.path)
				if stopped {
					d.stop()
				}
				tt.do(t, s.pristine())
				if stopped {
					d = s.start()
				}
				_, err := d.Verify(t.Context(), name)
				if err != nil && !errors.Is(err, api.ErrRefused) { // it may be overtaken by what it would lead to
					t.Error(err)
				}
				d.waitFor("the status tells", func(st api.TargetStatus) bool {
					return st.State == api.Steady && len(st.Copies) == 3 && strings.Contains(st.Reason, "the pristine was changed")
				})
				must(t, os.Remove(s.copy(2)))
				d.waitFor("the copy is made again", func(st api.TargetStatus) bool {
					return st.State == api.Steady && !lstat(t, s.copy(2)).ID.IsZero()
				})
				s.holds(s.copy(2), "1")
				r, err := d.Restore(t.Context(), name, false)
				must(t, err)
				end()
				s.holds(s.path, "1")
				said(t, r.Warnings, "drifted")
				faults.Record(t, faults.Row{What: "steady", Injected: "the pristine is " + tt.name + when, Times: 1,
					Survived: "path executes, what somebody wrote is kept as drifted, a clone of a copy takes the pristine's place"})
			})
		}
	}
}

// Another program comes into the pristine's place just when relinkd has put a clone of a copy there: what is known of
// the clone is not taken for known of that, by a restart either.
func TestReplacedWhileThePristineIsMadeAnew(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	var replaced atomic.Bool
	s.calls.on("clone: check", func(path string) error {
		if path == s.pristine() && !replaced.Swap(true) {
			must(t, standin.Write(s.pristine()+".new", "2"))
			return os.Rename(s.pristine()+".new", s.pristine())
		}
		return nil
	})
	must(t, os.Remove(s.pristine()))
	d.waitFor("a pristine that is a clone", func(st api.TargetStatus) bool {
		return replaced.Load() && st.State == api.Steady && strings.Contains(st.Reason, "clone of a copy")
	})
	d.stop()
	s.start().steady("1")
	s.holds(s.pristine(), "1")
	s.holds(s.pristine()+".drifted", "2")
}

// The manifest is of no use, and the one that was made durable is of just before the upgrade; somebody has written to
// the pristine meanwhile. The copies tell what is in force.
func TestPristineWrittenToAndManifestLost(t *testing.T) {
	t.Parallel()
	for _, publish := range []config.Publish{config.PublishSymlink, config.PublishLauncher} {
		t.Run(string(publish), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *config.Target) { c.Publish = publish })
			s.install("1")
			d := s.start()
			d.steady("1")
			s.install("2")
			d.steady("2")
			d.stop()
			if publish == config.PublishLauncher { // as when it is sure that the upgrade is not taken back
				if err := os.Rename(s.previous(), s.private(name+".generation-"+sha("1"))); err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
			}
			cfg, err := s.load()
			must(t, err)
			for _, path := range []string{filepath.Join(cfg.State.Dir, name+".json"), s.pristine()} {
				f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
				must(t, err)
				_, err = f.WriteString("+")
				must(t, errors.Join(err, f.Close()))
			}
			d = s.start()
			d.steady("2")
			s.holds(s.pristine(), "2")
			if lstat(t, s.pristine()+".drifted").ID.IsZero() {
				t.Error("what somebody has written is not kept")
			}
		})
	}
}
