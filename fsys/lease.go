package fsys

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// HasWriter reports whether anyone has the regular file open for writing: the kernel refuses a read
// lease then (EAGAIN, fcntl(2) F_SETLEASE). f must be open for reading only, by the file's owner or
// with CAP_LEASE. The lease is given back at once, since an opener for writing waits for it. A file
// system without leases gives an error that unwraps to EINVAL.
func HasWriter(f *os.File) (bool, error) {
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK); err != nil {
		if errors.Is(err, unix.EAGAIN) {
			return true, nil
		}
		return false, &Error{Op: "ask for writers of", Path: f.Name(), Err: err}
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK); err != nil {
		return false, &Error{Op: "give back the lease on", Path: f.Name(), Err: err}
	}
	return false, nil
}
