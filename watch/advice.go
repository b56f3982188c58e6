package watch

import (
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"relinkd/config"
	"relinkd/fsys"
)

// advise is err in words, and what to do about it where relinkd can only wait for somebody to.
func advise(err error) string {
	failed := (*fsys.Error)(nil)
	if !errors.As(err, &failed) {
		return err.Error()
	}
	dir := filepath.Dir(failed.Path)
	try := ""
	switch {
	case errors.Is(failed, unix.ENOSPC):
		try = fmt.Sprintf("make room on the file system of %s%s", dir, roomIn(dir))
	case errors.Is(failed, unix.EDQUOT):
		try = fmt.Sprintf("raise the quota that holds for %s, or remove files", dir)
	case errors.Is(failed, unix.EROFS):
		try = fmt.Sprintf("mount the file system of %s writable; if others can write there, relinkd's own sandbox is in the way: %s", dir, config.OpenDir(config.Unit, dir))
	case errors.Is(failed, unix.EPERM), errors.Is(failed, unix.EBUSY):
		try = fmt.Sprintf("lsattr -d %s %s (chattr -i or -a takes such an attribute away), and findmnt %s: a file that is a mount point, as of a bind mount, cannot be renamed", failed.Path, dir, failed.Path)
	case errors.Is(failed, unix.EIO):
		try = "look into the kernel's log: the disk may be failing"
	default:
		return err.Error()
	}
	return fmt.Sprintf("%v; try: %s", err, try)
}

// roomIn tells what is free on the file system of dir: it may lack inodes only.
func roomIn(dir string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return ""
	}
	if st.Files == 0 { // inodes are made as they are needed
		return fmt.Sprintf(", where %d KiB are free", int64(st.Bavail)*int64(st.Frsize)>>10)
	}
	return fmt.Sprintf(", where %d KiB and %d inodes are free", int64(st.Bavail)*int64(st.Frsize)>>10, st.Ffree)
}

// advised is an error in the words of advise.
type advised struct{ err error }

func (e advised) Error() string { return advise(e.err) }
func (e advised) Unwrap() error { return e.err }
