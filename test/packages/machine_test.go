package packages_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"
)

// host is what a booted system runs in.
type host interface {
	// start boots, and returns when commands can be run.
	start() error
	// command runs a shell script as root and returns what it printed, both outputs together, and its
	// exit code.
	command(ctx context.Context, script string) (string, int, error)
	// dial connects to the IMAP port of the system's own loopback.
	dial() (net.Conn, error)
	// halted waits until the system has ended by itself.
	halted(limit time.Duration) error
	// kill ends it at once; ended already is fine.
	kill()
	// console is what the system wrote there.
	console() string
}

// machine is one system, booted or not.
type machine struct {
	host
	booted time.Duration // how long the last boot took until all units were up
}

// boot starts a machine that ends with t, and tells its journal's end if t fails.
func boot(t *testing.T, h host) *machine {
	t.Helper()
	m := &machine{host: h}
	t.Cleanup(h.kill)
	t.Cleanup(func() {
		if t.Failed() {
			out, _, _ := m.command(context.Background(), "journalctl --no-pager -b -n 60; systemctl status --no-pager relinkd")
			t.Logf("the journal's end:\n%s", out)
		}
	})
	m.up(t)
	return m
}

// up boots and waits until all units have been started.
func (m *machine) up(t *testing.T) {
	t.Helper()
	began := time.Now()
	if err := m.start(); err != nil {
		t.Fatalf("%v\n%s", err, lastLines(m.console(), 30))
	}
	if out, _ := m.run(t, "systemctl is-system-running --wait"); strings.TrimSpace(out) != "running" {
		failed, _ := m.run(t, "systemctl --failed --no-pager; systemctl status --no-pager $(systemctl --failed --plain --no-legend | cut -d' ' -f1)")
		t.Fatalf("the system is %s\n%s", out, failed)
	}
	m.booted = time.Since(began)
}

// reboot asks the system to do so and waits until all is up again.
func (m *machine) reboot(t *testing.T) {
	t.Helper()
	m.run(t, "systemctl reboot")
	if err := m.halted(time.Minute); err != nil {
		t.Fatalf("reboot: %v\n%s", err, lastLines(m.console(), 30))
	}
	m.up(t)
}

// run runs a script in the machine.
func (m *machine) run(t *testing.T, script string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	out, code, err := m.command(ctx, script)
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", script, err, out, lastLines(m.console(), 30))
	}
	return out, code
}

// must runs a script that is to end with 0, and returns what it printed without space around it.
func (m *machine) must(t *testing.T, script string) string {
	t.Helper()
	out, code := m.run(t, script)
	if code != 0 {
		t.Fatalf("%s: exit code %d\n%s", script, code, out)
	}
	return strings.TrimSpace(out)
}

// await waits until ok, and tells what was waited for.
func await(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain for %s", limit, what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
