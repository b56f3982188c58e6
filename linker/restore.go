package linker

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

// Restore puts the pristine back at path, where it stays the very inode that was packaged, and
// makes that durable. Recover must have run. What somebody else put at path is newer and stays: kept
// is then true. The private link leads to path afterwards, so that an exec that is under way finds
// its file; Dismantle removes it. Without a pristine it is an error, and nothing has changed: make
// one first (a clone of a copy, under PristineName).
func (l *Link) Restore() (kept bool, err error) {
	at, err := l.Look()
	if err != nil {
		return false, err
	}
	switch at.Kind {
	case File, OtherLink, Other:
		kept = true
	case Nothing:
		err = l.private.Move("restore: rename", l.PristineName(), l.dir, l.name)
		if fsys.Exist(err) {
			return l.Restore()
		}
	case Ours, PoolLink:
		kept, err = l.putPristine(at)
		if errors.Is(err, ErrSuperseded) {
			return l.Restore()
		}
	}
	if err != nil {
		return kept, fmt.Errorf("cannot restore %s: %w", l.Path(), err)
	}
	l.put = fsys.ID{}
	if err := l.Bypass(); err != nil {
		return kept, err
	}
	return kept, l.sync("restore: sync")
}

// putPristine exchanges the pristine with the link at path, seen as at. A newer file that comes out
// instead goes back, and is kept.
func (l *Link) putPristine(at Standing) (kept bool, err error) {
	pristine, err := l.private.Lstat(l.PristineName())
	if err != nil {
		return false, err
	}
	err = l.exchange("restore: exchange", l.PristineName(), at.Info)
	if fsys.NotExist(err) {
		return false, errors.Join(ErrSuperseded, err)
	}
	if err != nil {
		return false, err
	}
	out, err := l.standing(l.private, l.PristineName())
	if err != nil {
		return false, err
	}
	if out.Kind == Ours || out.Kind == PoolLink {
		return false, l.private.Unlink("restore: unlink", l.PristineName())
	}
	return true, l.giveBack(l.PristineName(), pristine.ID)
}

// Dismantle removes the private link and everything else that is kept for this target in the
// private directory, then the directory itself when nothing is left in it. Path must not be ours any
// more, and the copies should be gone. left names what it did not remove: files that somebody else
// may want (NAME_NNN.drifted). Another target's files keep the directory too, unmentioned.
func (l *Link) Dismantle() (left []string, err error) {
	if l.private == nil {
		return nil, nil
	}
	for _, name := range []string{
		l.name, l.PristineName(), l.PreviousName(), l.publishName(), l.outName(), l.name + suffixRotate,
	} {
		if err := l.unlinkIfThere("dismantle: unlink", name); err != nil {
			return nil, err
		}
	}
	names, err := l.private.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if belongs(l.name, name) {
			left = append(left, l.private.Join(name))
		}
	}
	err = l.dir.Rmdir("dismantle: rmdir", PrivateDir)
	switch {
	case err == nil, fsys.NotExist(err):
		l.private.Close()
		l.private = nil
	case isErrno(err, unix.ENOTEMPTY), isErrno(err, unix.EEXIST):
	default:
		return left, err
	}
	return left, l.dir.Sync("dismantle: sync")
}

// belongs reports whether a file of the private directory is named after a copy of name.
func belongs(name, file string) bool {
	const number = len("_001")
	return len(file) > len(name)+number && file[:len(name)] == name && file[len(name)] == '_'
}

// Unwind makes the previous pristine the pristine again and the other way round: the package manager
// took its upgrade back by putting our link at path again.
func (l *Link) Unwind() error {
	err := l.private.Exchange("unwind: exchange", l.PreviousName(), l.private, l.PristineName())
	if !fsys.NoExchange(err) {
		return err
	}
	return l.private.Replace("unwind: rename", l.PreviousName(), l.private, l.PristineName())
}

// DropPrevious forgets the previous pristine: the upgrade can no longer be taken back.
func (l *Link) DropPrevious() error {
	return l.unlinkIfThere("drop previous: unlink", l.PreviousName())
}

// DropPristine forgets a pristine that a newer file at path has made obsolete, where path will not
// be published (the package was removed, or publish is "none").
func (l *Link) DropPristine() error {
	return l.unlinkIfThere("drop pristine: unlink", l.PristineName())
}

// KeepLinked makes the copy that a hand-made link leads to the pristine as well, under one more
// name of the same inode: there is no other original.
func (l *Link) KeepLinked(copyName string) error {
	return l.dir.Link("take over: link", copyName, l.private, l.PristineName())
}
