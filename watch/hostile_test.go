package watch

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/internal/faults"
	"relinkd/internal/standin"
	"relinkd/linker"
)

// A directory that others can write to all of a sudden: what runs goes on, nothing new is taken from
// there, and the status says what to do.
func TestMadeWritableByOthers(t *testing.T) {
	for _, tt := range []struct{ name, dir string }{
		{"the install directory", "bin"},
		{"the directory above it", "."},
		{"the private directory", filepath.Join("bin", linker.PrivateDir)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.install("1")
			d := s.start()
			d.steady("1")
			end := execLoop(t, s.path)
			dir := filepath.Join(filepath.Dir(s.dir), tt.dir)
			must(t, os.Chmod(dir, 0o777))
			d.degraded(dir)
			_, err := d.Rotate(t.Context(), name, 2) // the threshold holds
			must(t, err)
			must(t, os.Chmod(dir, 0o755))
			d.steady("1")
			end()
			faults.Record(t, faults.Row{What: "steady", Injected: tt.name + " made writable by all", Times: 1,
				Survived: "path executes, rotations go on, the status says what to do"})
		})
	}
}

// A symbolic link in the place of the install directory leads to another one or to the same.
func TestDirectoryReplacedByALink(t *testing.T) {
	for _, tt := range []struct {
		name    string
		replace func(s *site)
		then    string // the version in force
	}{
		{"to where it was moved", func(s *site) {
			must(s.t, os.Symlink(s.dir+".real", s.dir+".link"))
			must(s.t, unix.Renameat2(unix.AT_FDCWD, s.dir, unix.AT_FDCWD, s.dir+".link", unix.RENAME_EXCHANGE))
			must(s.t, os.Rename(s.dir+".link", s.dir+".real"))
		}, "1"},
		{"to another directory", func(s *site) {
			other := filepath.Join(filepath.Dir(s.dir), "other")
			must(s.t, os.Mkdir(other, 0o755))
			must(s.t, os.Chmod(other, 0o755))
			must(s.t, standin.Write(filepath.Join(other, name), "2"))
			must(s.t, os.Rename(s.dir, s.dir+".old"))
			must(s.t, os.Symlink(other, s.dir))
		}, "2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.install("1")
			d := s.start()
			d.steady("1")
			tt.replace(s)
			d.steady(tt.then)
			s.install("3") // the directory that the link leads to is watched
			d.steady("3")
			s.runs(s.path, "3")
			faults.Record(t, faults.Row{What: "steady", Injected: "the install directory replaced by a symbolic link " + tt.name, Times: 1,
				Survived: "what stands there is managed and watched"})
		})
	}
}

// No clock but the monotonic one decides anything: files of any time are taken, and kept as they are.
func TestTimesOfAnotherAge(t *testing.T) {
	ages := []time.Time{time.Unix(0, 0), time.Date(1901, 12, 14, 0, 0, 0, 0, time.UTC), time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC), time.Now().Add(time.Hour)}
	t.Parallel()
	s := newSite(t)
	s.install("0")
	d := s.start()
	d.steady("0")
	end := execLoop(t, s.path)
	for i, age := range ages {
		version := strconv.Itoa(i + 1)
		must(t, standin.Write(s.path+".dpkg-new", version))
		must(t, os.Chtimes(s.path+".dpkg-new", age, age))
		must(t, os.Rename(s.path+".dpkg-new", s.path))
		d.steady(version) // with the time of the source on each copy
		d.stop()
		d = s.start()
		if st := d.steady(version); len(st.Copies) != 3 {
			t.Errorf("after a new start: %+v", st)
		}
	}
	end()
	faults.Record(t, faults.Row{What: "upgrade", Injected: "files of 1901, 1970 and 2400, and of the next hour", Times: len(ages),
		Survived: "each is taken at once, its copies bear its time, a new start keeps them"})
}

