// Package fsys is relinkd's only way of changing a file system: every changing call names the
// operation it belongs to, acts relative to an open directory, and reports the operation, the
// whole path and the errno. It must never follow a symbolic link in the last component and never
// replace a file unless the method's name says so.
package fsys

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Op labels one changing call, "publish: exchange" for example: what was being done, then with
// which call. The label is part of the error text and the handle by which a test makes that one
// call fail.
type Op string

// FS carries the hook that tests use. The zero value and nil are the plain file system.
type FS struct {
	// Before, when set, runs ahead of each changing call. An error that it returns is reported as
	// if the call itself had failed; the call is then not made.
	Before func(op Op, path string) error
}

// do makes one changing call and gives its error the operation and the path.
func (fs *FS) do(op Op, path string, call func() error) error {
	if fs != nil && fs.Before != nil {
		if err := fs.Before(op, path); err != nil {
			return &Error{Op: op, Path: path, Err: err}
		}
	}
	for {
		err := call()
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return &Error{Op: op, Path: path, Err: err}
		}
		return nil
	}
}

// Error is a file-system call that failed. It unwraps to the errno.
type Error struct {
	Op   Op
	Path string
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Path, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// ID identifies a file: two names with one ID are one file, whatever they are called.
type ID struct {
	Dev uint64 `json:"dev"`
	Ino uint64 `json:"ino"`
}

// IsZero reports whether no file is meant.
func (id ID) IsZero() bool { return id == ID{} }

// Info is what relinkd compares of a file. Two equal Infos of a regular file mean that nothing
// but its access time changed in between: Ctime moves with every write, rename, chmod and link.
type Info struct {
	ID
	Mode  uint32 `json:"mode"` // type and permissions, as in st_mode
	UID   uint32 `json:"uid"`
	GID   uint32 `json:"gid"`
	Nlink uint64 `json:"nlink"`
	Size  int64  `json:"size"`  // bytes
	Mtime int64  `json:"mtime"` // nanoseconds since 1970
	Ctime int64  `json:"ctime"` // nanoseconds since 1970
}

// IsRegular reports whether the file is a regular one.
func (i Info) IsRegular() bool { return i.Mode&unix.S_IFMT == unix.S_IFREG }

// IsSymlink reports whether the file is a symbolic link.
func (i Info) IsSymlink() bool { return i.Mode&unix.S_IFMT == unix.S_IFLNK }

// IsDir reports whether the file is a directory.
func (i Info) IsDir() bool { return i.Mode&unix.S_IFMT == unix.S_IFDIR }

// Perm is the permission bits, set-id and sticky bits included.
func (i Info) Perm() uint32 { return i.Mode &^ unix.S_IFMT }

// ModTime is Mtime as a time.
func (i Info) ModTime() time.Time { return time.Unix(0, i.Mtime) }

// SameContent reports whether i and j are one file whose content was not touched in between. Unlike
// equality it lets a rename, a chmod and a further hard link pass.
func (i Info) SameContent(j Info) bool {
	return i.ID == j.ID && i.Size == j.Size && i.Mtime == j.Mtime
}

// SameAccess reports whether i and j have one mode and one owner.
func (i Info) SameAccess(j Info) bool { return i.Mode == j.Mode && i.UID == j.UID && i.GID == j.GID }

// InfoOf converts what stat(2) filled in.
func InfoOf(st *unix.Stat_t) Info {
	return Info{
		ID:    ID{Dev: uint64(st.Dev), Ino: st.Ino},
		Mode:  st.Mode,
		UID:   st.Uid,
		GID:   st.Gid,
		Nlink: uint64(st.Nlink),
		Size:  st.Size,
		Mtime: unix.TimespecToNsec(st.Mtim),
		Ctime: unix.TimespecToNsec(st.Ctim),
	}
}

// Fstat describes an open file.
func Fstat(f *os.File) (Info, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return Info{}, &Error{Op: "stat", Path: f.Name(), Err: err}
	}
	return InfoOf(&st), nil
}

// Dir is an open directory. All names given to its methods are single components.
type Dir struct {
	f    *os.File
	path string
	fs   *FS
}

