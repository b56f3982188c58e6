package pool

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

// copyChunk is how much is copied between two looks at the context, in bytes.
const copyChunk = 4 << 20

// attrOps label the calls of applyTo.
type attrOps struct{ chown, chmod, xattr fsys.Op }

// applyTo gives f, of the directory dir, the owner, mode and extended attributes of s. The order
// matters: chown clears the set-id bits and security.capability (setattr_should_drop_suidgid and
// security_inode_killpriv in the kernel), and the mode of a file with an access list is part of
// the list.
func (s *Source) applyTo(dir *fsys.Dir, f *os.File, ops attrOps) error {
	if err := dir.File(ops.chown, f, func(fd int) error { return unix.Fchown(fd, int(s.info.UID), int(s.info.GID)) }); err != nil {
		return err
	}
	if err := dir.File(ops.chmod, f, func(fd int) error { return unix.Fchmod(fd, s.info.Perm()) }); err != nil {
		return err
	}
	return setXattrs(dir, ops.xattr, f, s.xattrs)
}

// cloneTo fills the new file f of dir with the content of s and then with all that stat and
// listxattr show of it. The modification time comes last, for everything before changes it; the
// access time is the copy's own. Shared reports that the content is a reflink: the file system
// shares its blocks with s and nothing was written.
func (s *Source) cloneTo(ctx context.Context, dir *fsys.Dir, f *os.File) (shared bool, err error) {
	shared, err = s.reflinkTo(dir, f)
	if err == nil && !shared {
		err = dir.File("clone: copy", f, func(fd int) error { return s.copyTo(ctx, fd) })
	}
	if err != nil {
		return false, err
	}
	if err := s.applyTo(dir, f, attrOps{"clone: chown", "clone: chmod", "clone: xattr"}); err != nil {
		return false, err
	}
	err = dir.File("clone: mtime", f, func(int) error {
		times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(s.info.Mtime)}
		return unix.UtimesNanoAt(dir.Fd(), filepath.Base(f.Name()), times, unix.AT_SYMLINK_NOFOLLOW)
	})
	return shared, err
}

// reflinkTo shares the content of s with f. It reports false where the file system cannot.
func (s *Source) reflinkTo(dir *fsys.Dir, f *os.File) (shared bool, err error) {
	err = dir.File("clone: reflink", f, func(fd int) error { return unix.IoctlFileClone(fd, int(s.f.Fd())) })
	if notSupported(err) {
		return false, nil
	}
	return err == nil, err
}

// copyTo copies the content of s, within the kernel as far as the file systems can.
func (s *Source) copyTo(ctx context.Context, fd int) error {
	done, err := s.copyInKernel(ctx, fd)
	if err != nil && !notSupported(err) {
		return err
	}
	if done < s.info.Size {
		return s.copyByHand(ctx, fd, done)
	}
	return nil
}

// copyInKernel copies with copy_file_range until the end, or until that makes no progress, and
// returns how many bytes it has copied.
func (s *Source) copyInKernel(ctx context.Context, fd int) (done int64, err error) {
	for done < s.info.Size {
		if err := ctx.Err(); err != nil {
			return done, err
		}
		from, to := done, done
		n, err := unix.CopyFileRange(int(s.f.Fd()), &from, fd, &to, int(min(copyChunk, s.info.Size-done)), 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return done, err
		}
		done += int64(n)
	}
	return done, nil
}

// copyByHand copies from the offset done on with read and write.
func (s *Source) copyByHand(ctx context.Context, fd int, done int64) error {
	buf := make([]byte, min(readBuffer, s.info.Size-done))
	for done < s.info.Size {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := unix.Pread(int(s.f.Fd()), buf[:min(int64(len(buf)), s.info.Size-done)], done)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return s.changed() // it has become shorter
		}
		for rest := buf[:n]; len(rest) > 0; {
			m, err := unix.Pwrite(fd, rest, done)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				return err
			}
			rest, done = rest[m:], done+int64(m)
		}
	}
	return nil
}

// notSupported reports whether err says that a clone by this call cannot be had between these two
// files: other mount or file system (EXDEV), not for such files (EINVAL), not in this kernel or
// file system (ENOSYS, EOPNOTSUPP, ENOTTY).
func notSupported(err error) bool {
	for _, errno := range []unix.Errno{unix.EXDEV, unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP, unix.ENOTTY} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
