package install

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// rpmWriter tells who is changing what rpm has installed. Erasing a package releases the lock
// some 5 ms after the last unlink, so it must be asked while path has just vanished.
func rpmWriter(dirs []string) (holder string, err error) { return rpmLocked(dirs, unix.F_RDLCK) }

// rpmLocked asks for rpm's lock, which stands beside its database.
func rpmLocked(dirs []string, kind int16) (holder string, err error) {
	for _, dir := range dirs {
		if holder, err = lockHolder(filepath.Join(dir, ".rpm.lock"), kind); holder != "" || err != nil {
			return holder, err
		}
	}
	return "", nil
}
