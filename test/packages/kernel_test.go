package packages_test

import (
	"fmt"
	"testing"
	"time"

	"relinkd/api"
)

// kernel: a machine with a kernel of its own, Debian's, which tells the service of every process.
func kernel(t *testing.T, l *lab) {
	g, err := newGuest(l.clone(t, "kernel"))
	if err != nil {
		t.Fatal(err)
	}
	m := boot(t, g)
	m.startCyrus(t)
	m.must(t, "apt-get install -y -q /root/relinkd_"+older+".deb && relinkd manage imapd --yes </dev/null")
	s := m.is(t, api.Steady)
	m.managed(t)
	m.events(t, s)
	first := m.booted

	// A threshold that logins reach: rotations by what the kernel tells, and exact counts.
	m.must(t, "sed -i 's/^threshold = 200/threshold = 10/' /etc/relinkd/relinkd.toml && systemctl reload relinkd")
	m.shows(t, "the new threshold", func(s *api.Status) bool { return s.Targets[0].Threshold == 10 })
	users, held := m.logins(t, 2), m.hold(t, 40)
	logins := users.unharmed(t, "rotations")
	s = m.exact(t)
	if top := s.Targets[0]; top.Rotations < 4 || top.PeakCopyProcesses > 10 {
		t.Errorf("40 sessions at a threshold of 10: %d rotations, at most %d on a copy", top.Rotations, top.PeakCopyProcesses)
	}
	alive(t, held)

	// A storm of processes that are not its own.
	m.must(t, "for i in $(seq 300); do /bin/true; done")
	s = m.exact(t)
	m.active(t)
	overflows := s.Overflows
	if pid := m.property(t, "relinkd", "MainPID"); m.must(t, "cut -d' ' -f19 /proc/"+pid+"/stat") != "-10" {
		t.Error("its nice value is not -10")
	}

	// The watchdog is fed, by a loop that waits for events.
	m.quickWatchdog(t)
	m.lasts(t, 0, 2*watchdogPeriod)
	m.shippedWatchdog(t)
	if out := m.complaints(t); out != "" {
		t.Errorf("in the journal:\n%s", out)
	}

	inodes := m.inodes(t)
	m.reboot(t)
	m.serves(t)
	s = m.is(t, api.Steady)
	m.events(t, s)
	m.hold(t, 20)
	m.exact(t)
	if got := m.inodes(t); got != inodes {
		t.Errorf("a boot made the copies anew:\n%s\nbefore\n%s", got, inodes)
	}
	if out := m.complaints(t); out != "" {
		t.Errorf("in the journal after a boot:\n%s", out)
	}
	m.must(t, "systemctl poweroff")
	if err := m.halted(time.Minute); err != nil {
		t.Error(err)
	}
	t.Logf("boots %.1f s and %.1f s, %d logins, none failed, %d overflows in a storm of 300 processes",
		first.Seconds(), m.booted.Seconds(), logins, overflows)
}

// events checks that the kernel's process events are what it counts by.
func (m *machine) events(t *testing.T, s *api.Status) {
	t.Helper()
	if s.Accounting != "netlink" || s.AccountingReason != "" || s.UnreadableProcesses != 0 {
		t.Errorf("on %s it counts by %s (%s), %d processes unreadable",
			m.must(t, "uname -r"), s.Accounting, s.AccountingReason, s.UnreadableProcesses)
	}
}

// exact waits until what status counts on copies is what /proc shows, to the process.
func (m *machine) exact(t *testing.T) *api.Status {
	t.Helper()
	const count = "ls -l /proc/[0-9]*/exe 2>/dev/null | grep -c ' -> " + imapd + "_[0-9]*$'"
	var real string
	return m.shows(t, "exact counts", func(s *api.Status) bool {
		real, _ = m.run(t, count)
		return fmt.Sprintln(s.Targets[0].Processes) == real
	})
}
