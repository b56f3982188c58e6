package cyrus_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"relinkd/api"
)

// demonstration is what `make demo-cyrus` shows, line by line: relinkd's main job on this host's
// Cyrus under a constant load of logins, with an upgrade by apt and a deletion of the link in it.
func demonstration(t *testing.T, l *lab) {
	const limit, sessions = 20, 120
	l.isolate(t)
	packaged := fileAt(imapdPath)
	s := startCyrus(t, settings{prefork: 2})
	mark := s.log.mark(t)
	begun := time.Now()
	say := func(format string, args ...any) {
		t.Helper()
		t.Logf("%5.1f s  %s", time.Since(begun).Seconds(), fmt.Sprintf(format, args...))
	}
	load := startLoad(t, s.imap, 4, 2)
	say("Cyrus %s runs, and clients log in to it", installedCyrus()["cyrus-imapd"])
	settled(t, load)

	d := l.daemon(t, fmt.Sprintf(`
[target.imapd]
path = %q
copies = 12
max_copies = 24
threshold = %d
rotate_at = 0.7
[census]
interval = "20ms"
`, imapdPath, limit))
	d.await("imapd", api.Steady)
	say("relinkd manages %s", imapdPath)
	settled(t, load)

	held := holdPaced(t, d, s.imap, sessions)
	status := d.target("imapd")
	say("%d sessions are held: %d processes on %d copies, %d rotations", sessions, status.Processes, len(status.Copies), status.Rotations)

	before := status.Generation
	published := plainFor(imapdPath)
	upgraded := timed(func() {
		l.host.install(t, l.host.cyrusAt(newerCyrus)...)
		d.awaitThat("imapd", "of the new generation", func(s api.TargetStatus) bool {
			return s.State == api.Steady && s.Generation.SHA256 != before.SHA256
		})
	})
	status = d.target("imapd")
	say("upgrade to %s by apt: new generation %.12s, %d old processes go on", installedCyrus()["cyrus-imapd"], status.Generation.SHA256, status.StaleProcesses)
	plain := published()
	settled(t, load)
	seen := load.stop()
	s.log.noFailures(t, mark)

	repaired := removeByHand(t, imapdPath, 10*time.Second) // without load: see removal
	say("the link was deleted, and was back after %v", repaired.Round(time.Millisecond))
	load = startLoad(t, s.imap, 4, 2)
	settled(t, load)

	release(held)
	status = d.target("imapd")
	d.verb(0, "restore", "imapd")
	say("restored: %s is the packaged file", imapdPath)
	settled(t, load)
	later := load.stop()
	if fileAt(imapdPath) == packaged {
		t.Errorf("restore put the file before the upgrade back")
	}
	s.log.noFailures(t, mark)

	t.Logf("relinkd on Cyrus: %.0f seconds", time.Since(begun).Seconds())
	t.Logf("  logins      %v", seen)
	t.Logf("  afterwards  %v", later)
	t.Logf("  rotations   %d, over %d copies", status.Rotations, len(status.Copies))
	t.Logf("  load        at most %d processes on one executable, of %d allowed", status.PeakCopyProcesses, limit)
	t.Logf("  upgrade     published %v after the package manager's rename, in an apt run of %v", plain.Round(time.Millisecond), upgraded.Round(100*time.Millisecond))
	t.Logf("  deletion    the link was back after %v", repaired.Round(time.Millisecond))
	t.Logf("  restored    the packaged file is back, dpkg -V says nothing: %t", altered(t, "cyrus-imapd") == "")
	if lost := seen.lost() + later.lost(); lost > 0 {
		t.Errorf("%d sessions were lost", lost)
	}
}

// plainFor samples path until the function that it returns is called, which tells for how long path
// was a plain file: from the package manager's rename to relinkd's publishing.
func plainFor(path string) (stop func() time.Duration) {
	var total time.Duration
	var since time.Time
	end := loopUntil(func() {
		info, err := os.Lstat(path)
		switch plain := err == nil && info.Mode().IsRegular(); {
		case plain && since.IsZero():
			since = time.Now()
		case !plain && !since.IsZero():
			total += time.Since(since)
			since = time.Time{}
		}
		time.Sleep(time.Millisecond) // the resolution of the figure
	})
	return func() time.Duration { end(); return total }
}

// timed is how long do takes.
func timed(do func()) time.Duration {
	began := time.Now()
	do()
	return time.Since(began)
}
