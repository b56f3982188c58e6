package cyrus_test

import (
	"maps"
	"os"
	"testing"

	"relinkd/api"
)

// restart: a daemon that was stopped, or killed in the middle of its rotations, finds everything as
// it stands and leaves it so. While it is away Cyrus goes on.
func restart(t *testing.T, l *lab) {
	l.isolate(t)
	d := l.daemon(t, poolOf12)
	d.await("imapd", api.Steady)
	s := startCyrus(t, settings{prefork: 2})
	mark := s.log.mark(t)
	load := startLoad(t, s.imap, 4, 2)
	settled(t, load)

	made := inodes(copies(t, imapdPath))
	published, err := os.Lstat(imapdPath)
	if err != nil {
		t.Fatal(err)
	}
	private := must(t, "readlink", binDir+"/.relinkd/imapd")
	unchanged := func(after string) {
		t.Helper()
		if now := inodes(copies(t, imapdPath)); !maps.Equal(now, made) {
			t.Errorf("after %s the copies are others: %v, were %v", after, now, made)
		}
		now, err := os.Lstat(imapdPath)
		if err != nil || !os.SameFile(now, published) {
			t.Errorf("after %s path is another file (%v)", after, err)
		}
	}

	d.stop()
	unchanged("a stop")
	settled(t, load)
	d.start()
	if status := d.await("imapd", api.Steady); status.Rotations != 0 {
		t.Errorf("a start made %d rotations", status.Rotations)
	}
	unchanged("a start")
	if now := must(t, "readlink", binDir+"/.relinkd/imapd"); now != private {
		t.Errorf("a start moved the private link from %s to %s", private, now)
	}

	for range 10 {
		before := d.target("imapd").Rotations
		refused := make(chan struct{})
		go func() {
			defer close(refused)
			for d.rotate("imapd") == nil {
			}
		}()
		d.awaitThat("imapd", "rotating", func(s api.TargetStatus) bool { return s.Rotations > before+5 })
		d.kill()
		<-refused
		unchanged("kill -9")
		d.start()
		d.await("imapd", api.Steady)
		unchanged("kill -9 and a start")
	}

	seen := load.stop()
	t.Log(seen)
	if seen.lost() > 0 {
		t.Errorf("logins were lost: %v", seen)
	}
	s.log.noFailures(t, mark)
}
