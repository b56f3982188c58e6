package packages_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"relinkd/api"
)

// story is what an administrator does with relinkd, from the first installation to the purge, and what the
// documents show.
func story(t *testing.T, l *lab) {
	c, err := newContainer(l.clone(t, "story"))
	if err != nil {
		t.Fatal(err)
	}
	m := boot(t, c)
	s := &tale{machine: m}
	for _, chapter := range []struct {
		name string
		test func(*testing.T)
	}{
		{"install", s.install},
		{"manage", s.manage},
		{"sandbox", s.sandbox},
		{"watchdog", s.watchdog},
		{"hang", s.hang},
		{"cyrus-upgrade", s.cyrusUpgrade},
		{"relinkd-upgrade", s.relinkdUpgrade},
		{"reload", s.reload},
		{"reboot", s.rebooted},
		{"remove", s.remove},
		{"remove-dead", s.removeDead},
		{"purge", s.purge},
		{"documents", s.documents},
	} {
		t.Run(chapter.name, chapter.test)
	}
	t.Logf("boot %.1f s, %d logins, restarts by systemd %d, exposure %s", m.booted.Seconds(), s.logins, s.restarts, s.rated)
}

// tale is what the chapters hand on.
type tale struct {
	*machine
	logins   int    // that were tried, and none failed
	restarts int    // of relinkd by systemd
	rated    string // the unit's exposure
	packaged string // the inode of the packaged imapd
}

func (s *tale) install(t *testing.T) {
	s.installCyrus(t, olderCyrus)
	s.packaged = s.must(t, "stat -c %i "+imapd)
	users := s.machine.logins(t, 2)
	out := s.must(t, "apt-get install -y -q /root/relinkd_"+older+".deb")
	if !strings.Contains(out, "relinkd manage imapd") {
		t.Errorf("the installation does not name the next command:\n%s", out)
	}
	t.Logf("apt-get install:\n%s", lastLines(out, 4))
	s.active(t)
	s.is(t, api.Released)
	s.unmanaged(t)
	if inode := s.must(t, "stat -c %i "+imapd); inode != s.packaged {
		t.Errorf("imapd has inode %s instead of %s", inode, s.packaged)
	}
	for _, told := range []string{"relinkd status", "journalctl --no-pager -u relinkd"} {
		if out := s.must(t, told); !strings.Contains(out, "relinkd manage imapd") {
			t.Errorf("%s does not name the next command:\n%s", told, out)
		}
	}
	if enabled := s.must(t, "systemctl is-enabled relinkd"); enabled != "enabled" {
		t.Errorf("relinkd.service is %s", enabled)
	}
	s.logins += users.unharmed(t, "installing relinkd")
}

func (s *tale) manage(t *testing.T) {
	users, held := s.machine.logins(t, 2), s.hold(t, 5)
	out := s.must(t, "COLUMNS=100 relinkd manage imapd --yes </dev/null")
	for _, told := range []string{"What comes of it:", "What copies can and cannot do on this host:", "imapd_001 to imapd_060"} {
		if !strings.Contains(out, told) {
			t.Errorf("manage does not tell %q", told)
		}
	}
	t.Logf("relinkd manage imapd:\n%s", out)
	s.is(t, api.Steady)
	s.managed(t)
	s.hold(t, 5)
	s.shows(t, "new sessions on copies", func(st *api.Status) bool { return st.Targets[0].Processes >= 5 })
	alive(t, held)
	t.Logf("relinkd status:\n%s\nsystemctl status relinkd:\n%s", s.must(t, "relinkd status"), s.must(t, "systemctl status --no-pager relinkd"))
	s.logins += users.unharmed(t, "relinkd manage")
}

func (s *tale) sandbox(t *testing.T) {
	s.rated = s.exposure(t)
	pid := s.property(t, "relinkd", "MainPID")
	if nice := s.must(t, "ps -o ni= -p "+pid+" 2>/dev/null || cut -d' ' -f19 /proc/"+pid+"/stat"); nice != "-10" {
		t.Errorf("its nice value is %s", nice)
	}
	if out, code := s.run(t, fmt.Sprintf("nsenter --target=%s --mount touch /usr/lib/cyrus/x /etc/x 2>&1", pid)); code == 0 {
		t.Errorf("the daemon may write anywhere: %s", out)
	}
	s.must(t, fmt.Sprintf("nsenter --target=%s --mount sh -c 'touch %s/x && rm %[2]s/x'", pid, binDir))
	if env := s.must(t, "tr '\\0' '\\n' </proc/"+pid+"/environ"); !strings.Contains(env, "GOMEMLIMIT=") {
		t.Errorf("no GOMEMLIMIT among %s", env)
	}
	if text := s.property(t, "relinkd", "StatusText"); text == "" {
		t.Error("it has no status line")
	}
	if usec := s.property(t, "relinkd", "WatchdogUSec"); usec == "0" || usec == "infinity" {
		t.Errorf("WatchdogUSec is %s", usec)
	}
	if out := s.complaints(t); out != "" {
		t.Errorf("in the journal:\n%s", out)
	}
}

