package watch

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/internal/standin"
	"relinkd/linker/launcher"
)

func launched(t *config.Target) { t.Publish = config.PublishLauncher }

// launching is a site whose path is a launcher of version 1.
func launching(t *testing.T) (*site, *daemon) {
	t.Helper()
	s := newSite(t, launched)
	s.install("1")
	d := s.start()
	d.steady("1")
	return s, d
}

// The launcher is to be taken for the source by whoever looks: it has its mode, owner and time, and is
// another file for each generation, to whose change Cyrus's workers look. A rotation changes nothing.
func TestLauncherLooksLikeItsSource(t *testing.T) {
	t.Parallel()
	s, d := launching(t)
	for _, version := range []string{"1", "2", "3"} {
		before := lstat(t, s.path).ID
		if version != "1" {
			build := s.path + ".dpkg-new"
			must(t, standin.Write(build, version))
			must(t, os.Chmod(build, 0o751))
			must(t, os.Rename(build, s.path))
			d.steady(version)
			if lstat(t, s.path).ID == before {
				t.Errorf("version %s has the launcher of the version before", version)
			}
		}
		at, source := lstat(t, s.path), lstat(t, s.pristine())
		if at.Mode != source.Mode || at.UID != source.UID || at.GID != source.GID || at.Mtime != source.Mtime || at.Nlink != 1 || at.Size > launcher.MaxSize {
			t.Errorf("the launcher is %+v, its source %+v", at, source)
		}
		_, err := d.Rotate(t.Context(), name, 3)
		must(t, err)
		if after := lstat(t, s.path); after != at {
			t.Errorf("a rotation has changed the launcher from %+v to %+v", at, after)
		}
		s.runs(s.path, version)
	}
}

// All copies anew: workers must leave the old ones, so the launcher is another one.
func TestLauncherOfClonesAnew(t *testing.T) {
	t.Parallel()
	s, d := launching(t)
	before := lstat(t, s.path).ID
	_, err := d.Reclone(t.Context(), name)
	must(t, err)
	d.steady("1")
	if lstat(t, s.path).ID == before {
		t.Error("it is still the launcher of the copies that were replaced")
	}
}

// What is set on path is meant for what it executes.
func TestModeOfLauncher(t *testing.T) {
	t.Parallel()
	s, d := launching(t)
	copies := lstat(t, s.copy(1)).ID
	for _, mode := range []uint32{0o751, 0o4755, 0o755} {
		must(t, unix.Chmod(s.path, mode))
		eventually(t, "all have the mode", func() bool {
			for _, path := range []string{s.pristine(), s.copy(1), s.copy(2), s.copy(3)} {
				if lstat(t, path).Perm() != mode {
					return false
				}
			}
			return lstat(t, s.path).Perm() == mode&0o777
		})
		if mode == 0o4755 { // a mode that path has already says nothing new
			must(t, unix.Chmod(s.path, 0o711))
			eventually(t, "all have the next mode", func() bool { return lstat(t, s.copy(3)).Perm() == 0o711 })
		}
	}
	if lstat(t, s.copy(1)).ID != copies {
		t.Error("a copy was cloned again")
	}
	d.steady("1")
	// What must not be is taken back.
	must(t, os.Chmod(s.path, 0o777))
	eventually(t, "the mode is taken back", func() bool { return lstat(t, s.path).Perm() == 0o755 })
	if lstat(t, s.pristine()).Perm() != 0o755 {
		t.Error("the pristine can be written by all")
	}
	d.steady("1")
	_, err := d.Restore(t.Context(), name, false)
	must(t, err)
	s.plain("1", 0)
}

// A source that gives its user's rights to who executes it: the copies do, the launcher does not.
func TestLauncherOfSetUID(t *testing.T) {
	t.Parallel()
	s := newSite(t, launched)
	s.install("1")
	must(t, unix.Chmod(s.path, 0o6755))
	d := s.start()
	d.steady("1")
	if at, copied := lstat(t, s.path), lstat(t, s.copy(1)); at.Perm() != 0o755 || copied.Perm() != 0o6755 {
		t.Errorf("the launcher has mode %04o, the copy %04o", at.Perm(), copied.Perm())
	}
}

// Attributes tell who may execute a file and as what; what a file may do and what it contains are the
// copy's own.
func TestLauncherAttributes(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("not root: left out capabilities and attributes of the system's")
	}
	s := newSite(t, launched)
	s.install("1")
	capability := []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00") // cap_net_bind_service=ep
	must(t, unix.Setxattr(s.path, "security.capability", capability, 0))
	must(t, unix.Setxattr(s.path, "trusted.label", []byte("imapd_exec_t"), 0))
	s.start().steady("1")
	buf := make([]byte, 100)
	for name, has := range map[string]bool{"security.capability": false, "trusted.label": true} {
		for path, has := range map[string]bool{s.path: has, s.copy(1): true} {
			if _, err := unix.Getxattr(path, name, buf); (err == nil) != has {
				t.Errorf("%s of %s: %v", name, path, err)
			}
		}
	}
}

