package cyrus_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The two versions of Cyrus in Debian 12's archives: main and security.
const (
	olderCyrus = "3.6.1-4+deb12u4"
	newerCyrus = "3.6.1-4+deb12u5"
)

const policyFile = "/usr/sbin/policy-rc.d"

// host is the Debian system that the suite borrows: packages come by apt, no service is started
// or stopped by them (policy-rc.d answers 101), and giving back purges what was not there before.
// System users that their scripts made stay, as they do on Debian, and so do newer versions of
// libraries that had to come with them.
type host struct {
	before  map[string]string // version of each Cyrus package before the suite; absent ones have none
	arrived []string          // packages that the suite brought
	dirs    []string          // directories that stay after a purge and were not there before
	policy  []byte            // policy-rc.d as it was; nil when there was none
}

// unsuitable says why the suite cannot run here, or "".
func unsuitable() string {
	switch {
	case testing.Short():
		return "asked for -short, and this installs a mail server"
	case os.Getuid() != 0:
		return "needs root, to install Cyrus from Debian's packages and run it"
	}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil || !strings.Contains(string(release), "VERSION_CODENAME=bookworm") {
		return "needs Debian 12 (bookworm), whose archives have two versions of Cyrus"
	}
	for _, p := range processes() {
		if p.comm() == "cyrmaster" && fileAt(p.dir("root")) == fileAt("/") { // none of a container's
			return fmt.Sprintf("a Cyrus of this host's own is running (process %d); stop it first", p)
		}
	}
	return ""
}

// borrow installs the older Cyrus and the tools of the tests, and gives the host back at the end
// of t.
func borrow(t *testing.T) *host {
	t.Helper()
	h := &host{before: installedCyrus()}
	for _, dir := range []string{"/var/lib/cyrus", "/var/spool/cyrus", "/var/spool/sieve", "/run/cyrus"} {
		if !exists(dir) {
			h.dirs = append(h.dirs, dir)
		}
	}
	h.policy, _ = os.ReadFile(policyFile)
	t.Cleanup(func() { h.giveBack(t) })
	if err := os.WriteFile(policyFile, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
		t.Fatal(err)
	}

	// Missing lists and stale ones both show when packages are to be fetched.
	want := append(h.cyrusAt(olderCyrus), "sasl2-bin", "libsasl2-modules", "rpm", "strace")
	if _, err := apt("install", append([]string{"-y", "--no-remove", "--allow-downgrades", "--download-only"}, want...)...); err != nil {
		if _, err := apt("update"); err != nil {
			t.Fatal(err)
		}
	}
	plan, err := apt("install", append([]string{"--simulate", "--no-remove", "--allow-downgrades"}, want...)...)
	if err != nil {
		t.Fatal(err)
	}
	// "Inst NAME (VERSION …" is new, "Inst NAME [OLD] (VERSION …" was there before.
	for _, m := range regexp.MustCompile(`(?m)^Inst (\S+) \(`).FindAllStringSubmatch(plan, -1) {
		h.arrived = append(h.arrived, m[1])
	}
	h.install(t, want...)
	return h
}

// install makes the named packages ("name" or "name=version") be there, up or down.
func (h *host) install(t *testing.T, packages ...string) {
	t.Helper()
	if _, err := apt("install", append([]string{"-y", "--no-remove", "--allow-downgrades"}, packages...)...); err != nil {
		t.Fatal(err)
	}
}

func (h *host) giveBack(t *testing.T) {
	if len(h.before) > 0 {
		args := []string{"-y", "--no-remove", "--allow-downgrades"}
		for name, version := range h.before {
			args = append(args, name+"="+version)
		}
		if _, err := apt("install", args...); err != nil {
			t.Error(err)
		}
	}
	if len(h.arrived) > 0 {
		if _, err := apt("purge", append([]string{"-y"}, h.arrived...)...); err != nil {
			t.Error(err)
		}
		for _, dir := range h.dirs {
			if err := os.RemoveAll(dir); err != nil {
				t.Error(err)
			}
		}
	}
	if h.policy == nil {
		if err := os.Remove(policyFile); err != nil {
			t.Error(err)
		}
	} else if err := os.WriteFile(policyFile, h.policy, 0o755); err != nil {
		t.Error(err)
	}
}

// cyrusAt names Cyrus's packages at a version: cyrus-imapd, which holds imapd, cyrus-common, which
// holds lmtpd, and whatever else of Cyrus was here before, since they depend on each other's version.
func (h *host) cyrusAt(version string) []string {
	packages := []string{"cyrus-imapd=" + version, "cyrus-common=" + version}
	for name := range h.before {
		if name != "cyrus-imapd" && name != "cyrus-common" {
			packages = append(packages, name+"="+version)
		}
	}
	return packages
}

// apt runs apt-get without questions and returns what it printed.
func apt(verb string, args ...string) (string, error) {
	return run(context.Background(), aptGet(context.Background(), verb, args...))
}

func aptGet(ctx context.Context, verb string, args ...string) *exec.Cmd {
	options := []string{verb, "--no-install-recommends",
		"-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Options::=--force-confold", "-o", "Dpkg::Use-Pty=0"}
	cmd := exec.CommandContext(ctx, "apt-get", append(options, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	return cmd
}

// run runs a command to its end, at most five minutes, and returns its output, both streams.
func run(ctx context.Context, cmd *exec.Cmd) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		if cmd.Process != nil {
			cmd.Process.Kill()
		}
	})
	defer stop()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out), nil
}

// must runs a command that has to succeed and returns its output.
func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := run(t.Context(), exec.Command(name, args...))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// installedCyrus is the version of every package of Cyrus that is installed.
func installedCyrus() map[string]string {
	out, _ := exec.Command("dpkg-query", "-W", "-f", "${db:Status-Abbrev}${source:Package} ${Package} ${Version}\n").Output()
	versions := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 4 && f[0] == "ii" && f[1] == "cyrus-imapd" {
			versions[f[2]] = f[3]
		}
	}
	return versions
}

// altered is what dpkg -V says about a package: a line for each file that is not as packaged.
func altered(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("dpkg", "-V", name).Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) { // it exits 2 when it has something to say
		t.Fatal(err)
	}
	return string(out)
}

// packagedMD5 is the checksum that the installed package's own list has for a file.
func packagedMD5(t *testing.T, pkg, file string) string {
	t.Helper()
	list, err := os.ReadFile(filepath.Join("/var/lib/dpkg/info", pkg+".md5sums"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(list)) {
		if sum, name, ok := strings.Cut(strings.TrimSpace(line), "  "); ok && "/"+name == file {
			return sum
		}
	}
	t.Fatalf("%s is not in the list of package %s", file, pkg)
	return ""
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
