package cyrus_test

import (
	"os"
	"syscall"
	"testing"

	"relinkd/api"
)

// sidecar: publish = "none" leaves the packaged file alone; cyrus.conf names the private link.
func sidecar(t *testing.T, l *lab) {
	l.isolate(t)
	stand := func() syscall.Stat_t {
		t.Helper()
		var st syscall.Stat_t
		if err := syscall.Lstat(imapdPath, &st); err != nil {
			t.Fatal(err)
		}
		st.Atim = syscall.Timespec{}
		return st
	}
	packaged, sum := stand(), content(t, imapdPath)
	untouched := func(after string) {
		t.Helper()
		if now := stand(); now != packaged {
			t.Errorf("%s changed the packaged file: %+v, was %+v", after, now, packaged)
		}
		if content(t, imapdPath) != sum || altered(t, "cyrus-imapd") != "" {
			t.Errorf("%s changed the packaged file's content", after)
		}
	}

	d := l.daemon(t, poolOf12+"publish = \"none\"\n")
	status := d.await("imapd", api.Steady)
	if status.PrivateLink != binDir+"/.relinkd/imapd" {
		t.Fatalf("the private link is %q", status.PrivateLink)
	}
	untouched("manage")
	// Cyrus ends before the last restore: its program is the private link.
	t.Cleanup(func() { d.verb(0, "restore", "imapd", "--force") })
	s := startCyrus(t, settings{command: status.PrivateLink, prefork: 2})
	mark := s.log.mark(t)
	load := startLoad(t, s.imap, 4, 2)
	settled(t, load)
	held := holdPaced(t, d, s.imap, 60)
	for _, c := range held {
		if comm := c.pid.comm(); comm != "imapd" {
			t.Errorf("the command name is %q", comm)
		}
	}
	if n := len(onCopies(t)); n < 2 {
		t.Errorf("60 held sessions run on %d copies", n)
	}
	for range 100 {
		if err := d.rotate("imapd"); err != nil {
			t.Fatal(err)
		}
	}
	settled(t, load)
	untouched("a hundred rotations")

	d.verb(0, "restore", "imapd")
	untouched("restore")
	if left := copies(t, imapdPath); len(left) > 0 {
		t.Errorf("restore left %q", left)
	}
	if text, err := os.Readlink(status.PrivateLink); err != nil || text != "../imapd" {
		t.Errorf("after restore the private link says %q, %v; Cyrus still executes it", text, err)
	}
	settled(t, load)
	seen := load.stop()
	t.Log(seen)
	if seen.lost() > 0 {
		t.Errorf("logins were lost: %v", seen)
	}
	release(held)
	s.stop(t)
	s.start(t) // master refuses to start when a service's program is missing
	if err := visit(s.imap, 0); err != nil {
		t.Errorf("a login after restore and a start of Cyrus: %v", err)
	}
	s.log.noFailures(t, mark)
}
