package fstest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// ext4 returns an empty directory on ext4: the scratch directory's where that is ext4.
func ext4(t testing.TB) string {
	t.Helper()
	scratch := Passable(t, t.TempDir())
	var st unix.Statfs_t
	if err := unix.Statfs(scratch, &st); err != nil {
		t.Fatal(err)
	}
	if st.Type == unix.EXT4_SUPER_MAGIC {
		return directory(t, scratch)
	}
	return image(t, 64<<20, "e2fsprogs", "mkfs.ext4", "-q")
}

// image returns an empty directory on a file system in a sparse file of so many bytes, which the
// program mkfs, of the Debian package pkg, has made.
func image(t testing.TB, size int64, pkg, mkfs string, args ...string) string {
	t.Helper()
	return disk(t, size, pkg, mkfs, args...).Dir
}

// disk is image with all that there is to know of it.
func disk(t testing.TB, size int64, pkg, mkfs string, args ...string) *Disk {
	t.Helper()
	need(t, pkg, mkfs)
	file := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, mkfs, append(args, file)...)
	point := Passable(t, t.TempDir())
	// Another process may take the loop device between mount(8)'s search and its use of it.
	const tries = 5
	for try := 1; ; try++ {
		out, err := exec.Command("mount", "-o", "loop", file, point).CombinedOutput()
		if err == nil {
			break
		}
		if try == tries || !bytes.Contains(out, []byte("loop device")) {
			t.Fatalf("mount %s image: %v: %s", mkfs, err, out)
		}
	}
	detach(t, point)
	return &Disk{Image: file, Point: point, Dir: directory(t, point)}
}

// tmpfs returns an empty directory on a tmpfs of its own; bytes 0 means the kernel's default size.
func tmpfs(t testing.TB, flags uintptr, bytes int64) string {
	t.Helper()
	options := "mode=755"
	if bytes > 0 {
		options += fmt.Sprintf(",size=%d", bytes)
	}
	point := Passable(t, t.TempDir())
	if err := unix.Mount("fstest", point, "tmpfs", flags, options); err != nil {
		t.Fatalf("mount tmpfs: %v", err)
	}
	detach(t, point)
	return directory(t, point)
}

// overlay returns a directory that exists in the lower layer of an overlayfs, with Packaged in it.
func overlay(t *testing.T) string {
	t.Helper()
	layers := ext4(t)
	lower, upper, work := filepath.Join(layers, "lower"), filepath.Join(layers, "upper"), filepath.Join(layers, "work")
	for _, dir := range []string{lower, upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dir := withPackaged(t, directory(t, lower))
	point := Passable(t, t.TempDir())
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work)
	if err := unix.Mount("fstest", point, "overlay", 0, options); err != nil {
		t.Fatalf("mount overlayfs with %s: %v", options, err)
	}
	detach(t, point)
	return filepath.Join(point, filepath.Base(dir))
}

// detach unmounts point when the test is over, lazily: a process that the test left running must
// not keep the mount.
func detach(t testing.TB, point string) {
	t.Cleanup(func() {
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", point, err)
		}
	})
}

// need makes sure that the program is there, from the Debian package pkg if need be.
func need(t testing.TB, pkg, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	install := exec.Command("apt-get", "install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120", pkg)
	if install.Run() == nil {
		return
	}
	run(t, "apt-get", "update") // a new machine has no package lists, an old one may have stale ones
	run(t, install.Args[0], install.Args[1:]...)
}

// run runs a program to its end and fails the test when it does not succeed.
func run(t testing.TB, program string, args ...string) {
	t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s", program, strings.Join(args, " "), err, out)
	}
}
