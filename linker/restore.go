package linker

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

// Restore puts the pristine back at path, where it stays the very inode that was packaged, and
// makes that durable. Recover must have run. What somebody else put at path is newer and stays: kept
// is then true. The private link leads to path afterwards, so that an exec that is under way finds
// its file; Dismantle removes it. Nothing has changed after the error of MayRestore.
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
		return kept, err
	}
	if v.Path.Kind == File { // it was found to be a program while the private link told what a copy is
		l.restored = v.Path.Info
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
	if same, err := l.isPristine(l.name); err != nil || !same {
		return false, err
	}
	if l.restored, err = l.dir.Lstat(l.name); err != nil {
		return false, err
	}
	return false, l.unlinkIfThere("restore: drop name", l.PristineName())
}

// isPristine reports whether the pristine is another name of the file name in the install directory.
func (l *Link) isPristine(name string) (bool, error) {
	at, err := l.dir.Lstat(name)
	if err != nil {
		return false, err
	}
	pristine, err := l.private.Lstat(l.PristineName())
	if fsys.NotExist(err) {
		return false, nil
	}
	return err == nil && pristine.ID == at.ID, err
}

// ErrNoPristine is found by errors.Is where a pristine is needed and there is none that is complete.
var ErrNoPristine = errors.New("there is no complete pristine")

// MayRestore tells why Restore would refuse, or nil. It changes nothing. A *KeptError: what stands at path is
// neither a complete executable, which would stay, nor ours, which would be exchanged. ErrNoPristine: make
// one first (a clone of a copy, under PristineName).
func (l *Link) MayRestore() error {
	v, err := l.View()
	if err != nil {
		return err
	}
	return l.mayRestore(v)
}

func (l *Link) mayRestore(v View) error {
	switch v.Path.Kind {
	case Nothing:
		if v.Publish.Kind == File { // a newer file, hidden by a crash
			return nil
		}
		return l.pristineComplete(v)
	case Ours, Alias, PoolLink:
		return l.pristineComplete(v)
	default:
		return l.MayRemove("")
	}
}

// pristineComplete asks about the pristine what is asked about a source.
func (l *Link) pristineComplete(v View) error {
	if v.Pristine.Kind != File {
		return fmt.Errorf("%w: no %s in %s", ErrNoPristine, l.PristineName(), l.dir.Join(PrivateDir))
	}
	f, err := l.private.Open(l.PristineName())
	if err != nil {
		return err
	}
	defer f.Close()
	if l.complete == nil {
		return fmt.Errorf("%w: it cannot be told whether %s is one", ErrNoPristine, l.private.Join(l.PristineName()))
	}
	if err := l.complete(f); err != nil {
		return fmt.Errorf("%w: %v", ErrNoPristine, err)
	}
	return nil
}

// restorePath makes path hold what it should when relinkd is gone. ErrSuperseded when path was
// replaced meanwhile.
func (l *Link) restorePath(v View) (kept bool, err error) {
	if err := l.mayRestore(v); err != nil {
		return false, err
	}
	switch {
	case v.Path.Kind == Nothing && v.Publish.Kind == File:
		err = l.private.Move("restore: rename", l.publishName(), l.dir, l.name)
		kept = true
	case v.Path.Kind == Nothing:
		err = l.private.Link("restore: link", l.PristineName(), l.dir, l.name)
	case v.Path.Kind == File:
		return v.Path.Info.ID != v.Pristine.Info.ID, nil
	default:
		return l.putPristine(v)
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
	if out.Kind == Ours || out.Kind == PoolLink || out.Kind == Alias {
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
// private directory, the earlier generations last, then the directory itself when nothing is left in it:
// if MayRemove says so, to which removed goes. The copies should be gone. left names what it did not
// remove: files that somebody else may want (NAME_NNN.drifted), and what is no link in the place of the
// private one. Another target's files keep the directory too, unmentioned. An error names what could not
// be removed; the rest is.
func (l *Link) Dismantle(removed string) (left []string, err error) {
	if l.private == nil {
		return nil, nil
	}
	if err := l.MayRemove(removed); err != nil {
		return nil, err
	}
	var failed []error
	if info, err := l.private.Lstat(l.name); err == nil && info.IsSymlink() {
		failed = append(failed, l.unlinkIfThere("dismantle: unlink", l.name))
	} else if err == nil {
		left = append(left, l.private.Join(l.name))
	}
	names := []string{
		l.name + suffixRotate, l.AdoptName(), l.name + suffixLauncher, l.publishName(), l.outName(), l.backName(), l.beforeName(),
		l.asideName(), l.PreviousName(), l.PristineName(),
	}
	generations, err := l.Generations()
	failed = append(failed, err)
	for _, g := range slices.Backward(generations) {
		names = append(names, g.Name)
	}
	for _, name := range names {
		failed = append(failed, l.unlinkIfThere("dismantle: unlink", name))
	}
	if err := errors.Join(failed...); err != nil {
		return left, err
	}
	all, err := l.private.Names()
	if err != nil {
		return left, err
	}
	for _, name := range all {
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
func (l *Link) SetAsidePristine() (kept string, err error) { return l.setAside(l.PristineName()) }

// PutBackPristine takes SetAsidePristine back, which has returned kept; what is the pristine since was cloned
// from what is kept elsewhere.
func (l *Link) PutBackPristine(kept string) error {
	return l.private.Replace("restore: put back", kept, l.private, l.PristineName())
}

// DropPristine removes a pristine that was cloned a moment ago, for a restore that has failed since: what it
// was cloned from is there.
func (l *Link) DropPristine() error { return l.unlinkIfThere("restore: drop clone", l.PristineName()) }

// setAside is SetAsidePristine for any name in the private directory.
func (l *Link) setAside(name string) (kept string, err error) {
	return l.firstFree(l.PristineName()+suffixDrifted, func(kept string) error {
		return l.private.Move("drifted: keep", name, l.private, kept)
	})
}

// belongs reports whether a file of the private directory is named after a copy of name, or is a
// pristine, or something in the private link's place, that was set aside.
func belongs(name, file string) bool {
	const number = len("_001")
	if strings.HasPrefix(file, name+".") { // what was drifted, and what others have named so
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

// KeepLinked makes the copy that a hand-made link leads to the pristine as well, under one more
// name of the same inode: there is no other original.
func (l *Link) KeepLinked(copyName string) error {
	return l.dir.Link("take over: link", copyName, l.private, l.PristineName())
}
