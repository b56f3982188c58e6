package linker

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/pool"
)

// Everybody must be able to pass through the private directory, and nobody but root may change it.
const privateMode = 0o755

// Shut says in what the private directory keeps others than its owner out: its mode, an access list; ""
// when everybody can pass through it, or there is none.
func (l *Link) Shut() (string, error) {
	if l.private == nil {
		return "", nil
	}
	info, err := l.private.Stat()
	if err != nil {
		return "", err
	}
	if info.Perm()&privateMode != privateMode {
		return fmt.Sprintf("has mode %04o", info.Perm()), nil
	}
	list, err := l.private.HasAccessList()
	if err != nil || !list {
		return "", err
	}
	return "has an access list", nil
}

// OpenUp lets everybody pass through the private directory again.
func (l *Link) OpenUp() error {
	if err := l.private.DropAccessList("open up: access list"); err != nil {
		return err
	}
	return l.private.Chmod("open up: chmod", privateMode)
}

// LinkText is what the private link says when it leads to copy number n of the executable name; to path
// itself for 0.
func LinkText(name string, n int) string {
	if n == 0 {
		return "../" + name
	}
	return "../" + pool.CopyName(name, n)
}

// privateStanding is what stands in the private link's place: the text of a symbolic link, or else what
// is none.
func (l *Link) privateStanding() (text string, stray fsys.Info, err error) {
	for range 3 {
		text, err = l.private.Readlink(l.name)
		switch {
		case err == nil, fsys.NotExist(err):
			return text, fsys.Info{}, nil
		case !isErrno(err, unix.EINVAL):
			return "", fsys.Info{}, err
		}
		stray, err = l.private.Lstat(l.name)
		if err == nil && !stray.IsSymlink() {
			return "", stray, nil
		}
		if err != nil && !fsys.NotExist(err) {
			return "", fsys.Info{}, err
		}
	}
	return "", fsys.Info{}, fmt.Errorf("%s is replaced again and again", l.PrivateLink())
}

// KeepStray gives what stands in the private link's place and is no symbolic link the first free name that
// says so: NAME.drifted, or with .2, .3 … after it. A regular file, which may be executed at this very
// moment, stays in place too, for the next move of the link to replace.
func (l *Link) KeepStray() (kept string, err error) {
	_, stray, err := l.privateStanding()
	if err != nil || stray.ID.IsZero() {
		return "", err
	}
	return l.firstFree(l.name+suffixDrifted, func(kept string) error {
		if !stray.IsRegular() {
			return l.private.Move("stray: keep", l.name, l.private, kept)
		}
		err := l.private.Link("stray: keep", l.name, l.private, kept)
		if fsys.Exist(err) {
			if same, serr := l.sameFile(kept, l.name); same || serr != nil { // kept before a crash
				return serr
			}
		}
		return err
	})
}

// firstFree calls give with base or, while that name is taken, with .2, .3 … after it.
func (l *Link) firstFree(base string, give func(name string) error) (name string, err error) {
	for i := 1; ; i++ {
		name = base
		if i > 1 {
			name = fmt.Sprintf("%s.%d", base, i)
		}
		err := give(name)
		if !fsys.Exist(err) {
			return name, err
		}
	}
}

// numberIn is the number of the copy that the text of a private link names, 0 for none.
func numberIn(name, text string) int {
	if filepath.Dir(text) != ".." {
		return 0
	}
	return pool.CopyNumber(name, filepath.Base(text))
}
