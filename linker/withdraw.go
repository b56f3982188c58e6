package linker

import (
	"errors"

	"relinkd/fsys"
)

// Withdraw takes our link away from path, where the package was removed. Whatever else stands there
// stays: it is moved aside to be looked at and, being somebody's, moved back: ErrSuperseded. Recover
// must have run; it moves back what a crash leaves aside.
func (l *Link) Withdraw() error {
	at, err := l.Look()
	if err != nil || at.Kind != Ours {
		return err
	}
	err = l.dir.Move("withdraw: rename", l.name, l.private, l.asideName())
	if fsys.NotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	l.put = fsys.ID{}
	back, err := l.returnAside()
	if back {
		return errors.Join(ErrSuperseded, err)
	}
	return err
}

// returnAside moves what Withdraw moved aside back to path, unless it is our own link or older than
// what came to path meanwhile. back reports that it is somebody's.
func (l *Link) returnAside() (back bool, err error) {
	aside, err := l.standing(l.private, l.asideName())
	if err != nil || aside.Kind == Nothing {
		return false, err
	}
	if aside.Kind != Ours {
		err := l.private.Move("withdraw: give back", l.asideName(), l.dir, l.name)
		if !fsys.Exist(err) {
			return true, err
		}
	}
	return aside.Kind != Ours, l.discard("withdraw: unlink", l.asideName())
}
