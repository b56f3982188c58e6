package cyrus_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"relinkd/api"
)

// upgrade: a real upgrade by apt and a real downgrade, each first without relinkd and then with
// it, under the same load. With it no more logins are lost; while the transaction still runs, new
// processes already spread over copies of the new executable; old ones are stale until they end.
func upgrade(t *testing.T, l *lab) {
	l.isolate(t)
	s := startCyrus(t, settings{prefork: 2})
	steps := []struct{ name, to string }{{"up", newerCyrus}, {"down", olderCyrus}}

	plain := map[string]tally{}
	for _, step := range steps {
		load := startLoad(t, s.imap, 4, 2)
		settled(t, load)
		l.host.install(t, l.host.cyrusAt(step.to)...)
		settled(t, load)
		plain[step.name] = load.stop()
		t.Logf("%s without relinkd: %v", step.name, plain[step.name])
	}

	d := l.daemon(t, `
[target.imapd]
path = "/usr/lib/cyrus/bin/imapd"
copies = 12
max_copies = 24
threshold = 20
rotate_at = 0.5
[census]
interval = "20ms"
`)
	d.await("imapd", api.Steady)
	t.Cleanup(func() {
		if _, err := apt("purge", "-y", slowPackage); err != nil {
			t.Error(err)
		}
	})
	for n, step := range steps {
		seen := upgradeUnder(t, l, d, s, n+1, step.to)
		t.Logf("%s with relinkd: %v", step.name, seen)
		if seen.lost() > plain[step.name].lost() {
			t.Errorf("%s: %d sessions lost with relinkd, %d without", step.name, seen.lost(), plain[step.name].lost())
		}
	}
	d.verb(0, "restore", "imapd")
	if text := altered(t, "cyrus-imapd"); text != "" {
		t.Errorf("dpkg -V after restore: %s", text)
	}
}

// settled waits until a load has gone through some more logins.
func settled(t *testing.T, l *load) {
	t.Helper()
	want := l.logins() + 50
	await(t, time.Minute, "50 more logins", func() bool { return l.logins() >= want })
}

// upgradeUnder brings Cyrus to a version while relinkd runs, in a transaction that stays open until
// the new executable has been seen in use, and returns what a constant load saw of it.
func upgradeUnder(t *testing.T, l *lab, d *daemon, s *server, number int, version string) tally {
	t.Helper()
	load := startLoad(t, s.imap, 4, 2)
	settled(t, load)
	old := hold(t, s.imap, 20, 4)
	oldGeneration := d.target("imapd").Generation.SHA256
	oldCopies := inodes(copies(t, imapdPath))

	slow := buildSlowPackage(t, number)
	transaction := aptGet(t.Context(), "install", append([]string{"-y", "--no-remove", "--allow-downgrades", slow.file}, l.host.cyrusAt(version)...)...)
	ended := make(chan error, 1)
	go func() {
		_, err := run(context.WithoutCancel(t.Context()), transaction)
		ended <- err
	}()
	over := false
	finish := func() {
		if !over {
			over = true
			slow.proceed(t)
			if err := <-ended; err != nil {
				t.Errorf("the transaction failed: %v", err)
			}
		}
	}
	defer finish()
	await(t, 2*time.Minute, "the transaction to wait in a postinst", func() bool {
		if len(ended) > 0 {
			t.Fatalf("the transaction ended early: %v", <-ended)
		}
		return exists(slow.waiting)
	})

	// dpkg's rename is long over, its locks are held: relinkd must not wait for them.
	status := d.awaitThat("imapd", "of the new generation", func(s api.TargetStatus) bool {
		return s.State == api.Steady && s.Generation.SHA256 != oldGeneration
	})
	if locked, err := dpkgLocked(); err != nil || !locked {
		t.Errorf("the transaction does not hold dpkg's lock any more (%v): this part proves nothing", err)
	}
	newCopies := inodes(copies(t, imapdPath))
	spread := map[file]int{}
	fresh := holdPaced(t, d, s.imap, 40)
	for _, c := range fresh {
		f := c.pid.executable()
		spread[f]++
	}
	used := 0
	for name, f := range newCopies {
		if f == oldCopies[name] {
			t.Errorf("%s was not made anew", name)
		}
		if n := spread[f]; n > 20 {
			t.Errorf("%s runs %d of the new processes, threshold 20", name, n)
		} else if n > 0 {
			used++
		}
		delete(spread, f)
	}
	// A worker that started between dpkg's rename and the publishing takes one client.
	source := fileAt(filepath.Join(binDir, ".relinkd/imapd.pristine"))
	t.Logf("%d new sessions on %d copies, %d of them on the source itself", len(fresh), used, spread[source])
	if used < 2 {
		t.Errorf("new processes do not spread over the copies while the transaction runs")
	}
	if spread[source] > len(fresh)/4 {
		t.Errorf("%d of %d new sessions are served by the source itself", spread[source], len(fresh))
	}
	delete(spread, source)
	if len(spread) > 0 {
		t.Errorf("new processes run something else than the new copies: %v", spread)
	}
	if link, err := os.Readlink(imapdPath); err != nil || link != ".relinkd/imapd" {
		t.Errorf("path leads to %q, %v", link, err)
	}
	finish()
	settled(t, load)

	want := packagedMD5(t, "cyrus-imapd", imapdPath)
	for _, name := range append(copies(t, imapdPath), imapdPath) {
		if got := content(t, name); got != want {
			t.Errorf("%s has checksum %s, the package's file %s", name, got, want)
		}
	}
	if got := strings.TrimSpace(altered(t, "cyrus-imapd")); got != "?M.??????   "+imapdPath {
		t.Errorf("dpkg -V: %q", got)
	}
	if status = d.target("imapd"); status.State != api.Steady {
		t.Errorf("after the transaction: %s %s", status.State, status.Reason)
	}

	// The old sessions go on, on files that have no name any more.
	live := 0
	for _, c := range old {
		if c.pid.executable() != (file{}) {
			live++
		}
	}
	if live != len(old) {
		t.Errorf("%d of %d old sessions were ended by the upgrade", len(old)-live, len(old))
	}
	d.awaitThat("imapd", fmt.Sprintf("left with %d stale processes", live), func(s api.TargetStatus) bool {
		return s.StaleProcesses == live
	})
	// Idle workers queue for Cyrus's accept lock and look at their file only when they have it, so
	// that the old ones end while others log in, or after a minute.
	release(old)
	await(t, patience, "the old sessions' processes to end", func() bool {
		for _, c := range old {
			if c.pid.executable() != (file{}) {
				return false
			}
		}
		return true
	})
	d.awaitThat("imapd", "rid of its stale processes", func(s api.TargetStatus) bool { return s.StaleProcesses == 0 })
	release(fresh)
	return load.stop()
}

