package cyrus_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"relinkd/api"
	"relinkd/doctor"
)

// consultation: relinkd doctor beside a real Cyrus, with and without the daemon. It finds the Cyrus that
// runs and its cyrus.conf, a pool that is too small for it, a cron job of the old scheme, and of how many
// mappings the executable has its part; and it leaves everything as it was.
func consultation(t *testing.T, l *lab) {
	l.isolate(t)
	s := startCyrus(t, settings{prefork: 2})
	d := l.prepare(t, `
[target.imapd]
path = "/usr/lib/cyrus/bin/imapd"
copies = 3
max_copies = 4
threshold = 20
`)
	held := hold(t, s.imap, 3, 3)
	r := consult(t, d, 3)
	told(t, r, doctor.Privileges, doctor.Note, "the daemon was not asked: no relinkd is running")
	told(t, r, doctor.Place, doctor.Fine, "is a packaged executable, not managed now")
	told(t, r, doctor.Packages, doctor.Fine, "dpkg: "+imapdPath+" belongs to cyrus-imapd")
	told(t, r, doctor.Cyrus, doctor.Fine, filepath.Join(s.dir, "cyrus.conf")+" (of master, process ")
	told(t, r, doctor.Cyrus, doctor.Needs, "maxchild of imap is 400; 3 copies take 54 (18 on each), and max_copies = 4 take 72")
	told(t, r, doctor.Cyrus, doctor.Note, "imap (-U 30): workers are reused, and a rotation retires all that wait; Cyrus then starts 2 anew")
	share(t, r, 3)
	release(held)

	d.start()
	d.await("imapd", api.Steady)
	held = holdPaced(t, d, s.imap, 20)
	// It names no day that there is: cron itself never runs it.
	job := "/etc/cron.d/relinkd-test"
	t.Cleanup(func() { os.Remove(job) })
	if err := os.WriteFile(job, fmt.Appendf(nil, "0 0 31 2 * root ln -sfn imapd_002 %s\n", imapdPath), 0o644); err != nil {
		t.Fatal(err)
	}
	before, status := inodes(append(copies(t, imapdPath), imapdPath)), d.target("imapd")
	r = consult(t, d, 3)
	told(t, r, doctor.Privileges, doctor.Fine, fmt.Sprintf("the daemon (process %d) has all ", d.process()))
	told(t, r, doctor.Place, doctor.Fine, imapdPath+` is managed (publish = "symlink")`)
	told(t, r, doctor.Place, doctor.Fine, ", tried")
	told(t, r, doctor.Place, doctor.Fine, binDir+" is writable for the daemon")
	told(t, r, doctor.Cyrus, doctor.Needs, job+" relinks by hand: ")
	// A fourth copy is made ahead of need, while it is not known how fast sessions begin: it may come before
	// doctor asks, just after, or not at all.
	if len(status.Copies) > 3 {
		told(t, r, doctor.Load, doctor.Note, "the pool has grown from 3: ")
	} else if len(d.target("imapd").Copies) == 3 {
		told(t, r, doctor.Load, doctor.Fine, " processes on 3 copies, highest so far ")
	}
	share(t, r, 20)
	t.Log("\n" + d.verb(3, "doctor") + d.verb(0, "status"))
	for name, f := range inodes(slices.Collect(maps.Keys(before))) { // the daemon itself may have made another copy
		if before[name] != f {
			t.Errorf("%s was %s and is %s", name, before[name], f)
		}
	}
	if now := d.target("imapd").Current; now != status.Current {
		t.Errorf("the link has moved from %s to %s", status.Current, now)
	}
	release(held)
}

// consult is what relinkd doctor finds.
func consult(t *testing.T, d *daemon, code int) *doctor.Report {
	t.Helper()
	r := new(doctor.Report)
	if err := json.Unmarshal([]byte(d.verb(code, "doctor", "--json")), r); err != nil {
		t.Fatal(err)
	}
	return r
}

// told checks that a finding of that section and level holds the text.
func told(t *testing.T, r *doctor.Report, section string, level doctor.Level, text string) {
	t.Helper()
	var others []string
	for _, f := range r.Findings {
		if f.Section != section {
			continue
		}
		if f.Level == level && strings.Contains(f.What, text) {
			return
		}
		others = append(others, fmt.Sprintf("%s: %s", f.Level, f.What))
	}
	t.Errorf("%s: not told as %q: %q; but\n%s", section, level, text, strings.Join(others, "\n"))
}

// share checks what was counted of a real imapd, of which at least so many run: 5 of 287 mappings on
// Debian 12.
func share(t *testing.T, r *doctor.Report, processes int) {
	t.Helper()
	if len(r.Shares) != 1 {
		t.Fatalf("shares: %+v", r.Shares)
	}
	s := r.Shares[0]
	t.Logf("%d of %d mappings are the executable's, %d of %d other files; %d processes", s.Own, s.Mappings, s.OfFiles()-s.Own, len(s.Others), s.Processes)
	if s.PID == 0 || s.Static || s.Processes < processes || s.Own < 3 || s.Own > 8 || s.Mappings < 150 || s.Mappings > 500 {
		t.Errorf("process %d: %d mappings, %d its executable's; static: %v; %d processes", s.PID, s.Mappings, s.Own, s.Static, s.Processes)
	}
}
