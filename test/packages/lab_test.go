package packages_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// The two versions of Cyrus in Debian 12's archives, main and security.
const (
	olderCyrus = "3.6.1-4+deb12u4"
	newerCyrus = "3.6.1-4+deb12u5"
)

// lab is what all scenarios share.
type lab struct {
	dir  string // of its own in scratch
	tree string // a Debian that was never booted, with all packages a scenario installs in apt's cache
}

// unsuitable says why the scenarios cannot run here, or "".
func unsuitable() string {
	release, err := os.ReadFile("/etc/os-release")
	if err != nil || !strings.Contains(string(release), "VERSION_CODENAME=bookworm") {
		return "needs Debian 12 (bookworm), whose archives have two versions of Cyrus"
	}
	if arch, err := exec.Command("dpkg", "--print-architecture").Output(); err != nil || strings.TrimSpace(string(arch)) != "amd64" {
		return "needs an amd64 machine, which is what the trees are made for"
	}
	for _, tool := range []string{"debootstrap", "systemd-nspawn", "qemu-system-x86_64", "mkfs.ext4"} {
		if _, err := exec.LookPath(tool); err != nil {
			return tool + " is not installed (tools/setup does that)"
		}
	}
	if out, err := exec.Command("unshare", "--mount", "--pid", "--net", "--fork", "true").CombinedOutput(); err != nil {
		return fmt.Sprintf("needs namespaces of its own, which this machine refuses: %s", out)
	}
	return ""
}

// newLab builds the packages and makes the tree, both at once.
func newLab(t *testing.T) *lab {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, "lab-")
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{dir: dir, tree: filepath.Join(dir, "tree")}
	made := l.bootstrap
	if kept := os.Getenv("PACKAGES_TREE"); kept != "" {
		l.tree = kept
		if _, err := os.Stat(kept); err == nil {
			made = func() error { return nil }
		}
	}
	began := time.Now()
	var both errgroup.Group
	both.Go(func() error { _, err := build(); return err })
	both.Go(made)
	if err := both.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("packages built and tree made in %.0f s", time.Since(began).Seconds())
	return l
}

// command runs a program of the host and returns what it printed; an error holds the end of it.
func command(limit time.Duration, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, lastLines(string(out), 30))
	}
	return string(out), nil
}

// lastLines is the end of a text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
