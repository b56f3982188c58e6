package linker

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

// Restore puts the pristine back at path, where it stays the very inode that was packaged, and
// makes that durable. Recover must have run. What somebody else put at path is newer and stays: kept
// is then true. The private link leads to path afterwards, so that an exec that is under way finds
// its file; Dismantle removes it. Without a pristine it is an error, and nothing has changed: make
// one first (a clone of a copy, under PristineName).
//
// The pristine keeps its own name until path is durable: by it, should a crash come in between,
// Recover tells the pristine at path from a newer file.
func (l *Link) Restore() (kept bool, err error) {
	v, err := l.View()
	if err != nil {
		return false, err
	}
	kept, err = l.restorePath(v)
	if errors.Is(err, ErrSuperseded) {
		return l.Restore()
	}
	if err != nil {
		return kept, fmt.Errorf("cannot restore %s: %w", l.Path(), err)
	}
	l.put = fsys.ID{}
	if l.private == nil {
		return kept, nil
	}
	if err := l.sync("restore: sync"); err != nil {
		return kept, err
	}
	if err := l.Bypass(); err != nil {
		return kept, err
	}
	if kept {
		return true, nil
	}
	return false, l.unlinkIfThere("restore: drop name", l.PristineName())
}

// restorePath makes path hold what it should when relinkd is gone. ErrSuperseded when path was
// replaced meanwhile.
func (l *Link) restorePath(v View) (kept bool, err error) {
	ours := v.Path.Kind == Ours
	switch {
	case v.Path.Kind == Nothing && v.Publish.Kind == File: // a newer file, hidden by a crash
		err = l.private.Move("restore: rename", l.publishName(), l.dir, l.name)
		kept = true
	case v.Path.Kind == Nothing && v.Pristine.Kind == File:
		err = l.private.Link("restore: link", l.PristineName(), l.dir, l.name)
	case v.Path.Kind == Nothing, ours && v.Pristine.Kind != File:
		return false, fmt.Errorf("there is no %s in %s: make it of a copy", l.PristineName(), l.dir.Join(PrivateDir))
	case ours, v.Path.Kind == PoolLink && v.Pristine.Kind == File:
		return l.putPristine(v)
	default:
		return v.Path.Info.ID != v.Pristine.Info.ID, nil
	}
	if fsys.Exist(err) {
		err = errors.Join(ErrSuperseded, err)
	}
	return kept, err
}

// putPristine exchanges the pristine, under its further name NAME.publish, with the link at path. A
// newer file that comes out instead goes back, and is kept.
func (l *Link) putPristine(v View) (kept bool, err error) {
	err = l.private.Link("restore: name", l.PristineName(), l.private, l.publishName())
	if err != nil {
		return false, err
	}
	err = l.exchange("restore: exchange", v.Path.Info)
	if err != nil {
		if fsys.NotExist(err) {
			err = errors.Join(ErrSuperseded, err)
		}
		return false, errors.Join(err, l.dropPristineName())
	}
	out, err := l.standing(l.private, l.publishName())
	if err != nil {
		return false, err
	}
	if out.Kind == Ours || out.Kind == PoolLink {
		return false, l.private.Unlink("restore: unlink", l.publishName())
	}
	return true, l.giveBack(v.Pristine.Info)
}

// dropPristineName removes NAME.publish if it is a further name of the pristine.
func (l *Link) dropPristineName() error {
	same, err := l.sameFile(l.publishName(), l.PristineName())
	if fsys.NotExist(err) {
		return nil
	}
	if err != nil || !same {
		return err
	}
	return l.private.Unlink("restore: unlink", l.publishName())
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
		l.name, l.PristineName(), l.PreviousName(), l.publishName(), l.outName(), l.backName(), l.beforeName(),
		l.asideName(), l.name + suffixRotate, l.name + suffixAdopt, l.name + suffixLauncher,
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
	if err := l.DropPrivate(); err != nil {
		return left, err
	}
	return left, l.dir.Sync("dismantle: sync")
}

// DropPrivate removes the private directory if nothing is in it.
func (l *Link) DropPrivate() error {
	if l.private == nil {
		return nil
	}
	err := l.dir.Rmdir("dismantle: rmdir", PrivateDir)
	switch {
	case err == nil, fsys.NotExist(err):
		l.private.Close()
		l.private = nil
		return nil
	case isErrno(err, unix.ENOTEMPTY), isErrno(err, unix.EEXIST):
		return nil
	}
	return err
}

// SetAsidePristine gives the pristine, to which somebody has written, the first free name that says so:
// NAME.pristine.drifted, or with .2, .3 … after it. There is none then.
func (l *Link) SetAsidePristine() (kept string, err error) {
	for i := 1; ; i++ {
		kept = l.PristineName() + suffixDrifted
		if i > 1 {
			kept = fmt.Sprintf("%s.%d", kept, i)
		}
		err := l.private.Move("drifted: keep", l.PristineName(), l.private, kept)
		if !fsys.Exist(err) {
			return kept, err
		}
	}
}

// belongs reports whether a file of the private directory is named after a copy of name, or is a
// pristine that was set aside.
func belongs(name, file string) bool {
	const number = len("_001")
	if strings.HasPrefix(file, name+suffixPristine+suffixDrifted) {
		return true
	}
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

// KeepLinked makes the copy that a hand-made link leads to the pristine as well, under one more
// name of the same inode: there is no other original.
func (l *Link) KeepLinked(copyName string) error {
	return l.dir.Link("take over: link", copyName, l.private, l.PristineName())
}
