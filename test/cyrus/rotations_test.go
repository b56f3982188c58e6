package cyrus_test

import (
	"testing"
	"time"

	"relinkd/api"
)

const poolOf60 = `
[target.imapd]
path = "/usr/lib/cyrus/bin/imapd"
copies = 60
max_copies = 240
threshold = 200
`

// rotations: under a constant load of logins, manage, a thousand forced rotations as fast as they
// go, restore. Nobody notices, and relinkd holds no more afterwards than before.
func rotations(t *testing.T, l *lab) {
	l.isolate(t)
	s := startCyrus(t, settings{prefork: 4})
	packaged := fileAt(imapdPath)
	mark := s.log.mark(t)
	load := startLoad(t, s.imap, 6, 3)
	more := func(n int) {
		t.Helper()
		want := load.logins() + n
		await(t, time.Minute, "more logins", func() bool { return load.logins() >= want })
	}
	more(100)

	d := l.daemon(t, poolOf60)
	d.await("imapd", api.Steady)
	more(100)
	before := d.process().resources()

	began, logins, rotated := time.Now(), load.logins(), 0
	for rotated < 1000 || load.logins() < logins+50 {
		if err := d.rotate("imapd"); err != nil {
			t.Fatalf("rotation %d: %v", rotated+1, err)
		}
		rotated++
	}
	t.Logf("%d rotations and %d logins in %v", rotated, load.logins()-logins, time.Since(began).Round(time.Millisecond))
	status := d.target("imapd")
	if status.RotationsByReason.Operator != rotated {
		t.Errorf("status counts %d rotations asked for, %d were", status.RotationsByReason.Operator, rotated)
	}

	// One may be open for a moment, by what the daemon does just now.
	await(t, time.Minute, "no more descriptors than before", func() bool { return d.process().resources().descriptors <= before.descriptors })
	after := d.process().resources()
	t.Logf("relinkd before: %+v, after: %+v", before, after)
	if after.threads > before.threads+8 { // the Go runtime adds a few while calls block
		t.Errorf("threads grew from %d to %d", before.threads, after.threads)
	}

	d.verb(0, "restore", "imapd")
	if now := fileAt(imapdPath); now != packaged {
		t.Errorf("restore put inode %v at path; the packaged file is %v", now, packaged)
	}
	if left := leavings(t, imapdPath); len(left) > 0 {
		t.Errorf("restore left %q", left)
	}
	more(100)
	d.verb(0, "manage", "imapd", "--yes")
	d.await("imapd", api.Steady)
	more(100)
	d.verb(0, "restore", "imapd")
	more(100)

	seen := load.stop()
	t.Logf("%v; %d workers retired", seen, len(s.log.since(mark, "process file has changed")))
	if seen.lost() > 0 {
		t.Errorf("logins were lost: %v", seen)
	}
	s.log.noFailures(t, mark)
}
