// Package packages_test installs the packages that `make packages` builds into Debian 12 systems that
// boot under systemd, upgrades them and removes them again, with a real Cyrus and real logins. The
// systems are trees that debootstrap makes from the running machine's own package sources; they boot
// in systemd-nspawn and, for what a container cannot have, in qemu. Nothing of the host is touched.
//
// One scenario alone, with a tree that is made once and kept, and packages of versions 1.0.0 and 1.0.1 that
// are there already:
//
//	PACKAGES_TREE=/var/tmp/bookworm PACKAGES_DIST=/var/tmp/dist go test -run TestDebian/story ./test/packages
package packages_test

import "testing"

// TestDebian makes one tree for all systems. They live side by side, and each boots for all that is tried
// on it, one after the other.
func TestDebian(t *testing.T) {
	asRoot(t, "boot Debian systems from trees that it makes")
	if reason := unsuitable(); reason != "" {
		t.Skip(reason)
	}
	l := newLab(t)
	for _, system := range []struct {
		name string
		test func(*testing.T, *lab)
	}{
		{"story", story},
		{"kernel", kernel},
		{"without Cyrus", hollow},
		{"plain", plain},
	} {
		t.Run(system.name, func(t *testing.T) {
			t.Parallel()
			system.test(t, l)
		})
	}
}
