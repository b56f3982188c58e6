package fsys

import (
	"os"

	"golang.org/x/sys/unix"
)

// HasWriter asks the kernel whether anyone has the regular file f open for writing; known is false
// when that cannot be asked on f's file system.
//
// A read lease (F_SETLEASE, F_RDLCK) is granted only while nobody writes: EAGAIN otherwise, also for
// a shared writable mapping. Whoever opens f for writing meanwhile waits for its release, which
// follows at once; the SIGIO that the kernel sends us then is one that the Go runtime catches and
// drops. f must be open for reading only, and be ours, or we need CAP_LEASE (EACCES).
func HasWriter(f *os.File) (writer, known bool, err error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return false, false, &Error{Op: "ask for the file system of", Path: f.Name(), Err: err}
	}
	if isRemote(uint32(fs.Type)) {
		return false, false, nil
	}
	switch _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK); err {
	case nil:
	case unix.EAGAIN:
		return true, true, nil
	case unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP:
		return false, false, nil // the file system has no leases, or fs.leases-enable is 0
	default:
		return false, false, &Error{Op: "ask for writers of", Path: f.Name(), Err: err}
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK); err != nil {
		return false, false, &Error{Op: "give back the lease on", Path: f.Name(), Err: err}
	}
	return false, true, nil
}

// isRemote reports whether a file system of this type answers EAGAIN to a lease because the server
// gave it no delegation, which says nothing about writers (nfs4_proc_setlease, cifs_setlease).
func isRemote(magic uint32) bool {
	switch magic {
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC:
		return true
	}
	return false
}
