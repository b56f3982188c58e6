package pkgdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Owner is the dpkg package whose files are to include path, by the database in the directory admin; ""
// when none is, also where there is no database.
func Owner(admin, path string) (pkg string, err error) {
	list, _, err := NewLists(admin, path, false).search()
	if err != nil || list == "" {
		return "", err
	}
	return packageOf(list), nil
}

// Diverted is where dpkg installs what packages have as path, and for whom ("" for an administrator);
// "" when it installs that at path.
func Diverted(admin, path string) (to, by string, err error) {
	d := NewLists(admin, path, false)
	addAliases(d.aliases, path)
	all, err := readDiversions(d.diversions())
	if err != nil {
		return "", "", err
	}
	for _, one := range all {
		if _, ok := d.aliases[one.from]; ok {
			if by = one.pkg; by == ":" {
				by = ""
			}
			return one.to, by, nil
		}
	}
	return "", "", nil
}

// Override is what dpkg-statoverride gives path, as "USER GROUP MODE"; "" for nothing.
func Override(admin, path string) (string, error) {
	text, err := os.ReadFile(filepath.Join(admin, "statoverride"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("cannot read dpkg's overrides: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.SplitN(strings.TrimSpace(line), " ", 4); len(fields) == 4 && fields[3] == path {
			return strings.Join(fields[:3], " "), nil
		}
	}
	return "", nil
}

// HasDpkg reports whether dpkg's database is in admin.
func HasDpkg(admin string) bool { return exists(filepath.Join(admin, "status")) }

// HasRPM reports whether rpm's database is in one of dirs.
func HasRPM(dirs []string) bool {
	for _, dir := range dirs {
		for _, file := range []string{"rpmdb.sqlite", "Packages.db", "Packages"} {
			if exists(filepath.Join(dir, file)) {
				return true
			}
		}
	}
	return false
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
