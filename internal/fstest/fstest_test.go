package fstest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestEach(t *testing.T) {
	// The f_type of each, from linux/magic.h.
	magic := map[string]int64{
		"ext4":      unix.EXT4_SUPER_MAGIC,
		"xfs":       unix.XFS_SUPER_MAGIC,
		"btrfs":     unix.BTRFS_SUPER_MAGIC,
		"tmpfs":     unix.TMPFS_MAGIC,
		"overlayfs": unix.OVERLAYFS_SUPER_MAGIC,
	}
	visited := map[string]bool{}
	Each(t, func(t *testing.T, dir string) {
		kind := filepath.Base(t.Name())
		visited[kind] = true
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		if want, ok := magic[kind]; ok && st.Type != want {
			t.Errorf("file system type of %s is %#x, want %#x", kind, st.Type, want)
		}
		if out, err := exec.Command(filepath.Join(dir, Packaged)).CombinedOutput(); err != nil {
			t.Errorf("executing %s: %v: %s", Packaged, err, out)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 {
			t.Errorf("directory holds %v (%v), want %s alone", entries, err, Packaged)
		}
		if err := os.WriteFile(filepath.Join(dir, "other"), nil, 0o644); err != nil {
			t.Error(err)
		}
	})
	if os.Geteuid() == 0 && len(visited) != len(magic) {
		t.Errorf("visited %v, want all of %v", visited, magic)
	}
}

func TestNoExec(t *testing.T) {
	dir := withPackaged(t, NoExec(t))
	if err := exec.Command(filepath.Join(dir, Packaged)).Run(); !errors.Is(err, unix.EACCES) {
		t.Errorf("executing on a noexec file system: %v, want EACCES", err)
	}
}

func TestSmall(t *testing.T) {
	const size = 64 << 10
	file := filepath.Join(Small(t, size), "file")
	if err := os.WriteFile(file, make([]byte, 2*size), 0o644); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("writing %d bytes where %d fit: %v, want ENOSPC", 2*size, size, err)
	}
}

func TestNothingIsLeft(t *testing.T) {
	var dirs []string
	t.Run("mounts", func(t *testing.T) {
		Each(t, func(t *testing.T, dir string) { dirs = append(dirs, dir) })
	})
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", dir, err)
		}
		if strings.Contains(string(mounts), filepath.Dir(dir)+" ") {
			t.Errorf("a mount is left at %s", filepath.Dir(dir))
		}
	}
}
