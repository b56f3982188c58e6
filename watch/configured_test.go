package watch

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"relinkd/api"
	"relinkd/config"
)

// A package whose postinst gives its program a capability, which setcap refuses to do by a symbolic link, is installed
// and upgraded by the real dpkg, with a database of its own: it is configured, and then all copies have it.
func TestPostinstSetcap(t *testing.T) {
	for _, tool := range []string{"dpkg", "dpkg-deb", "setcap"} {
		if _, err := exec.LookPath(tool); err != nil || os.Geteuid() != 0 {
			t.Skipf("left out, it needs root and %s", tool)
		}
	}
	for _, publish := range ways {
		t.Run(string(publish), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *config.Target) { c.Publish = publish })
			for _, dir := range []string{"info", "updates"} {
				must(t, os.MkdirAll(filepath.Join(s.admin, dir), 0o755))
			}
			for _, file := range []string{"status", "available"} {
				must(t, os.WriteFile(filepath.Join(s.admin, file), nil, 0o644))
			}
			dpkg := func(version string) {
				t.Helper()
				cmd := exec.Command("dpkg", "--admindir="+s.admin, "--force-bad-path", "-i", s.deb(version))
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("version %s: %v\n%s\n%s", version, err, out, s.log.String())
				}
			}
			d := s.start()
			d.waitFor("nothing is installed", func(st api.TargetStatus) bool { return st.State == api.Absent })
			for _, version := range []string{"1", "2"} {
				dpkg(version)
				d.waitFor("version "+version, func(st api.TargetStatus) bool {
					return st.State == api.Steady && st.Generation.SHA256 == sha(version) && hasCap(t, s.copy(1)) && hasCap(t, s.copy(3))
				})
				d.steady(version)
			}
			if told := strings.Count(s.log.String(), "is not linked to copies yet"); publish == config.PublishSymlink && told == 0 {
				t.Error("that it is waited for dpkg is not told")
			}
		})
	}
}

// deb makes a package of the site's program.
func (s *site) deb(version string) string {
	s.t.Helper()
	root := s.t.TempDir()
	for _, dir := range []string{filepath.Join(root, "DEBIAN"), filepath.Join(root, s.dir)} {
		must(s.t, os.MkdirAll(dir, 0o755))
	}
	must(s.t, writeStandin(filepath.Join(root, s.path), version))
	must(s.t, os.WriteFile(filepath.Join(root, "DEBIAN", "control"), fmt.Appendf(nil,
		"Package: sample\nVersion: %s\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: a sample\n", version), 0o644))
	// It takes its time, as one does that makes users and asks questions.
	must(s.t, os.WriteFile(filepath.Join(root, "DEBIAN", "postinst"), fmt.Appendf(nil,
		"#!/bin/sh\nset -e\nsleep 1\nsetcap cap_net_bind_service+ep %s\n", s.path), 0o755))
	file := filepath.Join(s.t.TempDir(), version+".deb")
	command(s.t, "dpkg-deb", "--root-owner-group", "-b", root, file)
	return file
}

// What dpkg does not come to does not keep a program from being published for ever, nor does a package that is
// configured, one whose script is about another file, or a dpkg that is not at work.
func TestAwaitConfiguredEnds(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		status, script string
		locked, waits  bool
	}{
		"unpacked":              {"install ok unpacked", "setcap cap_net_raw+ep %s", true, true},
		"half-configured":       {"install ok half-configured", "cd bin\nsetcap cap_net_raw+ep imapd\n", true, true},
		"configured":            {"install ok installed", "setcap cap_net_raw+ep %s", true, false},
		"dpkg has ended":        {"install ok unpacked", "setcap cap_net_raw+ep %s", false, false},
		"of another file":       {"install ok unpacked", "setcap cap_net_raw+ep /etc/imapd.conf", true, false},
		"what follows a link":   {"install ok unpacked", "chmod 750 %[1]s\nchown root:mail %[1]s", true, false},
		"no attributes":         {"install ok unpacked", "# setcap %[1]s\necho %[1]s", true, false},
		"noted in updates":      {"install ok installed", "setcap cap_net_raw+ep %s", true, true},
		"configured in between": {"install ok unpacked", "setcap cap_net_raw+ep %s", true, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			must(t, os.MkdirAll(filepath.Join(s.admin, "info"), 0o755))
			must(t, os.MkdirAll(filepath.Join(s.admin, "updates"), 0o755))
			script := c.script
			if strings.Contains(script, "%") {
				script = fmt.Sprintf(script, s.path)
			}
			stanza := func(file, status string) {
				must(t, os.WriteFile(filepath.Join(s.admin, file), fmt.Appendf(nil, "Package: other\nStatus: install ok installed\n\nPackage: sample\nStatus: %s\nVersion: 1\n", status), 0o644))
			}
			stanza("status", c.status)
			must(t, os.WriteFile(filepath.Join(s.admin, "info", "sample:amd64.postinst"), []byte("#!/bin/sh\n"+script), 0o755))
			switch what {
			case "noted in updates":
				stanza("updates/0000", "install ok installed")
				stanza("updates/0001", "install ok unpacked")
			case "configured in between":
				stanza("updates/0001", "install ok installed")
			}
			unlock := func() {}
			if c.locked {
				unlock = lockFile(t, filepath.Join(s.admin, "lock"))
			}
			s.install("1")
			d := s.start()
			if c.waits {
				st := d.waitFor("it waits", func(st api.TargetStatus) bool {
					return st.State == api.Settling && strings.Contains(st.Reason, "has not configured sample")
				})
				if st.Generation.SHA256 != "" {
					t.Errorf("it is published: %+v", st)
				}
				must(t, os.Remove(filepath.Join(s.admin, "info", "sample:amd64.postinst")))
			}
			d.steady("1")
			unlock()
		})
	}
}

// The wait for dpkg is bounded.
func TestAwaitConfiguredIsBounded(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	must(t, os.MkdirAll(filepath.Join(s.admin, "tmp.ci"), 0o755))
	must(t, os.WriteFile(filepath.Join(s.admin, "tmp.ci", "postinst"), []byte("setcap cap_net_raw+ep "+s.path), 0o755))
	defer lockFile(t, filepath.Join(s.admin, "lock"))()
	d := s.start()
	d.waitFor("it waits", func(st api.TargetStatus) bool {
		return st.State == api.Settling && strings.Contains(st.Reason, "dpkg is unpacking")
	})
	l, err := d.find(name)
	must(t, err)
	must(t, l.do(t.Context(), l.gone, func() { l.unconfigured.since = l.unconfigured.since.Add(-configureMax) }))
	d.steady("1")
}