const slowPackage = "relinkd-test-slow"

// slow is a package whose configuration waits for the test.
type slow struct {
	file    string   // the .deb
	waiting string   // exists once the transaction has come to it
	gate    *os.File // a fifo; a line lets the transaction go on
}

// buildSlowPackage makes release n of a package that is configured after cyrus-imapd, since it
// depends on it.
func buildSlowPackage(t *testing.T, n int) slow {
	t.Helper()
	dir := scratch(t)
	fifo := filepath.Join(dir, "gate")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	gate, err := os.OpenFile(fifo, os.O_RDWR, 0) // both ways, so that neither side waits to open it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gate.Close() })
	s := slow{filepath.Join(dir, "slow.deb"), filepath.Join(dir, "waiting"), gate}
	root := filepath.Join(dir, "root")
	if err := os.MkdirAll(filepath.Join(root, "DEBIAN"), 0o755); err != nil {
		t.Fatal(err)
	}
	control := fmt.Sprintf("Package: %s\nVersion: %d\nArchitecture: all\nMaintainer: relinkd's tests\nDepends: cyrus-imapd\n"+
		"Description: waits while it is configured\n", slowPackage, n)
	postinst := fmt.Sprintf("#!/bin/sh\nset -e\n: > %s\ntimeout 120 head -n 1 %s\n", s.waiting, fifo)
	for name, text := range map[string]string{"control": control, "postinst": postinst} {
		if err := os.WriteFile(filepath.Join(root, "DEBIAN", name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	must(t, "dpkg-deb", "--build", "--root-owner-group", root, s.file)
	return s
}

// proceed lets the transaction go on.
func (s slow) proceed(t *testing.T) {
	if _, err := s.gate.WriteString("go on\n"); err != nil {
		t.Error(err)
	}
}

// dpkgLocked reports whether a process holds dpkg's lock.
func dpkgLocked() (bool, error) {
	f, err := os.Open("/var/lib/dpkg/lock")
	if err != nil {
		return false, err
	}
	defer f.Close()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &lock); err != nil {
		return false, err
	}
	return lock.Type != syscall.F_UNLCK, nil
}
