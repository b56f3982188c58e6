package pkgdb

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"relinkd/fsys"
)

const (
	// tick is how old a time stamp must be for a later change to be certain of another one; the
	// clock that stamps files advances every 10 ms at the slowest (CONFIG_HZ=100).
	tick = 20 * time.Millisecond
	// listSuffix ends the name of a list.
	listSuffix = ".list"
	// maxLine is longer than any path in a list (PATH_MAX is 4096).
	maxLine = 16 << 10
)

// Lists knows whether one of dpkg's file lists, info/*.list, names a path.
//
// dpkg replaces a list by a rename, during an upgrade by one that still names the path, during a
// removal after the file's unlink. A file that moves to another package is in that one's list
// before it leaves its own. So "no list names it" holds if it was found while nothing changed.
type Lists struct {
	admin string // dpkg's database, the directory
	path  string

	// stale says that another file stands at path than the one whose package is known.
	stale atomic.Bool

	mu      sync.Mutex          // guards what follows
	named   bool                // a list names path, or one did and a source has not come since
	aliases map[string]struct{} // path as lists may spell it
	owner   string              // the list that named path last
	seen    stamp               // the list's Info in list, when it did
	nothing stamp               // the database when no list named path
}

// stamp is the state of the files that an answer was read from. A missing file's Info is zero.
type stamp struct {
	list       fsys.Info // the directory of lists, or one list
	diversions fsys.Info
}

// NewLists returns the Lists of the database in the directory admin that are asked for path. named says that an
// earlier run knew that a list names it.
func NewLists(admin, path string, named bool) *Lists {
	return &Lists{admin: admin, path: path, named: named, aliases: map[string]struct{}{path: {}}}
}

func (d *Lists) lists() string      { return filepath.Join(d.admin, "info") }
func (d *Lists) diversions() string { return filepath.Join(d.admin, "diversions") }

// Forget takes note that a new source stands at path: the lists must tell anew whose it is.
func (d *Lists) Forget() { d.stale.Store(true) }

// Named reports whether a list names path, or did until the file was removed.
func (d *Lists) Named() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.named
}

// Learn finds out whether a list names path; sure is false if that may have changed meanwhile.
func (d *Lists) Learn(now time.Time) (named, sure bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	named, sure, err = d.look(now)
	switch {
	case err != nil:
	case named:
		d.named = true
		d.stale.Store(false)
	case sure && d.stale.CompareAndSwap(true, false):
		d.named = false
	}
	return named, sure, err
}

// Removed tells why path's file counts as removed, "" if it does not.
func (d *Lists) Removed(now time.Time) (reason string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.named {
		return "", nil
	}
	named, sure, err := d.look(now)
	if err != nil || named || !sure {
		return "", err
	}
	if d.nothing.list.IsZero() {
		return "", fmt.Errorf("cannot tell whether %s was removed: dpkg's lists are gone from %s", d.path, d.lists())
	}
	return "no dpkg package names it any more", nil
}

// look reads the lists as far as they may have changed since it last did.
func (d *Lists) look(now time.Time) (named, sure bool, err error) {
	before, err := d.stamp(d.lists())
	if err != nil {
		return false, false, err
	}
	if before == d.nothing {
		return false, true, nil
	}
	if d.owner != "" {
		if seen, err := d.stamp(d.owner); err == nil && seen == d.seen {
			return true, true, nil
		}
	}
	owner, seen, err := d.search()
	if err != nil {
		return false, false, err
	}
	if owner != "" {
		d.owner, d.seen, d.nothing = owner, seen, stamp{}
		return true, true, nil
	}
	after, err := d.stamp(d.lists())
	if err != nil || before != after || !old(before.list, now) || !old(before.diversions, now) {
		return false, false, err
	}
	d.owner, d.nothing = "", before
	return false, true, nil
}

// search returns the first list that names path, "" if none does.
func (d *Lists) search() (owner string, seen stamp, err error) {
	addAliases(d.aliases, d.path)
	diversions, err := readDiversions(d.diversions())
	if err != nil {
		return "", stamp{}, err
	}
	claims := claimsOf(d.aliases, diversions)
	lists, err := os.ReadDir(d.lists())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", stamp{}, fmt.Errorf("cannot read dpkg's lists: %v", err)
	}
	buf := make([]byte, maxLine)
	for _, entry := range lists {
		if !strings.HasSuffix(entry.Name(), listSuffix) {
			continue
		}
		path := filepath.Join(d.lists(), entry.Name())
		pkg := packageOf(path)
		seen, err := d.stamp(path)
		if err != nil {
			return "", stamp{}, err
		}
		if found, err := listNames(path, pkg, claims, buf); err != nil {
			return "", stamp{}, err
		} else if found {
			return path, seen, nil
		}
	}
	return "", stamp{}, nil
}

// packageOf is the package that a list, PACKAGE.list or PACKAGE:ARCHITECTURE.list, belongs to.
func packageOf(list string) string {
	pkg, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(list), listSuffix), ":")
	return pkg
}

// listNames reports whether the list of the package pkg makes one of the claims. A list that is
// gone makes none.
func listNames(path, pkg string, claims []claim, buf []byte) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot read dpkg's lists: %v", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(buf, maxLine)
	for lines.Scan() {
		for _, c := range claims {
			if string(lines.Bytes()) == c.line && c.by(pkg) {
				return true, nil
			}
		}
	}
	if err := lines.Err(); err != nil {
		return false, fmt.Errorf("cannot read dpkg's list %s: %v", path, err)
	}
	return false, nil
}

// stamp describes one list, or all, and the diversions.
func (d *Lists) stamp(list string) (s stamp, err error) {
	if s.list, err = fsys.Lstat(list); err != nil && !fsys.NotExist(err) {
		return stamp{}, fmt.Errorf("cannot read dpkg's database: %v", err)
	}
	if s.diversions, err = fsys.Lstat(d.diversions()); err != nil && !fsys.NotExist(err) {
		return stamp{}, fmt.Errorf("cannot read dpkg's database: %v", err)
	}
	return s, nil
}

// old reports whether a change after now would give the file another modification time. One to
// come would be replaced by an earlier one.
func old(file fsys.Info, now time.Time) bool {
	age := now.Sub(file.ModTime())
	return age < 0 || age >= tick
}
