// Package fstest runs a test on every file system that relinkd promises to work on, each freshly
// made and mounted. It is for tests alone, and leaves no mount and no file behind.
package fstest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// Packaged is the name of the executable that each directory of Each holds from the start, a copy
// of the system's true(1) with mode 0755. On overlayfs it lies in the lower layer, as a packaged
// file does in a container's image.
const Packaged = "packaged"

// Each runs fn as a subtest on each of ext4, xfs, btrfs, tmpfs and overlayfs, named so, with a
// directory that belongs to the caller, has mode 0755 and holds Packaged alone. An ordinary user
// cannot mount: fn then runs on the scratch directory's own file system, and the log says so.
func Each(t *testing.T, fn func(t *testing.T, dir string)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Log("not root: tried on the scratch directory's own file system only; left out ext4, xfs, btrfs, tmpfs and overlayfs mounts")
		t.Run("scratch", func(t *testing.T) { fn(t, withPackaged(t, directory(t, Passable(t, t.TempDir())))) })
		return
	}
	for _, kind := range []struct {
		name string
		make func(t *testing.T) string // the directory, with Packaged in it
	}{
		{"ext4", func(t *testing.T) string { return withPackaged(t, ext4(t)) }},
		{"xfs", func(t *testing.T) string { return withPackaged(t, image(t, 320<<20, "xfsprogs", "mkfs.xfs", "-q")) }},
		{"btrfs", func(t *testing.T) string {
			return withPackaged(t, image(t, 256<<20, "btrfs-progs", "mkfs.btrfs", "-q"))
		}},
		{"tmpfs", func(t *testing.T) string { return withPackaged(t, tmpfs(t, 0, 0)) }},
		{"overlayfs", overlay},
	} {
		t.Run(kind.name, func(t *testing.T) { fn(t, kind.make(t)) })
	}
}

// NoExec returns an empty directory on a file system mounted noexec. The test is skipped, with the
// reason, for an ordinary user.
func NoExec(t testing.TB) string {
	t.Helper()
	needRoot(t, "a noexec file system")
	return tmpfs(t, unix.MS_NOEXEC, 0)
}

// Small returns an empty directory on a file system that holds about so many bytes. The test is
// skipped, with the reason, for an ordinary user.
func Small(t testing.TB, bytes int64) string {
	t.Helper()
	needRoot(t, "a file system of "+strconv.FormatInt(bytes, 10)+" bytes")
	return tmpfs(t, 0, bytes)
}

func needRoot(t testing.TB, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("not root: left out the test on %s, which has to be mounted", what)
	}
}

// directory makes the test's own directory below parent.
func directory(t testing.TB, parent string) string {
	t.Helper()
	dir := filepath.Join(parent, "bin")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return dir
}

// withPackaged puts Packaged into dir.
func withPackaged(t testing.TB, dir string) string {
	t.Helper()
	path, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	packaged := filepath.Join(dir, Packaged)
	if err := os.WriteFile(packaged, content, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(packaged, 0o755); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return dir
}