// watchdog: a daemon that does not answer is started anew, and nothing on disk moves meanwhile.
func (s *tale) watchdog(t *testing.T) {
	s.quickWatchdog(t)
	inodes, users := s.inodes(t), s.machine.logins(t, 1)
	before := s.number(t, "relinkd", "NRestarts")
	s.must(t, "kill -STOP "+s.property(t, "relinkd", "MainPID"))
	await(t, time.Minute, "systemd to start relinkd anew", func() bool {
		return s.number(t, "relinkd", "NRestarts") > before && s.property(t, "relinkd", "ActiveState") == "active"
	})
	s.is(t, api.Steady)
	if got := s.inodes(t); got != inodes {
		t.Errorf("the copies were made anew:\n%s\nbefore\n%s", got, inodes)
	}
	// It is fed from here on: three periods without another restart.
	s.lasts(t, before+1, 3*watchdogPeriod)
	s.shippedWatchdog(t)
	s.restarts += 1
	s.logins += users.unharmed(t, "a daemon that stood still")
}

// watchdogPeriod is that of the watchdog tests; the shipped one takes a minute.
const watchdogPeriod = 3 * time.Second

// quickWatchdog restarts relinkd with a watchdog that does not take a minute.
func (m *machine) quickWatchdog(t *testing.T) {
	t.Helper()
	m.must(t, fmt.Sprintf(`mkdir -p /etc/systemd/system/relinkd.service.d && printf '[Service]\nWatchdogSec=%d\n' >/etc/systemd/system/relinkd.service.d/watchdog.conf && systemctl daemon-reload && systemctl restart relinkd`, int(watchdogPeriod.Seconds())))
	m.is(t, api.Steady)
}

func (m *machine) shippedWatchdog(t *testing.T) {
	t.Helper()
	m.must(t, "rm -r /etc/systemd/system/relinkd.service.d && systemctl daemon-reload && systemctl restart relinkd")
	m.is(t, api.Steady)
}

// lasts checks for a while that systemd does not restart relinkd once more.
func (m *machine) lasts(t *testing.T, restarts int, d time.Duration) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if n := m.number(t, "relinkd", "NRestarts"); n != restarts {
			t.Fatalf("systemd has restarted relinkd %d times, not %d", n, restarts)
		}
	}
}

// hang: the loop of one target waits for a file system that does not answer, and the rest of the
// daemon lives on: that is what the watchdog must see.
func (s *tale) hang(t *testing.T) {
	s.quickWatchdog(t)
	inodes := s.inodes(t)
	before := s.number(t, "relinkd", "NRestarts")
	thaw := s.mute(t, binDir)
	await(t, time.Minute, "the watchdog to end a daemon whose loop hangs", func() bool {
		out := s.must(t, "journalctl --no-pager -b -u relinkd -o cat")
		return strings.Count(out, "Watchdog timeout") >= 2
	})
	thaw()
	await(t, time.Minute, "systemd to start relinkd anew", func() bool {
		return s.number(t, "relinkd", "NRestarts") > before && s.property(t, "relinkd", "ActiveState") == "active"
	})
	s.is(t, api.Steady)
	s.restarts += s.number(t, "relinkd", "NRestarts") - before
	s.shippedWatchdog(t)
	if got := s.inodes(t); got != inodes {
		t.Errorf("the copies were made anew:\n%s\nbefore\n%s", got, inodes)
	}
	s.must(t, "systemctl restart cyrus-imapd") // which saw the same file system
	s.serves(t)
}

// refuseRestarts makes packages leave services alone until the returned function is called: the logins
// that a restart of Cyrus itself loses are not relinkd's.
func (m *machine) refuseRestarts(t *testing.T) (allow func()) {
	t.Helper()
	m.must(t, `printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d`)
	return func() { m.must(t, "rm /usr/sbin/policy-rc.d") }
}

