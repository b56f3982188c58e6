package watch

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"relinkd/api"
	"relinkd/config"
)

// Two names of one file are two targets with copies of their own, from the first publish through a restart,
// an upgrade of both and a restore, whatever stands there meanwhile.
func TestTwoNamesOfOneFile(t *testing.T) {
	for _, publish := range ways {
		t.Run(string(publish), func(t *testing.T) {
			s := newSite(t, func(t *config.Target) { t.Publish = publish })
			const other = "lmtpd"
			s.configure(func(c *config.Config) {
				c.Targets = append(c.Targets, s.target(other, func(t *config.Target) { t.Publish = publish }))
			})
			path := filepath.Join(s.dir, other)
			both := func(version string) os.FileInfo {
				s.install(version)
				must(t, os.Link(s.path, path+".dpkg-new"))
				must(t, os.Rename(path+".dpkg-new", path))
				info, err := os.Stat(s.path)
				must(t, err)
				return info
			}
			steady := func(d *daemon, version string) {
				t.Helper()
				for _, target := range []string{name, other} {
					d.waitForTarget(target, "steady with version "+version, func(st api.TargetStatus) bool {
						return st.State == api.Steady && st.Generation.SHA256 == sha(version)
					})
				}
			}
			both("1")
			d := s.start()
			steady(d, "1")
			d.stop()
			d = s.start()
			steady(d, "1")
			info := both("2")
			steady(d, "2")
			for _, target := range []string{name, other} {
				_, err := d.Restore(context.Background(), target, true)
				must(t, err)
				if now, err := os.Lstat(filepath.Join(s.dir, target)); err != nil || !os.SameFile(now, info) {
					t.Errorf("%s is not the packaged file again (%v)", target, err)
				}
			}
			if names := s.names(s.dir); len(names) != 2 {
				t.Errorf("left over: %q", names)
			}
		})
	}
}

// A target whose path is a link to another target's says so, and takes nothing from the other.
func TestTargetThatLinksToAnother(t *testing.T) {
	s := newSite(t)
	const other = "proxyd"
	s.configure(func(c *config.Config) { c.Targets = append(c.Targets, s.target(other)) })
	s.install("1")
	must(t, os.Symlink(name, filepath.Join(s.dir, other)))
	d := s.start()
	d.waitFor("steady", func(st api.TargetStatus) bool { return st.State == api.Steady })
	d.waitForTarget(other, "degraded", func(st api.TargetStatus) bool { return st.State == api.Degraded && st.Reason != "" })
	if _, err := d.Restore(context.Background(), name, false); err != nil {
		t.Error(err)
	}
	if _, err := d.Restore(context.Background(), other, false); err != nil {
		t.Error(err)
	}
	if text, err := os.Readlink(filepath.Join(s.dir, other)); err != nil || text != name {
		t.Errorf("%s leads to %q (%v)", other, text, err)
	}
}