// A clock that was set back leaves a manifest from the future behind, and one that was set forward one
// of long ago. That says nothing about the copies.
func TestManifestOfAnotherAge(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	before := d.steady("1")
	manifest := filepath.Join(s.cfg.State.Dir, name+".json")
	for _, since := range []string{"1900-01-01T00:00:00Z", "2999-01-01T00:00:00Z"} {
		d.stop()
		text, err := os.ReadFile(manifest)
		must(t, err)
		was := []byte(`"since":"`)
		i := bytes.Index(text, was) + len(was)
		j := i + bytes.IndexByte(text[i:], '"')
		must(t, os.WriteFile(manifest, append(append(append([]byte{}, text[:i]...), since...), text[j:]...), 0o600))
		d = s.start()
		st := d.steady("1")
		if st.Generation.Since.UTC().Format(time.RFC3339) != since || st.Copies[0] != before.Copies[0] {
			t.Errorf("since %s: %+v", since, st)
		}
	}
	s.install("2")
	d.steady("2")
}

// Events that the kernel drops because its queue is full cost time, not truth: a copy that was changed
// among them is found.
func TestFileEventsLost(t *testing.T) {
	const knob = "/proc/sys/fs/inotify/max_queued_events"
	was, err := os.ReadFile(knob)
	must(t, err)
	if err := os.WriteFile(knob, []byte("1"), 0); err != nil {
		t.Skipf("left out, it needs root: a queue of one event: %v", err)
	}
	t.Cleanup(func() { must(t, os.WriteFile(knob, was, 0)) })
	s := newSite(t)
	s.install("1")
	d := s.start() // its inotify keeps the limit of now
	must(t, os.WriteFile(knob, was, 0))
	d.steady("1")
	overflows := func() int { return bytes.Count([]byte(s.log.String()), []byte("queue or buffer overflow")) }
	end := execLoop(t, s.path)
	for round := 0; overflows() < 20; round++ {
		if round > 100_000 {
			t.Fatal("no overflow")
		}
		must(t, os.WriteFile(filepath.Join(s.dir, "neighbour"), nil, 0o644))
		must(t, os.Remove(filepath.Join(s.dir, "neighbour")))
		if round%100 == 0 {
			must(t, os.Chmod(s.copy(2), 0o700))
		}
	}
	d.steady("1")
	s.install("2")
	d.steady("2")
	end()
	faults.Record(t, faults.Row{What: "steady", Injected: "a queue of file events that overflows", Times: 20,
		Survived: "every copy is looked at again, an upgrade is found"})
}

// The size of the install directory costs nothing: nobody lists it.
func TestManyFiles(t *testing.T) {
	t.Parallel()
	files := 50_000
	if os.Getenv("LONG_TESTS") != "" {
		files = 1_000_000
	}
	root := t.TempDir()
	if os.Geteuid() == 0 {
		must(t, unix.Mount("relinkd-test", root, "tmpfs", 0, "mode=755,nr_inodes=0"))
		t.Cleanup(func() { must(t, unix.Unmount(root, unix.MNT_DETACH)) })
	}
	s := newSiteIn(t, root)
	s.install("1")
	for i := range files / 2 {
		must(t, os.Symlink("x", filepath.Join(s.dir, fmt.Sprint("neighbour", i))))
	}
	d := s.start()
	steady := func(version string) {
		t.Helper()
		d.waitFor("steady with "+version, func(st api.TargetStatus) bool {
			return st.State == api.Steady && st.Generation.SHA256 == sha(version) && len(st.Copies) == 3
		})
		s.runs(s.path, version)
	}
	steady("1")
	end := execLoop(t, s.path)
	for i := range files / 2 { // while it runs
		must(t, os.Symlink("x", filepath.Join(s.dir, fmt.Sprint("later", i))))
	}
	for i := range 5 {
		version := strconv.Itoa(i + 2)
		began := time.Now()
		s.install(version)
		steady(version)
		t.Logf("an upgrade among %d files took %v", files, time.Since(began))
	}
	must(t, os.Remove(s.copy(2)))
	eventually(t, "the copy is made again", func() bool { return !lstat(t, s.copy(2)).ID.IsZero() })
	_, err := d.Restore(t.Context(), name, false)
	must(t, err)
	end()
	if n := len(s.names(s.dir)); n != files+1 {
		t.Errorf("%d files are left in the directory, want %d and the executable", n, files)
	}
	faults.Record(t, faults.Row{What: "upgrade", Injected: "50,000 other files in the install directory", Times: 5,
		Survived: "all is found and none of them is touched"})
}

