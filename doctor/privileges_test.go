package doctor

import (
	"bufio"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/config"
)

const allCaps = 1<<41 - 1

func TestDaemon(t *testing.T) {
	sound := daemonFacts{Answers: true, PID: 12, UID: 0, Caps: allCaps, CapsKnown: true, Unit: "relinkd.service"}
	for name, c := range map[string]struct {
		change func(*daemonFacts)
		want   []string
	}{
		"sound": {func(*daemonFacts) {}, []string{"fine the daemon (process 12) has all 8 capabilities", "fine systemd runs the daemon as relinkd.service", "fine the daemon can read all"}},
		"none":  {func(d *daemonFacts) { d.Answers, d.NoAnswer = false, "no relinkd is running" }, []string{"note the daemon was not asked: no relinkd is running"}},
		"fewer capabilities": {func(d *daemonFacts) { d.Caps &^= 1<<unix.CAP_SYS_PTRACE | 1<<unix.CAP_LEASE },
			[]string{"TODO the daemon (process 12) has no CAP_SYS_PTRACE | to tell which file", "TODO the daemon (process 12) has no CAP_LEASE | CapabilityBoundingSet=", "fine", "fine"}},
		"a user's": {func(d *daemonFacts) { d.UID, d.Caps, d.Unit = 1000, 0, "" },
			[]string{"note the daemon (process 12) runs as user 1000", "note the daemon does not run under systemd", "fine"}},
		"unknown":            {func(d *daemonFacts) { *d = daemonFacts{Answers: true, UID: -1} }, []string{"note what the daemon may do cannot be told", "fine the daemon can read all"}},
		"init has more":      {func(d *daemonFacts) { d.Unreadable, d.Hidden = 1, []string{"1 (systemd)"} }, []string{"fine", "fine", "note the daemon cannot read what 1 process executes: 1 (systemd) | runs no copy"}},
		"one that is not it": {func(d *daemonFacts) { d.Unreadable, d.Hidden = 1, []string{"17 (x)"} }, []string{"fine", "fine", "TODO the daemon cannot read what 1 process executes: 17 (x)"}},
		"troubled": {func(d *daemonFacts) {
			d.Unreadable, d.Overflows, d.ConfigError, d.LastError = 3, 1, "line 3", "disk full"
		},
			[]string{"fine", "fine", "TODO the daemon cannot read what 3 processes execute | hidepid", "note process events were lost 1 time since",
				"TODO the configuration in force is an earlier one: line 3", "note the daemon's last error: disk full"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := sound
			c.change(&d)
			says(t, d.judge(), c.want...)
		})
	}
}

func TestReadDaemon(t *testing.T) {
	h := HostAt(t.TempDir())
	write(t, h.process(12, "status"), "Name:\trelinkd\nUid:\t0\t1000\t0\t0\nCapPrm:\t0\nCapEff:\t00000000a0001001\n")
	write(t, h.process(12, "stat"), "12 (a b) c) S 1 12 12 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 9 0 6000 1 1\n")
	write(t, filepath.Join(h.Proc, "uptime"), "180.25 300.00\n")
	d := daemonFacts{PID: 13}
	if d.readStatus(h); d.CapsKnown {
		t.Errorf("of no process: %+v", d)
	}
	d.PID = 12
	d.readStatus(h)
	if d.UID != 1000 || !d.CapsKnown || d.Caps != 0xa0001001 {
		t.Errorf("%+v", d)
	}
	if up := h.uptime(12); up != 120*time.Second+250*time.Millisecond {
		t.Errorf("up for %v", up)
	}
	if up := h.uptime(13); up != 0 {
		t.Errorf("no process is up for %v", up)
	}
	if unit := unitOf("12:pids:/x\n0::/system.slice/relinkd.service\n"); unit != "relinkd.service" {
		t.Errorf("unit %q", unit)
	}
	if unit := unitOf("0::/user.slice/session-1.scope\n"); unit != "" {
		t.Errorf("unit %q", unit)
	}
}