// OpenDir opens a directory by its path; fs may be nil.
func OpenDir(path string, fs *FS) (*Dir, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &Error{Op: "open directory", Path: path, Err: err}
	}
	return &Dir{f: os.NewFile(uintptr(fd), path), path: path, fs: fs}, nil
}

// OpenDir opens a directory inside d, refusing a symbolic link.
func (d *Dir) OpenDir(name string) (*Dir, error) {
	path := d.Join(name)
	fd, err := unix.Openat(d.fd(), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &Error{Op: "open directory", Path: path, Err: err}
	}
	return &Dir{f: os.NewFile(uintptr(fd), path), path: path, fs: d.fs}, nil
}

// Close releases the descriptor.
func (d *Dir) Close() error { return d.f.Close() }

// Path is the directory's path as it was opened.
func (d *Dir) Path() string { return d.path }

// Join is the path of name in d, for messages.
func (d *Dir) Join(name string) string { return filepath.Join(d.path, name) }

func (d *Dir) fd() int { return int(d.f.Fd()) }

// Fd is the directory's descriptor, for calls that read. It stays d's own.
func (d *Dir) Fd() int { return d.fd() }

// Stat describes the open directory itself, wherever it is now.
func (d *Dir) Stat() (Info, error) { return Fstat(d.f) }

// Lstat describes name in d, not following a symbolic link.
func (d *Dir) Lstat(name string) (Info, error) { return d.stat(name, unix.AT_SYMLINK_NOFOLLOW) }

// StatTarget describes what name in d leads to.
func (d *Dir) StatTarget(name string) (Info, error) { return d.stat(name, 0) }

func (d *Dir) stat(name string, flags int) (Info, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(d.fd(), name, &st, flags); err != nil {
		return Info{}, &Error{Op: "stat", Path: d.Join(name), Err: err}
	}
	return InfoOf(&st), nil
}

// Readlink returns the text of the symbolic link name.
func (d *Dir) Readlink(name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(d.fd(), name, buf)
	if err != nil {
		return "", &Error{Op: "read link", Path: d.Join(name), Err: err}
	}
	return string(buf[:n]), nil
}

// Open opens the regular file name for reading. It refuses a symbolic link (ELOOP) and does not
// wait on a fifo; what it returns may still be no regular file.
func (d *Dir) Open(name string) (*os.File, error) {
	for {
		fd, err := unix.Openat(d.fd(), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, &Error{Op: "open", Path: d.Join(name), Err: err}
		}
		return os.NewFile(uintptr(fd), d.Join(name)), nil
	}
}

