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
	Try  string // a command
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

// follow goes along an absolute path, judging each directory that it goes through, and returns where
// it ends.
func follow(path string) (at string, here Info, err error) {
	rest := components(path)
	links := 0
	at = "/"
	if here, err = lookAt(at); err != nil {
		return at, here, err
	}
	for len(rest) > 0 {
		next := filepath.Join(at, rest[0])
		info, err := lookAt(next)
		if err != nil {
			return at, here, err
		}
		if err := checkDir(at, here, info.Ours()); err != nil {
			return at, here, err
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
		if here, err = lookAt(at); err != nil {
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

// checkDir judges one directory; owned tells whether what is used of it is Ours.
func checkDir(path string, dir Info, owned bool) error {
	switch {
	case !dir.IsDir():
		return &Error{Op: "look into", Path: path, Err: unix.ENOTDIR}
	case !dir.Ours():
		return &OwnerError{fmt.Sprintf("the directory %s belongs to uid %d, who could replace what is in it", path, dir.UID), "chown root " + path}
	case dir.Perm()&0o022 != 0 && (dir.Perm()&unix.S_ISVTX == 0 || !owned):
		return &OwnerError{fmt.Sprintf("the directory %s can be written by others than its owner (mode %04o)", path, dir.Perm()), "chmod go-w " + path}
	}
	return nil
}

// lookAt describes what stands at path, not following a symbolic link.
func lookAt(path string) (Info, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return Info{}, &Error{Op: "look at", Path: path, Err: err}
	}
	return InfoOf(&st), nil
}
