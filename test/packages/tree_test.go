package packages_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// inTree are the packages of every tree; inCache those that scenarios install, which a machine without
// a network takes from apt's cache.
var (
	inTree  = []string{"systemd", "systemd-sysv", "dbus", "ca-certificates", "perl"}
	inCache = slices.Concat(cyrusAt(olderCyrus), []string{"sasl2-bin", "libsasl2-modules", "curl"})
	forBoot = []string{"linux-image-cloud-amd64", "initramfs-tools", "udev", "kmod", "psmisc"}
)

// cyrusAt names Cyrus's packages at a version.
func cyrusAt(version string) []string {
	return []string{"cyrus-imapd=" + version, "cyrus-common=" + version}
}

// bootstrap makes the tree that all machines are copies of, from the host's own package sources.
func (l *lab) bootstrap() error {
	mirror, err := mirror()
	if err != nil {
		return err
	}
	if _, err := command(10*time.Minute, "debootstrap", "--variant=minbase",
		"--include="+strings.Join(inTree, ","), "bookworm", l.tree, mirror); err != nil {
		return err
	}
	// The host's sources, with what it needs to reach them.
	for _, source := range []string{
		"/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/apt/trusted.gpg.d", "/etc/apt/auth.conf.d",
		"/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt",
	} {
		os.RemoveAll(filepath.Join(l.tree, source)) // also where the host has none: debootstrap's sources.list
		if _, err := os.Stat(source); err != nil {
			continue
		}
		if _, err := command(time.Minute, "cp", "-aLT", source, filepath.Join(l.tree, source)); err != nil {
			return err
		}
	}
	settings, err := command(time.Minute, "apt-config", "dump", "Acquire")
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"etc/apt/apt.conf.d/90acquire": strings.ReplaceAll(settings, `:: "`, ` "`),
		"etc/apt/apt.conf.d/91tests":   "APT::Install-Recommends \"false\";\nDpkg::Use-Pty \"false\";\nAPT::Sandbox::User \"root\";\n",
		"etc/dpkg/dpkg.cfg.d/tests":    "force-unsafe-io\nforce-confold\n",
		"etc/hostname":                 "debian\n",
		"usr/sbin/policy-rc.d":         "#!/bin/sh\nexit 101\n",
	} {
		if err := os.WriteFile(filepath.Join(l.tree, name), []byte(text), 0o755); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"update", "-q"},
		slices.Concat([]string{"install", "-y", "-q", "--download-only"}, inCache, forBoot),
		slices.Concat([]string{"install", "-y", "-q", "--download-only"}, cyrusAt(newerCyrus)),
	} {
		if _, err := inChroot(l.tree, "apt-get", args...); err != nil {
			return err
		}
	}
	return nil
}

// mirror is where the host takes Debian 12's packages from.
func mirror() (string, error) {
	out, err := command(time.Minute, "apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(SITE)", "Created-By: Packages")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(out) {
		if site, found := strings.CutPrefix(strings.TrimSpace(line), "bookworm main "); found {
			return site, nil
		}
	}
	return "", fmt.Errorf("apt knows no source of bookworm main: %q", out)
}

// inChroot runs a program in a tree that is not booted. Services are not started: policy-rc.d.
func inChroot(tree, name string, args ...string) (string, error) {
	return command(10*time.Minute, "chroot", slices.Concat([]string{tree, name}, args)...)
}

// clone makes a further tree, with relinkd's packages in /root, in which packages may start services.
func (l *lab) clone(t *testing.T, name string) string {
	t.Helper()
	tree := filepath.Join(l.dir, name)
	t.Cleanup(func() { os.RemoveAll(tree) })
	if _, err := command(5*time.Minute, "cp", "-a", "--reflink=auto", l.tree, tree); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(tree, "usr/sbin/policy-rc.d")); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{older, newer} {
		if _, err := command(time.Minute, "cp", packageFor(t, version, "deb", "amd64"), filepath.Join(tree, "root", "relinkd_"+version+".deb")); err != nil {
			t.Fatal(err)
		}
	}
	return tree
}
