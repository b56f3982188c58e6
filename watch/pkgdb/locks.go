package pkgdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Locked tells which package manager is at work, dpkg with its database in admin or rpm with its in one of dirs:
// the lock that is held and by whom, or "" when all are free. It takes none. A lock file that is not there is
// free; an error means that it cannot be told.
func Locked(admin string, dirs []string) (holder string, err error) {
	if holder, err = DpkgLocked(admin); holder != "" || err != nil {
		return holder, err
	}
	return rpmLocked(dirs, unix.F_WRLCK)
}

// DpkgLocked asks for dpkg's locks: apt holds the first one for as long as it runs, also while it
// waits for an answer, dpkg the second.
func DpkgLocked(adminDir string) (holder string, err error) {
	for _, name := range []string{"lock-frontend", "lock"} {
		if holder, err = lockHolder(filepath.Join(adminDir, name), unix.F_WRLCK); holder != "" || err != nil {
			return holder, err
		}
	}
	return "", nil
}

// RPMWriter tells who is changing what rpm has installed. Erasing a package releases the lock
// some 5 ms after the last unlink, so it must be asked while path has just vanished.
func RPMWriter(dirs []string) (holder string, err error) { return rpmLocked(dirs, unix.F_RDLCK) }

// rpmLocked asks for rpm's lock, which stands beside its database.
func rpmLocked(dirs []string, kind int16) (holder string, err error) {
	for _, dir := range dirs {
		if holder, err = lockHolder(filepath.Join(dir, ".rpm.lock"), kind); holder != "" || err != nil {
			return holder, err
		}
	}
	return "", nil
}

// lockHolder tells who holds a record lock on the file path that stands in the way of one of
// kind: F_WRLCK asks for any lock, F_RDLCK for write locks alone. F_GETLK sees the locks of other
// containers too; it never sees our own.
func lockHolder(path string, kind int16) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot ask for the lock of a package manager: %v", err)
	}
	defer f.Close()
	lock := unix.Flock_t{Type: kind}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil {
		return "", fmt.Errorf("cannot ask for the lock %s: %v", path, err)
	}
	switch {
	case lock.Type == unix.F_UNLCK:
		return "", nil
	case lock.Pid <= 0: // 0: of another pid namespace; -1: an open file description lock
		return path + " is held", nil
	}
	return fmt.Sprintf("%s is held by process %d", path, lock.Pid), nil
}
