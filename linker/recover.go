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
)

func (r Repair) String() string {
	return [...]string{
		"nothing to recover",
		"remove what an interrupted publish left in the private directory",
		"finish an interrupted publish",
		"give back the newer file that an interrupted publish hides",
	}[r]
}

// RepairFor is the recovery table of DESIGN.md §5: path and publish are what stands at path and in
// NAME.publish; committed says that the file in NAME.publish has the copies' content. With nothing
// at path there is no repair: PutBack makes what is needed.
func RepairFor(path, publish Kind, committed bool) Repair {
	switch {
	case publish == Nothing, path == Nothing:
		return RepairNone
	case path != Ours:
		return DropPublish
	case publish == File && committed:
		return Finish
	case publish == Ours, publish == PoolLink: // a PoolLink is what Reclaim got out
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
	if err := l.unlinkIfThere("recover: unlink", l.name+suffixRotate); err != nil {
		return RepairNone, err
	}
	if err := l.recoverOut(); err != nil {
		return RepairNone, err
	}
	v, err := l.View()
	if err != nil {
		return RepairNone, err
	}
	repair, err := l.repairFor(v, isCopy)
	if err != nil {
		return RepairNone, err
	}
	switch repair {
	case DropPublish:
		err = l.private.Unlink("recover: unlink", l.publishName())
	case Finish:
		l.put = v.Path.Info.ID
		err = l.finish()
	case GiveBack:
		err = l.giveBack(l.publishName(), v.Path.Info.ID)
	}
	return repair, err
}

// RepairNeeded is what Recover would do, doing nothing.
func (l *Link) RepairNeeded(isCopy func(*os.File) (bool, error)) (Repair, error) {
	v, err := l.View()
	if err != nil {
		return RepairNone, err
	}
	return l.repairFor(v, isCopy)
}

func (l *Link) repairFor(v View, isCopy func(*os.File) (bool, error)) (Repair, error) {
	committed := false
	if v.Path.Kind == Ours && v.Publish.Kind == File {
		f, err := l.private.Open(l.publishName())
		if err != nil {
			return RepairNone, err
		}
		defer f.Close()
		if committed, err = isCopy(f); err != nil {
			return RepairNone, err
		}
	}
	return RepairFor(v.Path.Kind, v.Publish.Kind, committed), nil
}

// recoverOut deals with NAME.out, which only a file system without exchange has: it is a further
// name of what stands or stood at path. While path is ours and nothing stands in NAME.publish, it is
// what came out, and the exchange is brought to the state that Recover knows.
func (l *Link) recoverOut() error {
	out, err := l.standing(l.private, l.outName())
	if err != nil || out.Kind == Nothing {
		return err
	}
	at, err := l.Look()
	if err != nil {
		return err
	}
	if at.Kind == Ours && out.Kind != Ours {
		err = l.private.Move("recover: rename", l.outName(), l.private, l.publishName())
		if !fsys.Exist(err) {
			return err
		}
	}
	return l.unlinkIfThere("recover: unlink", l.outName())
}

// PutBack makes path exist again where nothing stands: with the newer file that a crash left in
// NAME.publish, else with our link. ErrSuperseded when something stands at path after all.
func (l *Link) PutBack() error {
	hidden, err := l.standing(l.private, l.publishName())
	if err != nil {
		return err
	}
	var link fsys.ID
	if hidden.Kind != File {
		if err := l.unlinkIfThere("put back: unlink", l.publishName()); err != nil {
			return err
		}
		if link, err = l.makeLink("put back: symlink"); err != nil {
			return err
		}
	}
	err = l.private.Move("put back: rename", l.publishName(), l.dir, l.name)
	if err != nil {
		if hidden.Kind != File {
			err = errors.Join(err, l.unlinkIfThere("put back: unlink", l.publishName()))
		}
		if fsys.Exist(err) {
			return errors.Join(ErrSuperseded, err)
		}
		return err
	}
	l.put = link
	return l.dir.Sync("put back: sync")
}
