package install

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

// maxLinks is how many symbolic links a path may lead through, the kernel's own limit (MAXSYMLINKS).
const maxLinks = 40

// CheckOwners reports who else could change or replace what stands at path: path's directory and
// every directory above it, through symbolic links, must belong to root or to the user who runs
// relinkd and not be writable by group or others. A sticky directory passes if what path goes
// through next belongs to one of the two.
func CheckOwners(path string) error {
	file, err := lstat(path) // an error of the directories is told by checkDirs
	return checkDirs(filepath.Dir(path), err == nil && ours(file))
}

// checkDirs is CheckOwners for a directory; owned tells whether what it holds there is ours.
func checkDirs(dir string, owned bool) error {
	rest := components(dir)
	links := 0
	at := "/"
	for {
		here, err := lstat(at)
		if err != nil {
			return fmt.Errorf("cannot look at %s: %v", at, err)
		}
		if len(rest) == 0 {
			return checkDir(at, here, owned)
		}
		next := filepath.Join(at, rest[0])
		info, err := lstat(next)
		if err != nil {
			return fmt.Errorf("cannot look at %s: %v", next, err)
		}
		if err := checkDir(at, here, ours(info)); err != nil {
			return err
		}
		rest = rest[1:]
		if !info.IsSymlink() {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return fmt.Errorf("cannot look at %s: %v", dir, unix.ELOOP)
		}
		text, err := os.Readlink(next)
		if err != nil {
			return fmt.Errorf("cannot look at %s: %v", next, err)
		}
		if filepath.IsAbs(text) {
			at = "/"
		}
		rest = append(components(text), rest...)
	}
}

// components splits a path at its slashes.
func components(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// checkDir judges one directory; owned tells whether what is used of it is ours.
func checkDir(path string, dir fsys.Info, owned bool) error {
	switch {
	case !dir.IsDir():
		return fmt.Errorf("%s is %s, not a directory", path, kind(dir))
	case !ours(dir):
		return fmt.Errorf("the directory %s belongs to uid %d, who could replace what is in it; try: chown root %s", path, dir.UID, path)
	case dir.Perm()&0o022 != 0 && (dir.Perm()&unix.S_ISVTX == 0 || !owned):
		return fmt.Errorf("the directory %s can be written by others than its owner (mode %04o); try: chmod go-w %s", path, dir.Perm(), path)
	}
	return nil
}

// ours reports whether a file belongs to root or to the user who runs relinkd.
func ours(file fsys.Info) bool {
	return file.UID == 0 || int(file.UID) == os.Geteuid()
}
