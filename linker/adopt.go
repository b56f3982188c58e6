package linker

import (
	"os"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/pool"
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
	return l.setAttributes(l.AdoptName(), like, nil)
}

// DropAdopted removes what was made as AdoptName and did not become the pristine.
func (l *Link) DropAdopted() error { return l.unlinkIfThere("adopt: unlink", l.AdoptName()) }

// setAttributes gives a regular file of the private directory the owner and the mode of like, and
// returns it open for reading. Extended attributes come last, by xattrs if that is not nil: chown(2) takes a
// capability away too.
func (l *Link) setAttributes(name string, like fsys.Info, xattrs func(*os.File) error) (*os.File, error) {
	f, err := l.private.Open(name)
	if err != nil {
		return nil, err
	}
	// chown(2) takes set-id bits away, so it comes first.
	err = l.private.File("attributes: chown", f, func(fd int) error { return unix.Fchown(fd, int(like.UID), int(like.GID)) })
	if err == nil {
		err = l.private.File("attributes: chmod", f, func(fd int) error { return unix.Fchmod(fd, like.Perm()) })
	}
	if err == nil && xattrs != nil {
		err = xattrs(f)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// SetPristine gives the pristine the owner and the mode of like and the extended attributes of from save those
// named in keep, and returns it open for reading. It may itself be from.
func (l *Link) SetPristine(like fsys.Info, from *os.File, keep ...string) (*os.File, error) {
	set, err := pool.XattrsFrom(from)
	if err != nil {
		return nil, err
	}
	return l.setAttributes(l.PristineName(), like, func(f *os.File) error {
		return set.Give(l.private, "attributes: xattr", f, keep...)
	})
}

// TakeBack gives the pristine the owner, the mode and the extended attributes of src again, and returns it open
// for reading.
func (l *Link) TakeBack(src *pool.Source) (*os.File, error) {
	return l.setAttributes(l.PristineName(), src.Info(), func(f *os.File) error {
		return src.GiveXattrs(l.private, "attributes: xattr", f)
	})
}
