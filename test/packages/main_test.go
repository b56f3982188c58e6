package packages_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The two versions of relinkd that are built for the tests.
const (
	older = "1.0.0"
	newer = "1.0.1"
)

// scratch is where trees and packages are made: on a file system that has programs and devices.
var scratch string

func TestMain(m *testing.M) {
	code := 1
	defer func() { os.Exit(code) }()
	var err error
	if scratch, err = os.MkdirTemp("/var/tmp", "relinkd-packages-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer os.RemoveAll(scratch)
	code = m.Run()
}

// build makes the packages of both versions, once for all tests, and returns where they are.
var build = sync.OnceValues(func() (string, error) {
	if made := os.Getenv("PACKAGES_DIST"); made != "" {
		return made, nil
	}
	dist := filepath.Join(scratch, "packages")
	for _, version := range []string{older, newer} {
		if err := makePackages("../..", version, dist); err != nil {
			return "", err
		}
	}
	return dist, nil
})

// makePackages runs `make packages` in a checkout.
func makePackages(checkout, version, dist string) error {
	_, err := command(10*time.Minute, "make", "-C", checkout, "packages", "VERSION="+version, "DIST="+dist)
	return err
}

// packages are those of a version in a format, for all architectures. Where they cannot be built the test
// is skipped.
func packages(t *testing.T, version, format string) []string {
	t.Helper()
	if os.Getenv("PACKAGES_DIST") == "" && strings.Contains(os.Getenv("GOFLAGS"), "-mod=vendor") {
		t.Skip("needs nfpm, which is not among the vendored modules of this copy")
	}
	dist, err := build()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(dist, "*"+version+"-1*."+format))
	if err != nil || len(found) != 2 {
		t.Fatalf("packages of version %s: %q, %v; want a .%s for two architectures", version, found, err, format)
	}
	return found
}

// packageFor is the one for an architecture, as the format calls it.
func packageFor(t *testing.T, version, format, arch string) string {
	t.Helper()
	for _, name := range packages(t, version, format) {
		if ok, _ := filepath.Match("*"+arch+"."+format, filepath.Base(name)); ok {
			return name
		}
	}
	t.Fatalf("no .%s of %s for %s", format, version, arch)
	return ""
}

// slow skips what takes long where it is not wanted.
func slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("asked for -short, and this builds packages or boots systems")
	}
}

// asRoot skips what an ordinary user cannot do.
func asRoot(t *testing.T, to string) {
	t.Helper()
	slow(t)
	if os.Getuid() != 0 {
		t.Skip("needs root, to " + to)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(scratch, &fs); err != nil || fs.Flags&(unix.ST_NOEXEC|unix.ST_NODEV|unix.ST_NOSUID) != 0 {
		t.Skipf("needs /var/tmp on a file system with programs and devices: %v", err)
	}
}