func (s *tale) cyrusUpgrade(t *testing.T) {
	before := s.inodes(t)
	generation := s.status(t).Targets[0].Generation.SHA256
	users, held := s.machine.logins(t, 2), s.hold(t, 5)
	allow := s.refuseRestarts(t)
	s.must(t, "apt-get install -y -q --no-download "+strings.Join(cyrusAt(newerCyrus), " "))
	allow()
	st := s.shows(t, "the new generation", func(st *api.Status) bool {
		return st.Targets[0].State == api.Steady && st.Targets[0].Generation.SHA256 != generation
	})
	s.managed(t)
	s.packaged = s.must(t, "stat -c %i "+binDir+"/.relinkd/imapd.pristine")
	if s.inodes(t) == before {
		t.Error("the copies are still the old files")
	}
	if sum := s.must(t, "sha256sum "+binDir+"/.relinkd/imapd.pristine | cut -d' ' -f1"); sum != st.Targets[0].Generation.SHA256 {
		t.Errorf("the generation is %s, the packaged file %s", st.Targets[0].Generation.SHA256, sum)
	}
	alive(t, held)
	s.logins += users.unharmed(t, "the upgrade of Cyrus")
}

func (s *tale) relinkdUpgrade(t *testing.T) {
	state := func() string {
		return s.inodes(t) + "\n" + s.must(t, fmt.Sprintf("stat -c '%%i %%N' %s %s/.relinkd/imapd %[2]s/.relinkd/imapd.pristine", imapd, binDir))
	}
	before := state()
	pid, began := s.property(t, "relinkd", "MainPID"), s.must(t, "journalctl --no-pager -b -u relinkd -o cat | grep -c '^Started relinkd'")
	users, held := s.machine.logins(t, 2), s.hold(t, 5)
	s.must(t, "printf '# mine\\n' >>/etc/relinkd/relinkd.toml && apt-get install -y -q /root/relinkd_"+newer+".deb")
	s.active(t)
	s.is(t, api.Steady)
	if s.property(t, "relinkd", "MainPID") == pid {
		t.Error("the old daemon still runs")
	}
	if now := s.must(t, "journalctl --no-pager -b -u relinkd -o cat | grep -c '^Started relinkd'"); fmt.Sprint(atoi(t, began)+1) != now {
		t.Errorf("the service was started %s times before the upgrade and %s with it", began, now)
	}
	if now := state(); now != before && s.status(t).Targets[0].Rotations == 0 {
		t.Errorf("the upgrade touched link or copies:\n%s\nbefore\n%s", now, before)
	}
	if out := s.must(t, "relinkd version"); !strings.Contains(out, newer) {
		t.Errorf("relinkd version: %s", out)
	}
	if out := s.status(t).Version; !strings.Contains(out, newer) {
		t.Errorf("the daemon's version is %s", out)
	}
	s.must(t, "grep -qx '# mine' /etc/relinkd/relinkd.toml")
	alive(t, held)
	s.logins += users.unharmed(t, "the upgrade of relinkd")
}

func (s *tale) reload(t *testing.T) {
	pid := s.property(t, "relinkd", "MainPID")
	s.must(t, "sed -i 's/^threshold = 200/threshold = 150/' /etc/relinkd/relinkd.toml && systemctl reload relinkd")
	s.shows(t, "the new threshold", func(st *api.Status) bool { return st.Targets[0].Threshold == 150 && st.ConfigError == "" })

	s.must(t, "sed -i 's/^threshold = 150/threshold = 0/' /etc/relinkd/relinkd.toml")
	if out, code := s.run(t, "systemctl reload relinkd"); code == 0 {
		t.Errorf("systemctl reload takes a bad file: %s", out)
	}
	st := s.shows(t, "the error in the file", func(st *api.Status) bool { return st.ConfigError != "" })
	if st.Targets[0].Threshold != 150 || st.Targets[0].State != api.Steady {
		t.Errorf("a bad file changed the threshold to %d, the state to %s", st.Targets[0].Threshold, st.Targets[0].State)
	}
	s.active(t)
	s.must(t, "sed -i 's/^threshold = 0/threshold = 200/' /etc/relinkd/relinkd.toml && systemctl reload relinkd")
	s.shows(t, "the mended file in force", func(st *api.Status) bool { return st.Targets[0].Threshold == 200 && st.ConfigError == "" })
	if now := s.property(t, "relinkd", "MainPID"); now != pid {
		t.Errorf("reloading restarted the daemon: %s, before %s", now, pid)
	}
}

