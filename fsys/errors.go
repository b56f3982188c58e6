package fsys

import (
	"errors"

	"golang.org/x/sys/unix"
)

// NotExist reports whether err says that a name is not there.
func NotExist(err error) bool { return errors.Is(err, unix.ENOENT) }

// Exist reports whether err says that a name is taken.
func Exist(err error) bool { return errors.Is(err, unix.EEXIST) }

// NoExchange reports whether err says that the file system has no RENAME_EXCHANGE: EINVAL from a
// file system that does not know the flag (NFS), ENOSYS from a kernel before 3.15.
func NoExchange(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS)
}
