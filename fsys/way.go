package fsys

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// AccessError says why no ordinary user can execute a file.
type AccessError struct {
	What string // a sentence about a directory on the way or the file
	Try  string // a command
}

func (e *AccessError) Error() string { return e.What + "; try: " + e.Try }

// CheckExecutableByOthers reports why nobody but root could execute the file that path leads to, by the
// modes of it and of every directory on the way, through symbolic links: an *AccessError, or what the kernel
// says to path. Somebody can who is neither root nor in its group: anybody, the members of one group, or
// one user. Access lists count as far as the mode shows them. What the modes do not say (noexec, a
// security module) is not asked.
func CheckExecutableByOthers(path string) error {
	way, file, err := wayTo(path)
	if err != nil {
		return err
	}
	if !file.Info.IsRegular() {
		return &Error{Op: "execute", Path: file.path, Err: unix.EACCES}
	}
	way = append(way, file)
	for _, who := range candidates(way) {
		if who.passes(way) {
			return nil
		}
	}
	for _, at := range way { // the first that keeps others out: where there is one, all are kept out
		if at.Perm()&0o001 != 0 {
			continue
		}
		if at.IsDir() {
			return &AccessError{fmt.Sprintf("others than root cannot pass through the directory %s (mode %04o)", at.path, at.Perm()), "chmod a+x " + at.path}
		}
		return &AccessError{fmt.Sprintf("others than root cannot execute %s (mode %04o)", at.path, at.Perm()), "chmod a+x " + at.path}
	}
	return nil // not reached: anybody would have passed
}

// passed is a directory or a file on the way to one.
type passed struct {
	Info
	path string
}

// who is somebody who may or may not execute a file: anybody, or a user or a group that it names.
type who struct {
	user, group       uint32
	isUser, isInGroup bool
}

// candidates are those to whom way may be open: anybody, and each user and group but root's that it names.
func candidates(way []passed) []who {
	all := []who{{}}
	for _, at := range way {
		if at.UID != 0 {
			all = append(all, who{user: at.UID, isUser: true})
		}
		if at.GID != 0 {
			all = append(all, who{group: at.GID, isInGroup: true})
		}
	}
	return all
}

// passes reports whether the modes of way let w through: the first class that w belongs to counts alone,
// as in generic_permission of the kernel.
func (w who) passes(way []passed) bool {
	for _, at := range way {
		bit := uint32(0o001)
		switch {
		case w.isUser && w.user == at.UID:
			bit = 0o100
		case w.isInGroup && w.group == at.GID:
			bit = 0o010
		}
		if at.Perm()&bit == 0 {
			return false
		}
	}
	return true
}

// wayTo is every directory that an absolute path leads through, also by symbolic links, and what it ends
// at.
func wayTo(path string) (way []passed, end passed, err error) {
	at := passed{path: "/"}
	if at.Info, err = Lstat(at.path); err != nil {
		return nil, end, err
	}
	rest, links := components(path), 0
	for len(rest) > 0 {
		if !at.IsDir() {
			return nil, end, &Error{Op: "look at", Path: filepath.Join(at.path, rest[0]), Err: unix.ENOTDIR}
		}
		way = append(way, at)
		next := passed{path: filepath.Join(at.path, rest[0])}
		if next.Info, err = Lstat(next.path); err != nil {
			return nil, end, err
		}
		rest = rest[1:]
		if !next.IsSymlink() {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return nil, end, &Error{Op: "look at", Path: path, Err: unix.ELOOP}
		}
		text, err := os.Readlink(next.path)
		if err != nil {
			return nil, end, &Error{Op: "look at", Path: next.path, Err: errnoOf(err)}
		}
		if filepath.IsAbs(text) {
			at.path = "/"
			if at.Info, err = Lstat(at.path); err != nil {
				return nil, end, err
			}
		}
		rest = append(components(text), rest...)
	}
	return way, at, nil
}
