package linker

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

const suffixAdopt = ".adopt" // a file that an operator puts at path

// Insert puts a file at path in place of our link, where it is a new source like any other. make
// creates it under the name it is given in the private directory; it gets the owner and the mode of
// like, and check sees it before anything changes. ErrSuperseded when path is not ours, or no more.
func (l *Link) Insert(like fsys.Info, make func(name string) error, check func(*os.File) error) error {
	name := l.name + suffixAdopt
	if err := l.unlinkIfThere("adopt: unlink", name); err != nil { // left by a crash
		return err
	}
	if err := make(name); err != nil {
		return err
	}
	err := l.insert(name, like, check)
	if err != nil {
		return errors.Join(err, l.unlinkIfThere("adopt: unlink", name))
	}
	return nil
}

func (l *Link) insert(name string, like fsys.Info, check func(*os.File) error) error {
	f, err := l.setAttributes(name, like)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := check(f); err != nil {
		return err
	}
	in, err := fsys.Fstat(f)
	if err != nil {
		return err
	}
	at, err := l.Look()
	if err != nil {
		return err
	}
	if at.Kind != Ours {
		return fmt.Errorf("%w: %s is %s", ErrSuperseded, l.Path(), at.Kind)
	}
	// From here on Recover would put it at path itself.
	if err := l.private.Move("adopt: rename", name, l.private, l.publishName()); err != nil {
		return err
	}
	l.mark()
	if err := l.exchange("adopt: exchange", at.Info); err != nil {
		if fsys.NotExist(err) {
			err = errors.Join(ErrSuperseded, err)
		}
		return errors.Join(err, l.dropInserted(in.ID))
	}
	out, err := l.standing(l.private, l.publishName())
	if err != nil {
		return err
	}
	if out.Kind != Ours {
		return errors.Join(ErrSuperseded, l.giveBack(in))
	}
	l.put = fsys.ID{}
	if err := l.private.Unlink("adopt: unlink", l.publishName()); err != nil {
		return err
	}
	if err := l.sync("adopt: sync"); err != nil {
		return err
	}
	return l.unmark("adopt: unmark")
}

// dropInserted removes NAME.publish if it is still the file that did not get to path, lest Recover
// put it there after all.
func (l *Link) dropInserted(id fsys.ID) error {
	s, err := l.standing(l.private, l.publishName())
	if err != nil || s.Info.ID != id {
		return err
	}
	return errors.Join(l.private.Unlink("adopt: unlink", l.publishName()), l.unmark("adopt: unmark"))
}

// setAttributes gives a regular file of the private directory the owner and the mode of like, and
// returns it open for reading.
func (l *Link) setAttributes(name string, like fsys.Info) (*os.File, error) {
	f, err := l.private.Open(name)
	if err != nil {
		return nil, err
	}
	// chown(2) takes set-id bits away, so it comes first.
	err = l.private.File("attributes: chown", f, func(fd int) error { return unix.Fchown(fd, int(like.UID), int(like.GID)) })
	if err == nil {
		err = l.private.File("attributes: chmod", f, func(fd int) error { return unix.Fchmod(fd, like.Perm()) })
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// SetPristine gives the pristine the owner and the mode of like, and returns it open for reading.
func (l *Link) SetPristine(like fsys.Info) (*os.File, error) {
	return l.setAttributes(l.PristineName(), like)
}
