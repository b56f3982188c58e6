package watch

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/internal/faults"
	"relinkd/internal/standin"
)

// bad is something that stands in the place of a copy and cannot be one.
type bad struct {
	name string
	put  func(t *testing.T, path string)
	take func(t *testing.T, path string) // away again; nil for os.RemoveAll
	root bool
}

func bads() []bad {
	return []bad{
		{name: "a file of somebody's", put: func(t *testing.T, path string) {
			must(t, os.WriteFile(path+".theirs", []byte("letters"), 0o600))
			must(t, os.Rename(path+".theirs", path))
		}},
		{name: "another program", put: func(t *testing.T, path string) { must(t, standin.Write(path, "theirs")) }},
		{name: "a directory", put: func(t *testing.T, path string) {
			must(t, os.RemoveAll(path))
			must(t, os.Mkdir(path, 0o755))
		}},
		{name: "a link to nothing", put: func(t *testing.T, path string) { relink(t, "nothing", path) }},
		{name: "a fifo", put: func(t *testing.T, path string) {
			must(t, os.RemoveAll(path))
			must(t, unix.Mkfifo(path, 0o600))
		}},
		{name: "a socket", put: func(t *testing.T, path string) {
			must(t, os.RemoveAll(path))
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
			must(t, err)
			t.Cleanup(func() { l.Close() })
		}},
		{name: "a copy with something mounted on it", root: true, put: func(t *testing.T, path string) {
			other := filepath.Join(t.TempDir(), "other")
			must(t, standin.Write(other, "theirs"))
			if lstat(t, path).ID.IsZero() {
				must(t, standin.Write(path, "below"))
			}
			must(t, unix.Mount(other, path, "", unix.MS_BIND, ""))
			t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
		}, take: func(t *testing.T, path string) {
			must(t, unix.Unmount(path, unix.MNT_DETACH))
			must(t, os.RemoveAll(path))
		}},
		{name: "a copy that is immutable", root: true, put: func(t *testing.T, path string) {
			if lstat(t, path).ID.IsZero() {
				must(t, standin.Write(path, "theirs"))
			}
			immutable(t, path, true)
			t.Cleanup(func() { immutable(t, path, false) })
		}, take: func(t *testing.T, path string) {
			immutable(t, path, false)
			must(t, os.RemoveAll(path))
		}},
	}
}

// fsImmutable is FS_IMMUTABLE_FL of linux/fs.h.
const fsImmutable = 0x10

// immutable is chattr +i or -i; nothing where path is gone.
func immutable(t *testing.T, path string, is bool) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil {
		if flags &^= fsImmutable; is {
			flags |= fsImmutable
		}
		err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags)
	}
	if err != nil {
		t.Skipf("left out, it needs a file system with immutable files: %v", err)
	}
}

// spares waits until a version is in force in three copies, none of which is that of number n unless it is
// still as good as the others, and what path executes is one of them.
func (d *daemon) spares(version string, n int) api.TargetStatus {
	d.s.t.Helper()
	return d.waitFor("steady beside a bad copy", func(st api.TargetStatus) bool {
		if st.State != api.Steady || st.Generation.SHA256 != sha(version) || len(st.Copies) < 3 || !st.Executes {
			return false
		}
		good := 0
		for _, c := range st.Copies {
			if c.Verified && holdsVersion(filepath.Join(d.s.dir, c.Name), version) {
				good++
			}
		}
		return good >= 3 && holdsVersion(filepath.Join(d.s.dir, st.Current), version)
	})
}

