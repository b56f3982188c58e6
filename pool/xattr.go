package pool

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

// xattrs are a file's extended attributes by name: SELinux label, capabilities, access list,
// user.* and, for root, trusted.*.
type xattrs map[string][]byte

// boundToInode is the one attribute that a copy cannot share: EVM's signature covers the inode
// number (evm_calc_hmac_or_hash in the kernel), so the kernel makes each file its own.
const boundToInode = "security.evm"

func (x xattrs) equal(y xattrs) bool { return maps.EqualFunc(x, y, bytes.Equal) }

// readXattrs reads all extended attributes of f. A file system without any has none.
func readXattrs(f *os.File) (xattrs, error) {
	fd := int(f.Fd())
	list, err := readSized(func(buf []byte) (int, error) { return unix.Flistxattr(fd, buf) })
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, &fsys.Error{Op: "list extended attributes", Path: f.Name(), Err: err}
	}
	all := xattrs{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		if name == "" || name == boundToInode {
			continue
		}
		value, err := readSized(func(buf []byte) (int, error) { return unix.Fgetxattr(fd, name, buf) })
		if errors.Is(err, unix.ENODATA) {
			continue // removed since it was listed
		}
		if err != nil {
			return nil, &fsys.Error{Op: fsys.Op("read extended attribute " + name), Path: f.Name(), Err: err}
		}
		all[name] = value
	}
	return all, nil
}

// readSized calls read with a buffer that is large enough, however the size changes meanwhile.
func readSized(read func([]byte) (int, error)) ([]byte, error) {
	for {
		size, err := read(nil)
		if err != nil || size == 0 {
			return nil, err
		}
		buf := make([]byte, size)
		n, err := read(buf)
		if err == unix.ERANGE {
			continue
		}
		if err != nil {
			return nil, err
		}
		return buf[:n], nil
	}
}

// setXattrs gives f, of the directory dir, exactly the attributes want: it also removes those that
// the file system or a default access list gave to the new file. It writes none that is right
// already, because a security module may refuse even that.
func setXattrs(dir *fsys.Dir, op fsys.Op, f *os.File, want xattrs) error {
	have, err := readXattrs(f)
	if err != nil {
		return err
	}
	return dir.File(op, f, func(fd int) error {
		for name := range have {
			if _, wanted := want[name]; !wanted {
				if err := unix.Fremovexattr(fd, name); err != nil && err != unix.ENODATA {
					return &xattrError{name, err}
				}
			}
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if value, there := have[name]; !there || !bytes.Equal(value, want[name]) {
				if err := unix.Fsetxattr(fd, name, want[name], 0); err != nil {
					return &xattrError{name, err}
				}
			}
		}
		return nil
	})
}

// SetXattrs gives f, of the directory dir, the extended attributes of like, save those named.
func SetXattrs(dir *fsys.Dir, op fsys.Op, f, like *os.File, save ...string) error {
	want, err := readXattrs(like)
	if err != nil {
		return err
	}
	for _, name := range save {
		delete(want, name)
	}
	return setXattrs(dir, op, f, want)
}

// xattrError is a failure that concerns one attribute.
type xattrError struct {
	name string
	err  error
}

func (e *xattrError) Error() string { return e.name + ": " + e.err.Error() }
func (e *xattrError) Unwrap() error { return e.err }

// differs says in which attribute a copy with the attributes x differs from its source, whose name
// is name and whose attributes are y; "" when in none.
func (x xattrs) differs(name string, y xattrs) string {
	for _, key := range slices.Sorted(maps.Keys(y)) {
		value, there := x[key]
		if !there {
			return "extended attribute " + key + " of " + name + " is missing"
		}
		if !bytes.Equal(value, y[key]) {
			return "extended attribute " + key + " differs from " + name
		}
	}
	for _, key := range slices.Sorted(maps.Keys(x)) {
		if _, there := y[key]; !there {
			return "extended attribute " + key + " is not on " + name
		}
	}
	return ""
}