func (s *tale) rebooted(t *testing.T) {
	inodes := s.inodes(t)
	// Cyrus neither waits for relinkd nor needs it.
	for _, unit := range []string{"relinkd", "cyrus-imapd"} {
		other := map[string]string{"relinkd": "cyrus", "cyrus-imapd": "relinkd"}[unit]
		if out := s.must(t, "systemctl show -p After -p Before -p Wants -p Requires -p WantedBy "+unit); strings.Contains(out, other) {
			t.Errorf("%s is ordered with %s: %s", unit, other, out)
		}
	}
	s.must(t, "systemctl mask relinkd")
	s.machine.reboot(t)
	s.serves(t)
	s.managed(t)
	if got := s.property(t, "relinkd", "ActiveState"); got != "inactive" {
		t.Errorf("a masked relinkd is %s", got)
	}

	s.must(t, "systemctl unmask relinkd")
	s.machine.reboot(t)
	s.serves(t)
	s.active(t)
	st := s.is(t, api.Steady)
	held := s.hold(t, 5)
	s.shows(t, "sessions on copies", func(st *api.Status) bool { return st.Targets[0].Processes >= 5 })
	if got := s.inodes(t); got != inodes {
		t.Errorf("a boot made the copies anew:\n%s\nbefore\n%s", got, inodes)
	}
	if st.Targets[0].SourceProcesses > 0 {
		t.Errorf("%d processes run the packaged file after a boot", st.Targets[0].SourceProcesses)
	}
	alive(t, held)
}

func (s *tale) remove(t *testing.T) {
	users, held := s.machine.logins(t, 2), s.hold(t, 5)
	t.Logf("apt-get remove:\n%s", lastLines(s.must(t, "apt-get remove -y -q relinkd"), 6))
	s.gone(t)
	alive(t, held)
	s.logins += users.unharmed(t, "removing relinkd")
}

// gone checks that Cyrus is as the package manager has put it, and relinkd's service no more.
func (s *tale) gone(t *testing.T) {
	t.Helper()
	s.unmanaged(t)
	if inode := s.must(t, "stat -c %i "+imapd); inode != s.packaged {
		t.Errorf("imapd has inode %s instead of the packaged %s", inode, s.packaged)
	}
	if out, code := s.run(t, "pgrep relinkd || ls /proc/*/exe -l 2>/dev/null | grep sbin/relinkd"); code == 0 {
		t.Errorf("relinkd still runs: %s", out)
	}
	if out, _ := s.run(t, "systemctl --failed --no-legend --plain"); out != "" {
		t.Errorf("units failed: %s", out)
	}
}

// removeDead: it was removed, is installed and managed again, and its daemon is dead at the next removal.
func (s *tale) removeDead(t *testing.T) {
	s.must(t, "apt-get install -y -q /root/relinkd_"+newer+".deb")
	s.active(t)
	s.is(t, api.Released)
	s.must(t, "relinkd manage imapd --yes </dev/null")
	s.is(t, api.Steady)
	s.managed(t)
	users, held := s.machine.logins(t, 2), s.hold(t, 5)
	s.must(t, "systemctl mask --runtime relinkd && systemctl kill --signal=KILL relinkd")
	await(t, 20*time.Second, "the daemon to be dead", func() bool {
		return s.property(t, "relinkd", "MainPID") == "0"
	})
	s.must(t, "systemctl stop relinkd; systemctl reset-failed relinkd || true")
	s.must(t, "apt-get remove -y -q relinkd")
	s.gone(t)
	s.must(t, "systemctl unmask --runtime relinkd || true")
	alive(t, held)
	s.logins += users.unharmed(t, "removing a dead relinkd")
}

func (s *tale) purge(t *testing.T) {
	s.must(t, "apt-get purge -y -q relinkd")
	s.gone(t)
	s.traceless(t)
	s.serves(t)
}

// traceless checks that no file on the system has relinkd's name, except what package managers and
// this test keep.
func (m *machine) traceless(t *testing.T) {
	t.Helper()
	out, _ := m.run(t, `find / -xdev -name '*relinkd*' -not -path '/root/*' -not -path '/var/cache/apt/*' -not -path '/proc/*' -not -path '/sys/*'
find /etc/systemd /var/lib/systemd /run/systemd -lname '*relinkd*'; ls -d /var/lib/relinkd /run/relinkd /etc/relinkd 2>/dev/null`)
	if out != "" {
		t.Errorf("a purge leaves\n%s", out)
	}
}
