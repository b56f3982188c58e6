package crash_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/internal/faults"
	"relinkd/internal/standin"
)

// TestUnwoundUpgrade has dpkg fail an upgrade after it has put the new file in place, and take it
// back: at once, or when relinkd has the new version in force, or with relinkd dead meanwhile. The
// version that dpkg then says is installed is the one that runs, and what comes next works.
func TestUnwoundUpgrade(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("left out, it needs root: dpkg, and a database of its own for dpkg")
	}
	for _, tool := range []string{"dpkg", "dpkg-deb", "dpkg-query", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("left out, it needs %s: %v", tool, err)
		}
	}
	for _, publish := range []string{"symlink", "launcher"} {
		t.Run(publish, func(t *testing.T) { unwindUpgrades(t, publish) })
	}
	faults.Record(t, faults.Row{
		What:     "an upgrade by dpkg",
		Injected: "its scripts fail after the new file is in place, and dpkg takes it back",
		Times:    2 * (failures + 6),
		Survived: "the version that dpkg says is installed is the one that runs",
	})
}

func unwindUpgrades(t *testing.T, publish string) {
	t.Run("in force", func(t *testing.T) {
		h := newHost(t, publish)
		load := keepExecuting(t, h.path)
		h.fail(3, func(d *daemon) { d.steady(version(3)) })
		h.d.steady(version(2))
		h.settled(2)
		load.end()
	})
	t.Run("killed", func(t *testing.T) {
		h := newHost(t, publish)
		load := keepExecuting(t, h.path)
		h.fail(3, func(d *daemon) { d.steady(version(3)); d.kill() })
		h.start()
		h.settled(2)
		load.end()
	})
	t.Run("down", func(t *testing.T) {
		h := newHost(t, publish)
		h.d.kill()
		h.fail(3, func(*daemon) {})
		h.start()
		h.settled(2)
	})
	t.Run("not published", func(t *testing.T) {
		h := newHost(t, publish)
		load := keepExecuting(t, h.path)
		h.lock() // as apt does: what was before is kept as long as it may come back
		h.install(4)
		h.d.steady(version(4))
		h.frozen(func() { h.fail(3, func(*daemon) {}) })
		h.settled(4) // and not 2, which was before
		h.fail(3, func(d *daemon) { d.steady(version(3)) })
		h.settled(4)
		h.frozen(func() { h.fail(3, func(*daemon) {}) })
		h.settled(4) // and not 3, which failed before
		load.end()
	})
	t.Run("at any moment", func(t *testing.T) {
		h := newHost(t, publish)
		random := seeded(t)
		load := keepExecuting(t, h.path)
		for range failures {
			h.fail(3, func(*daemon) { <-time.After(upTo(random, 100*time.Millisecond)) })
			h.settled(2)
		}
		h.install(5)
		h.settled(5)
		load.end()
	})
}

// failures is how many upgrades fail at any moment, for each way of publishing.
const failures = 6

// packageName is that of a package of versions 1, 2, 3 …, which holds the executable in that version.
const packageName = "relinkd-test-unwound"

// host is a site whose executable is installed by dpkg, from a database of the test's own, which the
// daemon sees in the place of the machine's.
type host struct {
	*site
	admin string // the database
	d     *daemon

	locked bool // apt holds the lock
}

// newHost installs version 1, has it in force, and upgrades to version 2, which is.
func newHost(t *testing.T, publish string) *host {
	t.Helper()
	s := newSite(t, publish)
	h := &host{site: s, admin: filepath.Join(s.dir, "dpkg")}
	for _, dir := range []string{"info", "updates", "triggers"} {
		must(t, os.MkdirAll(filepath.Join(h.admin, dir), 0o755))
	}
	for _, file := range []string{"status", "available"} {
		must(t, os.WriteFile(filepath.Join(h.admin, file), nil, 0o644))
	}
	must(t, syscall.Mkfifo(h.gate(), 0o600))
	h.install(1)
	h.start()
	h.d.steady(version(1))
	h.install(2)
	h.d.steady(version(2))
	return h
}

// start starts the daemon.
func (h *host) start() {
	h.t.Helper()
	h.d = h.site.start("unshare", "--mount", "sh", "-c", `mount --bind "$0" /var/lib/dpkg && exec "$@"`, h.admin)
}

// frozen does something while the daemon makes no step.
func (h *host) frozen(do func()) {
	h.t.Helper()
	must(h.t, h.d.cmd.Process.Signal(syscall.SIGSTOP))
	do()
	must(h.t, h.d.cmd.Process.Signal(syscall.SIGCONT))
}

