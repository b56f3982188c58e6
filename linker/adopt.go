package linker

import (
	"os"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

// Promote makes what was made as AdoptName, of which the copies are made by now, the pristine: an operator
// puts another source in force while path stays our link. before is the hash of the pristine before it,
// which becomes an earlier generation; now is that of the new one. No instant is without a pristine.
func (l *Link) Promote(before, now string) error {
	name := l.GenerationName(before)
	if err := l.unlinkIfThere("adopt: unlink generation", name); err != nil { // the same content, or a crash's
		return err
	}
	err := l.private.Link("adopt: keep", l.PristineName(), l.private, name)
	if err != nil && !fsys.NotExist(err) {
		return err
	}
	if err := l.private.Replace("adopt: rename", l.AdoptName(), l.private, l.PristineName()); err != nil {
		return err
	}
	if err := l.sync("adopt: sync"); err != nil {
		return err
	}
	return l.unlinkIfThere("adopt: unlink generation", l.GenerationName(now)) // the pristine has its content
}

// PrepareAdopted gives what was made as AdoptName the owner and the mode of like, and returns it open for
// reading.
func (l *Link) PrepareAdopted(like fsys.Info) (*os.File, error) {
	return l.setAttributes(l.AdoptName(), like)
}

// DropAdopted removes what was made as AdoptName and did not become the pristine.
func (l *Link) DropAdopted() error { return l.unlinkIfThere("adopt: unlink", l.AdoptName()) }

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
