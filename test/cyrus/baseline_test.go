package cyrus_test

import (
	"os"
	"testing"
)

// baseline is Cyrus by itself: the clients and the log must find nothing wrong with it, or what
// they find elsewhere means nothing; and they must notice when its executable is missing.
func baseline(t *testing.T, l *lab) {
	l.isolate(t)
	s := startCyrus(t, settings{prefork: 2})
	mark := s.log.mark(t)
	load := startLoad(t, s.imap, 6, 2)
	await(t, patience, "a thousand logins", func() bool { return load.logins() >= 1000 })
	seen := load.stop()
	t.Logf("without relinkd: %v", seen)
	if seen.lost() > 0 {
		t.Errorf("a plain Cyrus lost sessions: %v", seen)
	}
	s.log.noFailures(t, mark)

	aside := imapdPath + ".aside"
	if err := os.Rename(imapdPath, aside); err != nil {
		t.Fatal(err)
	}
	defer os.Rename(aside, imapdPath)
	load = startLoad(t, s.imap, 6, 2)
	await(t, patience, "Cyrus to give its service up", func() bool {
		return len(s.log.since(mark, "too many failures")) > 0 && load.lost() > 0
	})
	load.stop()
}