// lock is apt's hold on dpkg's database, to the end of the test.
func (h *host) lock() {
	h.t.Helper()
	f, err := os.OpenFile(filepath.Join(h.admin, "lock-frontend"), os.O_RDWR|os.O_CREATE, 0o640)
	must(h.t, err)
	h.t.Cleanup(func() { f.Close() })
	must(h.t, unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}))
	h.locked = true
}

// gate is a fifo that the scripts of a failing version read from before they fail.
func (h *host) gate() string { return filepath.Join(h.dir, "gate") }

// install has dpkg install a version of the package.
func (h *host) install(n int) {
	h.t.Helper()
	if out, err := h.dpkg(n); err != nil {
		h.t.Fatalf("dpkg cannot install version %d: %v\n%s", n, err, out)
	}
}

// fail has dpkg try to install a version, which fails when the new file is in place and then has
// returned. What was installed before is to be installed again.
func (h *host) fail(n int, then func(*daemon)) {
	h.t.Helper()
	before := h.installed()
	failed := make(chan string, 1)
	go func() {
		out, err := h.dpkg(n)
		if err == nil {
			out = ""
		}
		failed <- out
	}()
	gate, err := os.OpenFile(h.gate(), os.O_WRONLY, 0) // waits for the script
	must(h.t, err)
	if content, err := executable(h.path); err != nil || versionOf(content) != version(n) {
		// relinkd may have published it already, or a copy of the version before is still linked to
		h.t.Errorf("the new file is not in place: %v, %s", err, versionOf(content))
	}
	then(h.d)
	must(h.t, gate.Close())
	if out := <-failed; !strings.Contains(out, "failed in the test") {
		h.t.Fatalf("dpkg did not fail as it should: %q", out)
	}
	if after := h.installed(); after != before {
		h.t.Fatalf("dpkg says that %s is installed, before it was %s", after, before)
	}
}

// settled waits until the version that dpkg says is installed, and that must be, is in force.
func (h *host) settled(n int) {
	h.t.Helper()
	if got := h.installed(); got != fmt.Sprintf("ii %d", n) {
		h.t.Errorf("dpkg says %q, want version %d to be installed", got, n)
	}
	h.d.steady(version(n))
}

// installed is what dpkg says of the package: its state and version.
func (h *host) installed() string {
	h.t.Helper()
	out, err := exec.Command("dpkg-query", "--admindir="+h.admin, "-W", "-f", "${db:Status-Abbrev}${Version}", packageName).CombinedOutput()
	if err != nil {
		h.t.Fatalf("dpkg-query: %v\n%s", err, out)
	}
	return string(out)
}

// dpkg builds a version of the package and installs it. All fail when they are asked to make way
// for version 3, or when that asks for it.
func (h *host) dpkg(n int) (out string, err error) {
	root := filepath.Join(h.dir, fmt.Sprint("package", n))
	deb := root + ".deb"
	if err := h.build(root, deb, n); err != nil {
		return "", err
	}
	cmd := exec.Command("dpkg", "--admindir="+h.admin, "--log="+filepath.Join(h.dir, "dpkg.log"),
		"--force-unsafe-io", "--force-downgrade", "--install", deb)
	if h.locked {
		cmd.Env = append(os.Environ(), "DPKG_FRONTEND_LOCKED=1")
	}
	b, err := cmd.CombinedOutput()
	return string(b), err
}

// build makes the package.
func (h *host) build(root, deb string, n int) error {
	if _, err := os.Stat(deb); err == nil {
		return nil
	}
	postrm := "#!/bin/sh\n" +
		`case "$1 $2" in` + "\n" +
		`"upgrade 3") cat ` + h.gate() + ` >/dev/null; echo failed in the test >&2; exit 1;;` + "\n" +
		"failed-upgrade*) exit 1;;\n" +
		"esac\n"
	installed := filepath.Join(root, h.path)
	for _, dir := range []string{filepath.Join(root, "DEBIAN"), filepath.Dir(installed)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	control := fmt.Sprintf("Package: %s\nVersion: %d\nArchitecture: all\nMaintainer: relinkd's tests\nDescription: one executable\n", packageName, n)
	for _, f := range []struct {
		path, text string
		mode       os.FileMode
	}{
		{filepath.Join(root, "DEBIAN/control"), control, 0o644},
		{filepath.Join(root, "DEBIAN/postrm"), postrm, 0o755},
		{installed, string(standin.ELF(version(n))), 0o755},
	} {
		opened, err := newFile(f.path, []byte(f.text))
		if err != nil {
			return err
		}
		if err := opened.Close(); err != nil {
			return err
		}
		if err := os.Chmod(f.path, f.mode); err != nil {
			return err
		}
	}
	b, err := exec.Command("dpkg-deb", "--build", "--root-owner-group", root, deb).CombinedOutput()
	if err != nil {
		return fmt.Errorf("dpkg-deb: %v\n%s", err, b)
	}
	return nil
}
