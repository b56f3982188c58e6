package watch

import (
	"os"
	"sync/atomic"
	"testing"

	"relinkd/config"
)

// dpkg takes an upgrade back in the very moment in which the new version is to be published: all its copies have
// their names, and the pristine is the version before. That one is in force again, and nobody has changed it.
func TestTakenBackWhilePublishing(t *testing.T) {
	t.Parallel()
	for _, publish := range []config.Publish{config.PublishSymlink, config.PublishLauncher} {
		t.Run(string(publish), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *config.Target) { c.Publish = publish })
			s.install("1")
			d := s.start()
			d.steady("1")
			backup := s.path + ".dpkg-tmp"
			if publish == config.PublishLauncher {
				must(t, os.Link(s.path, backup))
			} else {
				must(t, os.Symlink(linkText(t, s.path), backup))
			}
			var taken atomic.Bool
			s.calls.on("publish: exchange", func(string) error {
				if !taken.Swap(true) {
					return os.Rename(backup, s.path)
				}
				return nil
			})
			s.install("2")
			eventually(t, "the upgrade is taken back", taken.Load)
			st := d.steady("1")
			s.inForce("1", st.Copies...)
			d.stop()
			s.start().steady("1")
			s.onlyKnown()
		})
	}
}
