package linker

import (
	"errors"
	"os"

	"relinkd/fsys"
)

// Repair is what a crash makes necessary.
type Repair int

// The repairs, in the words of the recovery table of DESIGN.md §5.
const (
	RepairNone  Repair = iota
	DropPublish        // not yet published, or path is the newer: unlink NAME.publish
	Finish             // the exchange of step 6 had happened: finish it
	GiveBack           // a newer file is hidden in NAME.publish: exchange back
	MoveBack           // a newer file was moved aside: move it back
)

func (r Repair) String() string {
	return [...]string{
		"nothing to recover",
		"remove what an interrupted publish left in the private directory",
		"finish an interrupted publish",
		"give back the newer file that an interrupted publish hides",
		"move back the newer file that an interrupted withdrawal moved aside",
	}[r]
}

// RepairFor is the recovery table of DESIGN.md §5: path and publish are what stands at path and in
// NAME.publish, Ours for whatever relinkd itself put at path; committed says that the file in NAME.publish has the copies' content. With nothing
// at path there is no repair: PutBack makes what is needed.
func RepairFor(path, publish Kind, committed bool) Repair {
	switch {
	case publish == Nothing, path == Nothing:
		return RepairNone
	case path != Ours:
		return DropPublish
	case publish == File && committed:
		return Finish
	case publish == Ours, publish == PoolLink, publish == Alias: // which Reclaim got out
		return DropPublish
	default:
		return GiveBack
	}
}

// Recover brings path and the private directory into a state that the other methods know, after a
// crash or a failed call. isCopy reports whether an open file has the content of the copies. It
// returns what it did. It never changes what path leads to, save to give a hidden newer file back.
func (l *Link) Recover(isCopy func(*os.File) (bool, error)) (Repair, error) {
	if l.private == nil {
		return RepairNone, nil
	}
	repair, at, err := l.repairNeeded(isCopy)
	if err != nil {
		return RepairNone, err
	}
	for _, name := range []string{l.name + suffixRotate, l.name + suffixAdopt, l.name + suffixLauncher} {
		if err := l.unlinkIfThere("recover: unlink", name); err != nil {
			return RepairNone, err
		}
	}
	if _, err := l.returnAside(); err != nil {
		return RepairNone, err
	}
	if err := l.recoverOut(); err != nil {
		return RepairNone, err
	}
	switch repair {
	case DropPublish:
		err = l.discard("recover: unlink", l.publishName())
	case Finish:
		l.put = at.ID
		err = l.finish()
	case GiveBack:
		err = l.giveBack(at)
	}
	if err != nil {
		return repair, err
	}
	return repair, l.unmark("recover: unlink")
}

// RepairNeeded is what Recover would do, doing nothing.
func (l *Link) RepairNeeded(isCopy func(*os.File) (bool, error)) (Repair, error) {
	repair, _, err := l.repairNeeded(isCopy)
	return repair, err
}

// repairNeeded also returns what stood at path when it looked. The repair holds for that alone: a
// file that is put there later is somebody's newer one.
func (l *Link) repairNeeded(isCopy func(*os.File) (bool, error)) (Repair, fsys.Info, error) {
	v, err := l.View()
	if err != nil {
		return RepairNone, fsys.Info{}, err
	}
	at := v.Path.Info
	hidden, name := v.Publish, l.publishName()
	if v.cameOut() {
		hidden, name = v.Out, l.outName()
	}
	if v.Path.Kind == Nothing && v.Aside.Kind != Nothing && v.Aside.Kind != Ours {
		return MoveBack, at, nil
	}
	if v.replaced(hidden.Info.ID) {
		return DropPublish, at, nil
	}
	committed := false
	if v.Path.Kind == Ours && hidden.Kind == File {
		if committed, err = l.committed(name, hidden, v.Pristine, isCopy); err != nil {
			return RepairNone, at, err
		}
	}
	path := v.Path.Kind
	if v.placed() {
		path = Ours
	}
	repair := RepairFor(path, hidden.Kind, committed)
	if repair == RepairNone && v.Path.Kind != Nothing && v.left {
		return DropPublish, at, nil
	}
	return repair, at, nil
}

// committed reports whether the file that came out of path is the one that the copies were made
// from, or has the pristine's name already.
func (l *Link) committed(name string, hidden, pristine Standing, isCopy func(*os.File) (bool, error)) (bool, error) {
	if hidden.Info.ID == pristine.Info.ID {
		return true, nil
	}
	f, err := l.private.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return isCopy(f)
}

// recoverOut deals with NAME.out, which only a file system without exchange has. What came out of
// path becomes NAME.publish, as if there had been an exchange; a further name of what stands at path
// is removed.
func (l *Link) recoverOut() error {
	v, err := l.View()
	if err != nil || v.Out.Kind == Nothing {
		return err
	}
	if v.cameOut() {
		return l.private.Move("recover: rename", l.outName(), l.private, l.publishName())
	}
	return l.discard("recover: unlink", l.outName())
}

// PutBack makes path exist again where nothing stands: with the newer file that a crash left in
// NAME.publish, else with our link. ErrSuperseded when something stands at path after all.
func (l *Link) PutBack() error {
	hidden, err := l.standing(l.private, l.publishName())
	if err != nil {
		return err
	}
	var link fsys.Info
	if hidden.Kind == Nothing || hidden.Kind == Ours || hidden.Kind == PoolLink || hidden.Kind == Alias {
		if err := l.unlinkIfThere("put back: unlink", l.publishName()); err != nil {
			return err
		}
		if link, err = l.makeAnyLink("put back: symlink"); err != nil {
			return err
		}
	}
	err = l.private.Move("put back: rename", l.publishName(), l.dir, l.name)
	if err != nil {
		err = errors.Join(err, l.dropLink("put back: unlink"))
		if fsys.Exist(err) {
			return errors.Join(ErrSuperseded, err)
		}
		return err
	}
	l.put = link.ID
	return l.sync("put back: sync")
}
