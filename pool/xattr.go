package pool

import (
	"bytes"
	"errors"
	"fmt"
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

// capabilityName is the extended attribute of what a file may do (setcap).
const capabilityName = "security.capability"

// AttributesDiffer says in what the mode, the owner or an extended attribute of f differs from those of s;
// "" when in nothing.
func (s *Source) AttributesDiffer(f *os.File) (string, error) {
	info, err := fsys.Fstat(f)
	if err != nil {
		return "", err
	}
	if !info.SameAccess(s.info) {
		return fmt.Sprintf("mode %04o and owner %d:%d", info.Perm(), info.UID, info.GID), nil
	}
	return s.XattrsDiffer(f)
}

// XattrsDiffer says in which extended attribute f differs from s, save those named in ignore; "" when in
// none.
func (s *Source) XattrsDiffer(f *os.File, ignore ...string) (string, error) {
	have, err := readXattrs(f)
	if err != nil {
		return "", err
	}
	want := xattrs{}
	maps.Copy(want, s.xattrs)
	for _, name := range ignore {
		delete(have, name)
		delete(want, name)
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if value, there := want[name]; !there || !bytes.Equal(value, have[name]) {
			return name, nil
		}
		delete(want, name)
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		return "no " + name, nil
	}
	return "", nil
}

// HasCapability reports whether f may do more than others may (setcap).
func HasCapability(f *os.File) (bool, error) {
	all, err := readXattrs(f)
	return all[capabilityName] != nil, err
}

// HasCapability is that of the file as it was when it was read.
func (s *Source) HasCapability() bool { return s.xattrs[capabilityName] != nil }

// GiveXattrs gives f, of the directory dir, the extended attributes of s.
func (s *Source) GiveXattrs(dir *fsys.Dir, op fsys.Op, f *os.File) error {
	return setXattrs(dir, op, f, s.xattrs)
}

// Xattrs are a file's extended attributes as they were at one time.
type Xattrs struct{ all xattrs }

// XattrsFrom reads those of f.
func XattrsFrom(f *os.File) (Xattrs, error) {
	all, err := readXattrs(f)
	return Xattrs{all}, err
}

// Give gives them to f, of the directory dir, save those named in keep, of which it keeps what it has.
func (x Xattrs) Give(dir *fsys.Dir, op fsys.Op, f *os.File, keep ...string) error {
	have, err := readXattrs(f)
	if err != nil {
		return err
	}
	want := xattrs{}
	maps.Copy(want, x.all)
	for _, name := range keep {
		delete(want, name)
		if value, there := have[name]; there {
			want[name] = value
		}
	}
	return setXattrs(dir, op, f, want)
}