func TestSandbox(t *testing.T) {
	const dir = "/opt/mail/bin"
	for name, c := range map[string]struct {
		s    sandboxFacts
		want []string
	}{
		"no unit, no daemon": {sandboxFacts{Dir: dir, Unit: config.Unit}, nil},
		"forbidden":          {sandboxFacts{Dir: dir, Unit: config.Unit, Strict: true, Allowed: []string{"/usr/lib/cyrus/bin"}}, []string{"TODO the sandbox of relinkd.service does not | ReadWritePaths=-/opt/mail/bin | relinkd.service.d/paths.conf"}},
		"allowed":            {sandboxFacts{Dir: dir, Unit: config.Unit, Strict: true, Allowed: []string{"/opt/mail/"}}, []string{"fine the sandbox of relinkd.service lets"}},
		"a namesake":         {sandboxFacts{Dir: dir, Unit: config.Unit, Strict: true, Allowed: []string{"/opt/mail/bi"}}, []string{"TODO"}},
		"read-only there":    {sandboxFacts{Dir: dir, Unit: config.Unit, Strict: true, Allowed: []string{dir}, Known: true, ReadOnly: true}, []string{"TODO /opt/mail/bin is read-only for the daemon | made anew"}},
		"in its sandbox":     {sandboxFacts{Dir: dir, Unit: config.Unit, Strict: true, Known: true, ReadOnly: true}, []string{"TODO the sandbox of relinkd.service does not"}},
		"writable there":     {sandboxFacts{Dir: dir, Unit: config.Unit, Strict: true, Known: true}, []string{"fine /opt/mail/bin is writable for the daemon"}},
	} {
		t.Run(name, func(t *testing.T) { says(t, c.s.judge("imapd"), c.want...) })
	}
}

func TestMountedReadOnly(t *testing.T) {
	const table = `22 1 8:1 / / ro,relatime shared:1 - ext4 /dev/sda1 rw
23 22 8:1 /usr/lib/cyrus/bin /usr/lib/cyrus/bin rw,relatime shared:1 - ext4 /dev/sda1 rw
24 22 8:2 / /opt/a\040b rw - ext4 /dev/sdb1 ro
25 22 8:2 / /opt/c rw - ext4 /dev/sdb1 rw
26 25 8:2 / /opt/c ro - ext4 /dev/sdb1 rw
`
	for dir, want := range map[string]bool{
		"/usr/lib/cyrus/bin": false, "/usr/lib/cyrus/binx": true, "/usr": true, "/opt/a b/bin": true, "/opt/c/bin": true,
	} {
		if readOnly, known := mountedReadOnly(bufio.NewScanner(strings.NewReader(table)), dir); readOnly != want || !known {
			t.Errorf("%s: read-only %v (known %v), want %v", dir, readOnly, known, want)
		}
	}
	if _, known := mountedReadOnly(bufio.NewScanner(strings.NewReader("")), "/"); known {
		t.Error("an empty table tells something")
	}
}

func TestReadUnit(t *testing.T) {
	h := HostAt(t.TempDir())
	if strict, _ := h.readUnit(config.Unit); strict {
		t.Error("no unit is strict")
	}
	write(t, filepath.Join(h.Units[3], config.Unit), "[Service]\nProtectSystem=strict\nReadWritePaths=-/usr/lib/cyrus/bin\nReadWritePaths=/a /b\n")
	write(t, filepath.Join(h.Units[0], config.Unit+".d", "more.conf"), "[Service]\n ReadWritePaths = /opt/x\n")
	strict, allowed := h.readUnit(config.Unit)
	if want := "/usr/lib/cyrus/bin /a /b /opt/x"; !strict || strings.Join(allowed, " ") != want {
		t.Errorf("strict %v, allowed %q, want %q", strict, allowed, want)
	}
	// A unit of the administrator's replaces the packaged one, its drop-ins stay; an empty value clears.
	write(t, filepath.Join(h.Units[0], config.Unit), "[Service]\nReadWritePaths=/c\nProtectSystem=strict\nReadWritePaths=\n")
	if _, allowed = h.readUnit(config.Unit); strings.Join(allowed, " ") != "/opt/x" {
		t.Errorf("allowed %q", allowed)
	}
}