// One bad copy costs one copy: it is left and told, the others, growth and upgrades go on with other numbers,
// and when it is gone its number is used again.
func TestOneBadCopy(t *testing.T) {
	for _, b := range bads() {
		for _, when := range []string{"before", "steady", "linked"} {
			t.Run(b.name+"/"+when, func(t *testing.T) {
				if b.root && os.Geteuid() != 0 {
					t.Skip("left out, it needs root")
				}
				t.Parallel()
				s := newSite(t, func(c *config.Target) { c.MaxCopies, c.Threshold, c.RotateAt = 6, 2, 0.5 })
				n := 2
				if when == "linked" {
					n = 1
				}
				if when == "before" {
					b.put(t, s.copy(n))
				}
				s.install("1")
				d := s.start()
				d.spares("1", n)
				if when != "before" {
					b.put(t, s.copy(n))
				}
				was := lstat(t, s.copy(n))
				d.spares("1", n)
				d.stop()
				d = s.start() // a new start knows it too, and makes no more copies than there should be
				if st := d.spares("1", n); len(st.Copies) > 3 {
					t.Errorf("after a new start there are %d copies: %+v", len(st.Copies), st.Copies)
				}
				s.install("2")
				d.spares("2", n)
				for range 4 {
					hold(t, s.path)
				}
				d.waitFor("the pool grows", func(st api.TargetStatus) bool { return st.State == api.Steady && len(st.Copies) > 3 })
				if now := lstat(t, s.copy(n)); now.ID != was.ID {
					t.Errorf("what stands in the copy's place is not left: it was %+v, is %+v", was, now)
				}
				if told := strings.Count(s.log.String(), `"reason":"passed over"`); told < 1 || told > 3 { // by each daemon, and once more when it became immutable only then
					t.Errorf("it is told %d times", told)
				}
				take := b.take
				if take == nil {
					take = func(t *testing.T, path string) { must(t, os.RemoveAll(path)) }
				}
				take(t, s.copy(n))
				d.waitFor("the number is used again", func(st api.TargetStatus) bool {
					return st.State == api.Steady && slices.ContainsFunc(st.Copies, func(c api.CopyStatus) bool { return c.Number == n && c.Verified })
				})
				faults.Record(t, faults.Row{What: "publish, steady, growth, upgrade", Injected: b.name + " in the place of a copy", Times: 3,
					Survived: "it costs one copy: it is left and told, all else goes on with other numbers"})
			})
		}
	}
}

// What somebody has made of the copies and can be made again is relinkd's to replace: hard links of one
// another, files with another time alone.
func TestCopiesMadeAgainByOthers(t *testing.T) {
	for _, way := range []struct {
		name string
		do   func(t *testing.T, s *site)
	}{
		{"hard links of one another", func(t *testing.T, s *site) {
			for _, path := range []string{s.copy(2), s.copy(3)} {
				must(t, os.Link(s.copy(1), path+".link"))
				must(t, os.Rename(path+".link", path))
			}
		}},
		{"hard links of the pristine", func(t *testing.T, s *site) {
			for _, path := range []string{s.copy(1), s.copy(2), s.copy(3)} {
				must(t, os.Link(s.pristine(), path+".link"))
				must(t, os.Rename(path+".link", path))
			}
		}},
		{"one inode with the pristine", func(t *testing.T, s *site) {
			for _, path := range []string{s.pristine(), s.copy(2), s.copy(3)} {
				must(t, os.Link(s.copy(1), path+".link"))
				must(t, os.Rename(path+".link", path))
			}
		}},
		{"files of another time", func(t *testing.T, s *site) {
			for _, path := range []string{s.copy(1), s.copy(2), s.copy(3)} {
				must(t, standin.Write(path, "1"))
			}
		}},
		{"a further name of a copy", func(t *testing.T, s *site) {
			must(t, os.Link(s.copy(2), filepath.Join(filepath.Dir(s.dir), "backup")))
		}},
	} {
		for _, running := range []bool{true, false} {
			t.Run(way.name+map[bool]string{true: "", false: ", while no daemon runs"}[running], func(t *testing.T) {
				t.Parallel()
				s := newSite(t)
				s.install("1")
				d := s.start()
				d.steady("1")
				if !running {
					d.stop()
				}
				way.do(t, s)
				if !running {
					must(t, os.RemoveAll(s.cfg.State.Dir)) // as on a new host
					d = s.start()
				}
				eventually(t, "each copy is a clone and a file of its own", func() bool {
					source := lstat(t, s.pristine())
					for n := 1; n <= 3; n++ {
						if c := lstat(t, s.copy(n)); c.Nlink != 1 || c.Mtime != source.Mtime || c.ID == source.ID {
							return false
						}
					}
					return true
				})
				d.steady("1")
				faults.Record(t, faults.Row{What: "steady", Injected: "the copies are made " + way.name, Times: 2, Survived: "each is cloned anew, under its name"})
			})
		}
	}
}
