package fsys

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links a path may lead through, the kernel's own limit (MAXSYMLINKS).
const maxLinks = 40

// Ours reports whether the file belongs to root or to the user who runs relinkd: the two whom relinkd
// trusts.
func (i Info) Ours() bool { return i.UID == 0 || int(i.UID) == os.Geteuid() }

// OwnerError says that somebody who is not trusted could put something else in a file's place.
type OwnerError struct {
	What string // a sentence about the directory
	Try  string // a command, or what else would do
}

func (e *OwnerError) Error() string { return e.What + "; try: " + e.Try }

// CheckDir reports who else could change what is in the directory path, or put another directory in
// its place: it and every directory above it, through symbolic links, must be Ours and not be
// writable by group or others. A sticky directory above it passes if what path goes through next is
// Ours: nobody else can rename that. It does not pass itself, for names that are free are anybody's
// there. An *OwnerError, or that of a path that leads to no directory.
func CheckDir(path string) error {
	at, info, err := follow(path)
	if err != nil {
		return err
	}
	return checkDir(at, info, false)
}

// CheckFile is CheckDir for the directories through which path leads to a file that exists; in a sticky
// one the file itself must be Ours.
func CheckFile(path string) error {
	_, _, err := follow(path)
	return err
}

// OwnDir opens a directory of relinkd's own, as CheckDir wants it, and makes it, 0755 whatever the umask,
// where nothing stands at path. The directories above must be there: ENOENT. Nothing is made in one that
// is somebody else's.
func OwnDir(path string, fs *FS) (*Dir, error) {
	d, err := OpenDir(path, fs)
	if NotExist(err) {
		d, err = makeOwnDir(path, fs)
	}
	if err != nil {
		return nil, err
	}
	if err := CheckDir(path); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func makeOwnDir(path string, fs *FS) (*Dir, error) {
	at, info, err := follow(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	if err := checkDir(at, info, true); err != nil {
		return nil, err
	}
	above, err := OpenDir(at, fs)
	if err != nil {
		return nil, err
	}
	defer above.Close()
	name := filepath.Base(path)
	made := above.Mkdir("own: make directory", name, 0o755)
	if made != nil && !Exist(made) {
		return nil, made
	}
	d, err := above.OpenDir(name)
	if err != nil || made != nil {
		return d, err
	}
	if err := d.Chmod("own: chmod", 0o755); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// follow goes along an absolute path, judging each directory that it goes through, and returns where
// it ends.
func follow(path string) (at string, here Info, err error) {
	rest := components(path)
	links := 0
	at = "/"
	if here, err = Lstat(at); err != nil {
		return at, here, err
	}
	for len(rest) > 0 {
		next := filepath.Join(at, rest[0])
		info, err := Lstat(next)
		if err != nil {
			return at, here, err
		}
		if err := checkDir(at, here, true); err != nil {
			return at, here, err
		}
		if here.Perm()&0o022 != 0 && !info.Ours() {
			return at, here, &OwnerError{fmt.Sprintf("%s, in a directory that others can write to (mode %04o), belongs to uid %d", next, here.Perm(), info.UID), "chown root " + next}
		}
		rest = rest[1:]
		if !info.IsSymlink() {
			at, here = next, info
			continue
		}
		if links++; links > maxLinks {
			return at, here, &Error{Op: "look at", Path: path, Err: unix.ELOOP}
		}
		text, err := os.Readlink(next)
		if err != nil {
			return at, here, &Error{Op: "look at", Path: next, Err: errnoOf(err)}
		}
		if filepath.IsAbs(text) {
			at = "/"
		}
		if here, err = Lstat(at); err != nil {
			return at, here, err
		}
		rest = append(components(text), rest...)
	}
	return at, here, nil
}

// components splits a path at its slashes.
func components(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// checkDir judges one directory; sticky tells whether a sticky one may be writable by others.
func checkDir(path string, dir Info, sticky bool) error {
	isSticky := dir.Perm()&unix.S_ISVTX != 0
	switch {
	case !dir.IsDir():
		return &Error{Op: "look into", Path: path, Err: unix.ENOTDIR}
	case !dir.Ours():
		return &OwnerError{fmt.Sprintf("the directory %s belongs to uid %d, who could replace what is in it", path, dir.UID), "chown root " + path}
	case dir.Perm()&0o022 == 0, isSticky && sticky:
		return nil
	}
	try := "chmod go-w " + path
	if isSticky { // it is meant so
		try = "a directory of its own below it"
	}
	return &OwnerError{fmt.Sprintf("the directory %s can be written by others than its owner (mode %04o)", path, dir.Perm()), try}
}

// Lstat describes what stands at path, not following a symbolic link.
func Lstat(path string) (Info, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return Info{}, &Error{Op: "look at", Path: path, Err: err}
	}
	return InfoOf(&st), nil
}
