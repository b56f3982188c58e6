package watch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"relinkd/config"
	"relinkd/internal/fstest"
)

// The life of a target, on every file system that relinkd promises to work on.
func TestEveryFileSystem(t *testing.T) {
	fstest.Each(t, func(t *testing.T, dir string) {
		for _, publish := range waysOurs {
			t.Run(string(publish), func(t *testing.T) {
				life(t, newSiteIn(t, filepath.Join(dir, string(publish)), func(c *config.Target) { c.Publish = publish }))
			})
		}
	})
}

func life(t *testing.T, s *site) {
	s.install("1")
	packaged := lstat(t, s.path).Ino
	d := s.start()
	d.steady("1")
	end := execLoop(t, s.path)
	s.install("2")
	d.steady("2")
	_, err := d.Rotate(t.Context(), name, 3)
	must(t, err)
	d.stop()
	d = s.start()
	if st := d.steady("2"); st.Current != "imapd_003" {
		t.Errorf("after a new start %s is current", st.Current)
	}
	_, err = d.Reclone(t.Context(), name)
	must(t, err)
	d.steady("2")
	upgraded := lstat(t, s.pristine()).Ino
	_, err = d.Restore(t.Context(), name, false)
	must(t, err)
	end()
	if upgraded == packaged {
		t.Error("the upgrade has the inode of what it replaced")
	}
	s.plain("2", upgraded)
}

// Copies that would not execute are not published.
func TestNoExec(t *testing.T) {
	t.Parallel()
	s := newSiteIn(t, filepath.Join(fstest.NoExec(t), "site"))
	s.install("1")
	before := tree(t, s.dir)
	d := s.start()
	d.degraded("noexec")
	after := tree(t, s.dir)
	before[s.dir] = after[s.dir] // its times tell of the copy that was tried
	unchanged(t, s.dir, before)
	// What relinkd makes and removes at each try is no news for which it would be tried at once.
	eventually(t, "a wait that grows", func() bool { return strings.Contains(s.log.String(), "to be tried again in 2s") })
}

// A full disk leaves what stands, and nothing half made.
func TestSmallDisk(t *testing.T) {
	t.Parallel()
	s := newSiteIn(t, filepath.Join(fstest.Small(t, 1<<20), "site"))
	s.installHeavy("1")
	d := s.start()
	d.degraded("no space left on device")
	if names := s.names(s.dir); len(names) != 1 {
		t.Errorf("in the install directory: %v", names)
	}
	must(t, os.Remove(s.path))
	s.install("2")
	d.steady("2")
}
