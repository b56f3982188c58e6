package packages_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// plain: a tree in which no systemd runs, and one that has none at all, as in an image build.
func plain(t *testing.T, l *lab) {
	tree := l.clone(t, "plain")
	for _, with := range []string{"a systemd that does not run", "no systemd"} {
		if with == "no systemd" {
			chrooted(t, tree, "apt-get", "purge", "-y", "-q", "--allow-remove-essential", "systemd", "systemd-sysv")
			if err := os.Remove(filepath.Join(tree, "usr/bin/systemctl")); err == nil {
				t.Fatal("systemctl was still there")
			}
		}
		for _, step := range [][]string{
			{"install", "/root/relinkd_" + older + ".deb"},
			{"install", "/root/relinkd_" + newer + ".deb"},
			{"remove", "relinkd"},
			{"install", "/root/relinkd_" + newer + ".deb"},
			{"purge", "relinkd"},
		} {
			out := chrooted(t, tree, "apt-get", step[0], "-y", "-q", step[1])
			if line := complaint.FindString(out); line != "" {
				t.Errorf("%s, %s: %q in\n%s", with, strings.Join(step, " "), line, out)
			}
			if step[0] == "install" {
				for _, name := range []string{"lib/systemd/system/relinkd.service", "etc/relinkd/relinkd.toml", "usr/sbin/relinkd"} {
					if _, err := os.Stat(filepath.Join(tree, name)); err != nil {
						t.Errorf("%s, %s: %v", with, strings.Join(step, " "), err)
					}
				}
			}
		}
		left, err := command(time.Minute, "find", tree, "-xdev", "-name", "*relinkd*", "-not", "-path", "*/root/*")
		if err != nil || left != "" {
			t.Errorf("%s: a purge leaves %v\n%s", with, err, left)
		}
	}
	t.Log("installed, upgraded, removed and purged where systemd does not run, and where there is none")
}

// complaint finds a line that says that something went wrong.
var complaint = regexp.MustCompile(`(?im)^.*(\berror|cannot|failed|not found|no such|warning).*$`)

func chrooted(t *testing.T, tree, name string, args ...string) string {
	t.Helper()
	out, err := inChroot(tree, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
