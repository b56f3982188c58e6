package fstest

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// Disk is a file system of the test's own, in a file.
type Disk struct {
	Image string // the file
	Point string // where it is mounted
	Dir   string // an empty directory on it
}

// Ext4 makes an ext4 of so many bytes; args are further ones for mkfs.ext4. The test is skipped, with
// the reason, for an ordinary user.
func Ext4(t testing.TB, bytes int64, args ...string) *Disk {
	t.Helper()
	needRoot(t, "an ext4 of its own")
	return disk(t, bytes, "e2fsprogs", "mkfs.ext4", append([]string{"-q"}, args...)...)
}

// Quota is a Disk whose Dir, a subvolume of a btrfs, may hold so many bytes and no more: writing more
// fails with EDQUOT, for root too. The test is skipped, with the reason, for an ordinary user.
func Quota(t testing.TB, bytes int64) *Disk {
	t.Helper()
	needRoot(t, "a file system with a quota")
	d := disk(t, 256<<20, "btrfs-progs", "mkfs.btrfs", "-q")
	d.Dir = filepath.Join(d.Point, "limited")
	run(t, "btrfs", "quota", "enable", d.Point)
	run(t, "btrfs", "subvolume", "create", d.Dir)
	d.Limit(t, bytes)
	return d
}

// firstSubvolume is the quota group of the first subvolume that is made on a btrfs: ids begin at
// BTRFS_FIRST_FREE_OBJECTID.
const firstSubvolume = "0/256"

// Limit changes what Dir of a Quota may hold.
func (d *Disk) Limit(t testing.TB, bytes int64) {
	t.Helper()
	// By way of the subvolume itself that could not be done once its quota is used up.
	run(t, "btrfs", "qgroup", "limit", strconv.FormatInt(bytes, 10), firstSubvolume, d.Point)
}

// ReadOnly mounts the file system read-only, or writable again.
func (d *Disk) ReadOnly(t testing.TB, is bool) {
	t.Helper()
	var flags uintptr = unix.MS_REMOUNT
	if is {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount("", d.Point, "", flags, ""); err != nil {
		t.Fatalf("remount %s: %v", d.Point, err)
	}
}

// Fill takes what room is left, and returns what gives it back.
func (d *Disk) Fill(t testing.TB) (free func()) {
	t.Helper()
	name := filepath.Join(d.Point, "filler")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for chunk := make([]byte, 1<<20); len(chunk) > 0; {
		if _, err := f.Write(chunk); err != nil {
			if !errors.Is(err, unix.ENOSPC) {
				t.Fatal(err)
			}
			chunk = chunk[:len(chunk)/2]
		}
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// FillInodes makes files until there is no inode left, and returns what removes them.
func (d *Disk) FillInodes(t testing.TB) (free func()) {
	t.Helper()
	dir, err := os.MkdirTemp(d.Point, "files")
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		var f *os.File
		if f, err = os.CreateTemp(dir, ""); err == nil {
			err = f.Close()
		}
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}