// cp writes into the launcher itself: a new version at path, which is adopted as such, at the inode that
// the launcher had.
func TestUpgradeByWritingIntoTheLauncher(t *testing.T) {
	t.Parallel()
	s, d := launching(t)
	lockFile(t, filepath.Join(s.admin, "lock-frontend")) // the previous one stays
	for _, version := range []string{"2", "3"} {
		was := lstat(t, s.path).ID
		command(t, "cp", s.file(version), s.path)
		d.steady(version)
		if lstat(t, s.pristine()).ID != was {
			t.Error("the pristine is not the file that was written to")
		}
	}
	s.holds(s.previous(), "2")
}

// A launcher that somebody has changed is none of anybody's work, and one of a relinkd before this one is
// none either.
func TestLauncherIsMended(t *testing.T) {
	t.Parallel()
	s, d := launching(t)
	content, err := os.ReadFile(s.path)
	must(t, err)
	for what, changed := range map[string][]byte{
		"longer":                append(content[:len(content):len(content)], "more"...),
		"another instruction":   bytes.Replace(content, []byte("\x4b"), []byte("\x4c"), 1),
		"in another directory":  bytes.Replace(content, []byte(s.dir), []byte("/"+strings.Repeat("x", len(s.dir)-1)), 1),
		"without its last byte": append(content[:len(content)-1:len(content)-1], 0, 0),
	} {
		if bytes.Equal(changed, content) {
			t.Fatalf("%s: nothing is changed", what)
		}
		must(t, os.WriteFile(s.path+".new", changed, 0o755))
		must(t, os.Rename(s.path+".new", s.path))
		// What came out of path is removed a moment after the exchange.
		eventually(t, what+": it is mended", func() bool {
			return s.published(config.PublishLauncher) && lstat(t, s.private(name+".publish")).ID.IsZero()
		})
		d.steady("1")
	}
	// Without a daemon it is only told of.
	d.stop()
	must(t, os.WriteFile(s.path, append(content, "more"...), 0))
	v, err := s.offline().Verify(t.Context(), name)
	must(t, err)
	if v.Problems() != 1 || v.Targets[0].Copies[0].Name != name || !strings.Contains(v.Targets[0].Copies[0].Problem, "launcher") {
		t.Errorf("verify: %+v", v)
	}
}

// A launcher is never a source: its copies would execute one another until the end of time.
func TestLauncherIsNoSource(t *testing.T) {
	t.Parallel()
	s, d := launching(t)
	_, err := d.Adopt(t.Context(), name, s.path)
	if !errors.Is(err, api.ErrRefused) || !strings.Contains(err.Error(), "is relinkd's launcher of "+s.privateLink()) {
		t.Errorf("adopt: %v", err)
	}
	d.steady("1")
	other := newSite(t)
	content, err := os.ReadFile(s.path)
	must(t, err)
	pop3d := filepath.Join(other.dir, "pop3d")
	other.configure(func(c *config.Config) { c.Targets[0].Path = pop3d })
	must(t, os.WriteFile(pop3d, content, 0o755))
	before := tree(t, other.dir)
	od := other.start()
	od.degraded("path is relinkd's launcher of " + s.privateLink())
	unchanged(t, other.dir, before)
}

// Where even a launcher finds no room, a path that was removed becomes a symbolic link, until there is.
func TestPutBackOnFullDisk(t *testing.T) {
	t.Parallel()
	s, d := launching(t)
	s.calls.on("launcher: write", func(string) error { return unix.ENOSPC })
	must(t, os.Remove(s.path))
	eventually(t, "path is a symbolic link", func() bool { return s.published(config.PublishSymlink) })
	s.runs(s.path, "1")
	d.degraded("make room")
	s.calls.on("launcher: write", nil)
	eventually(t, "path is a launcher again", func() bool { return s.published(config.PublishLauncher) })
	d.steady("1")
}

// A process that is the launcher yet when path is restored must still find what to execute, however long it
// was not let on: restore waits for it.
func TestRestoreWaitsForLaunchers(t *testing.T) {
	t.Parallel()
	s, d := launching(t)
	halted := ask(t, request{Op: "halt", Path: s.path})
	if halted.Error != "" {
		t.Fatal(halted.Error)
	}
	restored := make(chan error, 1)
	go func() {
		_, err := d.Restore(t.Context(), name, false)
		restored <- err
	}()
	eventually(t, "path is restored", func() bool { return holdsVersion(s.path, "1") && !s.published(config.PublishLauncher) })
	select {
	case err := <-restored:
		t.Errorf("restore has not waited (%v)", err)
		restored <- err
	case <-time.After(launchMax / 4): // or it waits
	}
	if r := ask(t, request{Op: "goon", PID: halted.PID}); r.Error != "" {
		t.Errorf("the launcher did not execute what path has become: %s", r.Error)
	}
	must(t, <-restored)
	s.plain("1", 0)
}
