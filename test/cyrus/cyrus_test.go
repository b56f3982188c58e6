// Package cyrus_test tries relinkd on a real Cyrus IMAP server from Debian's packages, under real
// clients, real package upgrades and real hand work at the install path. It must never touch a
// Cyrus that was running before it, and gives the host back as it found it.
//
// The whole suite takes about five minutes on two idle cores; give go test a -timeout to match.
// One part alone: go test -run 'TestCyrus/upgrade' ./test/cyrus.
package cyrus_test

import "testing"

// TestCyrus borrows the host once for all its parts, which run one after the other.
func TestCyrus(t *testing.T) {
	if reason := unsuitable(); reason != "" {
		t.Skip(reason)
	}
	l := &lab{relinkd: buildRelinkd(t), host: borrow(t)}
	for _, part := range []struct {
		name string
		test func(*testing.T, *lab)
	}{
		{"baseline", baseline},
		{"rotations", rotations},
		{"launcher", launched},
		{"launcher upgrade", launchedUpgrade},
		{"launcher differences", launchedDifferences},
		{"threshold", threshold},
		{"upgrade", upgrade},
		{"removal", removal},
		{"handwork", handwork},
		{"rpm", rpmUpgrade},
		{"sidecar", sidecar},
		{"founding", founding},
		{"consultation", consultation},
		{"targets", targets},
		{"restart", restart},
		{"forkless", forkless},
		{"demonstration", demonstration},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, l) })
	}
}

// lab is what all parts share.
type lab struct {
	relinkd string // the program under test
	host    *host
}