// executes fails the test unless path can be executed, whatever bytes it consists of: the spawner takes
// text.
func executes(t *testing.T, path string) {
	t.Helper()
	octal := ""
	for _, b := range []byte(path) {
		octal += fmt.Sprintf(`\0%03o`, b)
	}
	command(t, "sh", "-c", `"$(printf %b "$0")"`, octal)
}

// Names are bytes: what is in them besides letters is nobody's business.
func TestOddNames(t *testing.T) {
	odd := []string{"with space", "new\nline", "not-\xff\xfe-utf8", `quo"te\`, "ünï", "-rf", "%s%n"}
	for _, dir := range odd {
		t.Run(strconv.QuoteToASCII(dir), func(t *testing.T) {
			t.Parallel()
			root := filepath.Join(t.TempDir(), dir)
			must(t, os.Mkdir(root, 0o755))
			s := newSiteIn(t, root)
			s.install("1")
			for _, neighbour := range odd {
				for _, pattern := range []string{"%s", name + "_%s", name + "_001%s", name + "_%s001", name + ".%s"} {
					must(t, os.WriteFile(filepath.Join(s.dir, fmt.Sprintf(pattern, neighbour)), []byte(neighbour), 0o600))
				}
			}
			before := s.names(s.dir)
			d := s.start()
			steady := func(version string) {
				t.Helper()
				d.waitFor("steady with "+version, func(st api.TargetStatus) bool {
					return st.State == api.Steady && st.Generation.SHA256 == sha(version) && len(st.Copies) == 3
				})
				s.holds(s.path, version)
				executes(t, s.path)
			}
			steady("1")
			s.install("2")
			steady("2")
			d.stop()
			d = s.start()
			inode := lstat(t, s.copy(1)).Ino
			steady("2")
			if now := lstat(t, s.copy(1)).Ino; now != inode {
				t.Error("a new start made the copies again")
			}
			_, err := d.Restore(t.Context(), name, false)
			must(t, err)
			if after := s.names(s.dir); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("%q became %q", before, after)
			}
		})
	}
	// The executable itself may have such a name too.
	t.Run("executable", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		odd := s.target("im ap\xffd")
		s.configure(func(c *config.Config) { c.Targets = []config.Target{odd} })
		must(t, standin.Write(odd.Path, "1"))
		d := s.start()
		d.waitForTarget(odd.Name, "steady", func(st api.TargetStatus) bool { return st.State == api.Steady && len(st.Copies) == 3 })
		s.holds(odd.Path, "1")
		executes(t, odd.Path)
		_, err := d.Restore(t.Context(), odd.Name, false)
		must(t, err)
		if names := s.names(s.dir); len(names) != 1 {
			t.Errorf("left: %q", names)
		}
	})
}

// A source that grows while it is read, and again while it is cloned, is what it has become in the end.
func TestSourceThatGrows(t *testing.T) {
	for _, publish := range ways {
		t.Run(string(publish), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *config.Target) { c.Publish = publish })
			s.install("1")
			d := s.start()
			d.steady("1")
			grows := 0
			var mu sync.Mutex
			grow := func(string) error {
				mu.Lock()
				defer mu.Unlock()
				if grows++; grows > 3 {
					return nil
				}
				f, err := openWhenIdle(s.path, os.O_WRONLY|os.O_APPEND)
				if err != nil {
					t.Error(err)
					return nil
				}
				defer f.Close()
				if _, err := f.WriteString("more"); err != nil {
					t.Error(err)
				}
				return nil
			}
			s.calls.on("clone: create", grow)
			s.install("2")
			want := append(standin.ELF("2"), "moremoremore"...)
			sum := sha256.Sum256(want)
			st := d.waitFor("steady with all that was written", func(st api.TargetStatus) bool {
				return st.State == api.Steady && st.Generation.SHA256 == hex.EncodeToString(sum[:]) && len(st.Copies) == 3
			})
			for _, c := range st.Copies {
				if content, err := os.ReadFile(filepath.Join(s.dir, c.Name)); err != nil || !bytes.Equal(content, want) {
					t.Errorf("%s is not what the source has become (%v)", c.Name, err)
				}
			}
			s.onlyKnown()
			faults.Record(t, faults.Row{What: "upgrade, publish = " + string(publish), Injected: "a source that grows while it is cloned", Times: 3,
				Survived: "no copy of an unfinished file gets its name, the finished one is adopted"})
		})
	}
}