// Names lists the directory, sorted.
func (d *Dir) Names() ([]string, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/self/fd/%d", d.fd()))
	if err != nil {
		return nil, &Error{Op: "list directory", Path: d.path, Err: errnoOf(err)}
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func errnoOf(err error) error {
	if pe, ok := err.(*os.PathError); ok {
		return pe.Err
	}
	return err
}

// Create makes the regular file name and opens it for reading and writing. EEXIST when anything
// of that name stands there.
func (d *Dir) Create(op Op, name string, perm uint32) (*os.File, error) {
	var fd int
	err := d.fs.do(op, d.Join(name), func() (err error) {
		fd, err = unix.Openat(d.fd(), name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, perm)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), d.Join(name)), nil
}

// File makes one changing call on the open file f of d, under the hook.
func (d *Dir) File(op Op, f *os.File, call func(fd int) error) error {
	return d.fs.do(op, f.Name(), func() error { return call(int(f.Fd())) })
}

// Mkdir makes a directory.
func (d *Dir) Mkdir(op Op, name string, perm uint32) error {
	return d.fs.do(op, d.Join(name), func() error { return unix.Mkdirat(d.fd(), name, perm) })
}

// Symlink makes a symbolic link called name that says text. EEXIST when the name is taken.
func (d *Dir) Symlink(op Op, text, name string) error {
	return d.fs.do(op, d.Join(name), func() error { return unix.Symlinkat(text, d.fd(), name) })
}

// Link gives the file name in d one more name in to. EEXIST when that is taken.
func (d *Dir) Link(op Op, name string, to *Dir, toName string) error {
	return d.fs.do(op, to.Join(toName), func() error { return unix.Linkat(d.fd(), name, to.fd(), toName, 0) })
}

// Replace renames name in d to toName in to and destroys what stood there.
func (d *Dir) Replace(op Op, name string, to *Dir, toName string) error {
	return d.fs.do(op, to.Join(toName), func() error { return unix.Renameat(d.fd(), name, to.fd(), toName) })
}

// Move renames name in d to toName in to, which must be free: EEXIST otherwise. A file system
// without RENAME_NOREPLACE gets a link and an unlink, which keep the same promise for all but
// directories.
func (d *Dir) Move(op Op, name string, to *Dir, toName string) error {
	return d.fs.do(op, to.Join(toName), func() error {
		err := unix.Renameat2(d.fd(), name, to.fd(), toName, unix.RENAME_NOREPLACE)
		if err != unix.EINVAL && err != unix.ENOSYS {
			return err
		}
		if err := unix.Linkat(d.fd(), name, to.fd(), toName, 0); err != nil {
			return err
		}
		return unix.Unlinkat(d.fd(), name, 0)
	})
}

// Exchange swaps name in d with toName in to in one step: at no instant is either name missing.
// EINVAL or ENOSYS, for which see NoExchange, on a file system that cannot.
func (d *Dir) Exchange(op Op, name string, to *Dir, toName string) error {
	return d.fs.do(op, to.Join(toName), func() error {
		return unix.Renameat2(d.fd(), name, to.fd(), toName, unix.RENAME_EXCHANGE)
	})
}

// Unlink removes name, which is no directory. ENOENT is reported.
func (d *Dir) Unlink(op Op, name string) error {
	return d.fs.do(op, d.Join(name), func() error { return unix.Unlinkat(d.fd(), name, 0) })
}

// Rmdir removes the empty directory name.
func (d *Dir) Rmdir(op Op, name string) error {
	return d.fs.do(op, d.Join(name), func() error { return unix.Unlinkat(d.fd(), name, unix.AT_REMOVEDIR) })
}

// Sync makes the directory's entries durable.
func (d *Dir) Sync(op Op) error {
	return d.fs.do(op, d.path, func() error { return unix.Fsync(d.fd()) })
}

// Chmod changes the mode of the open directory itself.
func (d *Dir) Chmod(op Op, perm uint32) error {
	return d.fs.do(op, d.path, func() error { return unix.Fchmod(d.fd(), perm) })
}

// Locked says in a few words how somebody has locked name, so that it can be neither renamed nor removed:
// an attribute of the file or a mount on it; "" when nobody has.
func (d *Dir) Locked(name string) (string, error) {
	var st unix.Statx_t
	if err := unix.Statx(d.fd(), name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_TYPE, &st); err != nil {
		return "", &Error{Op: "stat", Path: d.Join(name), Err: err}
	}
	switch {
	case st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0:
		return "has something mounted on it (umount)", nil
	case st.Attributes&unix.STATX_ATTR_IMMUTABLE != 0:
		return "is immutable (lsattr, chattr -i)", nil
	case st.Attributes&unix.STATX_ATTR_APPEND != 0:
		return "may only be appended to (lsattr, chattr -a)", nil
	}
	return "", nil
}

// accessList is the extended attribute that holds a POSIX access list beyond the mode.
const accessList = "system.posix_acl_access"

// HasAccessList reports whether the open directory has an access list. A file system without them has
// none.
func (d *Dir) HasAccessList() (bool, error) {
	_, err := unix.Fgetxattr(d.fd(), accessList, nil)
	switch err {
	case nil:
		return true, nil
	case unix.ENODATA, unix.EOPNOTSUPP:
		return false, nil
	}
	return false, &Error{Op: "read access list", Path: d.path, Err: err}
}

// DropAccessList removes the access list of the open directory; it is no error that there is none.
func (d *Dir) DropAccessList(op Op) error {
	return d.fs.do(op, d.path, func() error {
		if err := unix.Fremovexattr(d.fd(), accessList); err != unix.ENODATA && err != unix.EOPNOTSUPP {
			return err
		}
		return nil
	})
}
