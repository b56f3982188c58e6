package watch

import (
	"os"
	"path/filepath"
	"testing"

	"relinkd/api"
)

// packaged makes the path belong to a dpkg package.
func (s *site) packaged() (list string) {
	s.t.Helper()
	list = filepath.Join(s.admin, "info", "cyrus-imapd.list")
	must(s.t, os.WriteFile(list, []byte("/.\n"+s.path+"\n"), 0o644))
	return list
}

// knowsPackage waits until the daemon has read that list.
func (d *daemon) knowsPackage() {
	d.s.t.Helper()
	l, err := d.find(name)
	must(d.s.t, err)
	eventually(d.s.t, "the package is known", l.install.Packaged)
}

// stoodDown waits until nothing of ours is left.
func (d *daemon) stoodDown() {
	d.s.t.Helper()
	d.waitFor("absent", func(st api.TargetStatus) bool { return st.State == api.Absent })
	eventually(d.s.t, "nothing is left", func() bool { return len(d.s.names(d.s.dir)) == 0 })
}

func TestRemovedByDpkg(t *testing.T) {
	for _, slow := range []bool{false, true} {
		t.Run(map[bool]string{false: "the list at once", true: "the list later"}[slow], func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			list := s.packaged()
			s.install("1")
			d := s.start()
			d.steady("1")
			d.knowsPackage()
			must(t, os.Remove(s.path))
			if slow { // path is put back before it is known that it was a removal
				eventually(t, "path is put back", func() bool { return !lstat(t, s.path).ID.IsZero() })
				s.runs(s.path, "1")
			}
			must(t, os.Remove(list))
			d.stoodDown()
			s.packaged()
			s.install("2")
			d.steady("2")
		})
	}
}

func TestRemovedWhileStopped(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	list := s.packaged()
	s.install("1")
	d := s.start()
	d.steady("1")
	d.knowsPackage()
	_, err := d.Reclone(t.Context(), name) // saves what is known
	must(t, err)
	d.stop()
	must(t, os.Remove(s.path))
	must(t, os.Remove(list))
	d = s.start()
	d.stoodDown()
}

func TestRemovedByRpm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	eventually(t, "the previous one is dropped", func() bool { return lstat(t, s.previous()).ID.IsZero() })
	unlock := lockFile(t, filepath.Join(s.admin, ".rpm.lock"))
	must(t, os.Remove(s.path))
	d.stoodDown()
	unlock()
	s.install("2")
	d.steady("2")
}

// A sidecar stands down as well: its package is gone, and Cyrus with it.
func TestSidecarRemoved(t *testing.T) {
	t.Parallel()
	s := newSite(t, sidecar)
	list := s.packaged()
	s.install("1")
	d := s.start()
	d.steady("1")
	d.knowsPackage()
	must(t, os.Remove(s.path))
	must(t, os.Remove(list))
	d.stoodDown()
}
