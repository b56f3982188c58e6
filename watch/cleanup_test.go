package watch

import (
	"os"
	"testing"

	"relinkd/api"
	"relinkd/config"
	"relinkd/internal/faults"
	"relinkd/linker"
)

// Somebody cleans up, or makes one directory like another (rsync --delete), and a new version is put there: no
// state of the disk ends the daemon.
func TestAllRemovedAndInstalledAnew(t *testing.T) {
	removeAll := func(t *testing.T, s *site) {
		eventually(t, "all is removed", func() bool {
			for _, file := range s.names(s.dir) {
				_ = os.RemoveAll(s.dir + "/" + file)
			}
			return len(s.names(s.dir)) == 0
		})
	}
	for _, publish := range ways {
		t.Run(string(publish)+", before its eyes", func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *config.Target) { c.Publish = publish })
			s.install("1")
			d := s.start()
			d.steady("1")
			removeAll(t, s)
			s.install("2")
			d.waitFor("the new version is in force", func(st api.TargetStatus) bool {
				return st.State == api.Steady && st.Generation.SHA256 == sha("2")
			})
			faults.Record(t, faults.Row{What: "steady, publish = " + string(publish), Injected: "everything of relinkd's is removed, and a new version installed", Times: 1,
				Survived: "the daemon goes on, and the new version comes in force"})
		})
		t.Run(string(publish)+", while it is stopped", func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *config.Target) { c.Publish = publish })
			s.install("1")
			d := s.start()
			d.steady("1")
			d.stop()
			removeAll(t, s)
			if publish != config.PublishNone { // our link alone is left, and leads nowhere
				must(t, os.Symlink(linker.PrivateDir+"/"+name, s.path))
			}
			d = s.start()
			s.install("2")
			d.waitFor("the new version is in force", func(st api.TargetStatus) bool {
				return st.State == api.Steady && st.Generation.SHA256 == sha("2")
			})
		})
	}
}

// With publish = "none" the copies go on without path, after a new start too.
func TestSidecarGoesOnWithoutPathAfterARestart(t *testing.T) {
	t.Parallel()
	s := newSite(t, sidecar, func(c *config.Target) { c.Threshold, c.RotateAt = 4, 0.5 })
	s.install("1")
	d := s.start()
	d.steady("1")
	must(t, os.Remove(s.path))
	d.degraded("path is gone")
	d.stop()
	d = s.start()
	d.degraded("path is gone")
	for n := range 4 { // one by one: no threshold holds against five between two looks
		hold(t, s.privateLink())
		d.waitFor("it is counted", func(st api.TargetStatus) bool { return st.Processes == n+1 })
	}
	hold(t, s.privateLink())
	st := d.waitFor("the link has moved on", func(st api.TargetStatus) bool { return st.Processes == 5 && st.Rotations > 0 })
	for _, c := range st.Copies {
		if c.Processes > 4 {
			t.Errorf("%s has %d processes, and the threshold is 4", c.Name, c.Processes)
		}
	}
	if !st.Executes {
		t.Errorf("what services execute is the private link, which executes: %s", st.ExecutesReason)
	}
	for _, running := range []bool{true, false} { // and without the private directory, of which the manifest tells
		if !running {
			d.stop()
		}
		eventually(t, "the private directory is deleted", func() bool { return os.RemoveAll(s.private("")) == nil })
		if !running {
			d = s.start()
		}
		eventually(t, "the private link leads to a copy again", func() bool { return !lacks(s.privateLink()) })
		s.runs(s.privateLink(), "1")
		d.waitFor("it is told", func(st api.TargetStatus) bool { return st.Executes && st.Current != "" })
	}
}
