package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"relinkd/pool"
)

// autoPath as a target's path asks for a search in the install directories.
const autoPath = "auto"

// InstallDirs is where Cyrus is installed: Debian, Ubuntu, openSUSE; Fedora, RHEL; RHEL of old; from
// source; from source of old. relinkd.service opens them all.
func InstallDirs() []string {
	return []string{"/usr/lib/cyrus/bin", "/usr/libexec/cyrus-imapd", "/usr/lib/cyrus-imapd", "/usr/cyrus/libexec", "/usr/cyrus/bin"}
}

// findTarget returns where the executable called name is installed below root: in the one install
// directory in which it stands, or in which its private link does (between removal and upgrade path
// may be gone). If it stands nowhere it is going to be in the first directory that there is. found
// says why that cannot be told, "" if it can; allowed then says what to do.
func findTarget(root, name string) (path, found, allowed string) {
	var dirs, holding []string
	for _, dir := range InstallDirs() {
		dir = filepath.Join(root, dir)
		if slices.ContainsFunc(dirs, func(known string) bool { return sameFile(known, dir) }) {
			continue // one directory under two names
		}
		there, err := exists(dir)
		for _, file := range []string{filepath.Join(dir, name), filepath.Join(dir, pool.PrivateDir, name)} {
			if err != nil || slices.Contains(holding, dir) {
				break
			}
			var holds bool
			if holds, err = exists(file); holds {
				holding = append(holding, dir)
			}
		}
		if err != nil {
			return "", fmt.Sprintf("%q, but relinkd cannot look into %s (%v)", autoPath, dir, reason(err)), "an absolute path"
		}
		if there {
			dirs = append(dirs, dir)
		}
	}
	switch {
	case len(holding) > 1:
		return "", fmt.Sprintf("%q, but %s is in %s and in %s", autoPath, name, holding[0], holding[1]),
			fmt.Sprintf("the path of one of them: set path = %q", filepath.Join(holding[0], name))
	case len(holding) == 1:
		return filepath.Join(holding[0], name), "", ""
	case len(dirs) > 0:
		return filepath.Join(dirs[0], name), "", ""
	default:
		return filepath.Join(root, InstallDirs()[0], name), "", ""
	}
}

// exists reports whether anything stands at path, a symbolic link that leads nowhere included.
func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return false, nil
	default:
		return false, err
	}
}

// sameFile reports whether both paths lead to one existing file.
func sameFile(a, b string) bool {
	ia, errA := os.Stat(a)
	ib, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(ia, ib)
}
