package linker

import (
	"errors"
	"fmt"

	"relinkd/fsys"
)

// ErrSuperseded says that path no longer held the source that was to be published: look again and
// start over. Whatever stands at path now is what somebody else put there.
var ErrSuperseded = errors.New("the file at path was replaced meanwhile")

// Publish puts our link at path, a symbolic one or a launcher, in place of the source src, which becomes the pristine.
// The private link must lead to a good copy already. Numbers as in DESIGN.md §5.
//
//  6. Make NAME.publish, our link, and exchange it with path. What came out must be src, unchanged
//     and with no writer: then the pristine becomes the previous one, what came out the pristine.
//     If not, a newer file was put there meanwhile: give it back, ErrSuperseded.
//  7. fsync both directories.
func (l *Link) Publish(src fsys.Info) error {
	// The way to the copies must be durable before path depends on it.
	if err := l.private.Sync("publish: sync"); err != nil {
		return err
	}
	// 6.
	link, err := l.makeLink("publish: symlink")
	if err != nil {
		return err
	}
	if err := l.lookBackup(); err != nil {
		return errors.Join(err, l.dropLink("publish: unlink"))
	}
	before := l.put
	l.put = link.ID
	if l.announce != nil {
		l.announce()
	}
	if err := l.putIn("publish: exchange", src); err != nil {
		l.put = before
		return err
	}
	same, err := l.cameOut(src)
	if err != nil || !same {
		return errors.Join(ErrSuperseded, err, l.giveBack(link))
	}
	return l.finish()
}

// Reclaim puts our link at path in place of a link to a copy that somebody else made there, or of one
// of ours that does not fit, seen as was. Such a link carries nothing that is not kept elsewhere, and is
// removed; anything else that was put there meanwhile is given back: ErrSuperseded.
func (l *Link) Reclaim(was Standing) error {
	if err := l.private.Sync("reclaim: sync"); err != nil {
		return err
	}
	link, err := l.makeLink("reclaim: symlink")
	if err != nil {
		return err
	}
	if err := l.putIn("reclaim: exchange", was.Info); err != nil {
		return err
	}
	l.put = link.ID
	out, err := l.standing(l.private, l.publishName())
	if err != nil || out.Kind != was.Kind || out.Kind != PoolLink && out.Info.ID != was.Info.ID {
		return errors.Join(ErrSuperseded, err, l.giveBack(link))
	}
	if err := l.private.Unlink("reclaim: unlink", l.publishName()); err != nil {
		return err
	}
	return l.sync("reclaim: sync")
}

// putIn exchanges NAME.publish with path, which is expected to hold want. ErrSuperseded when path
// holds nothing any more. Only our own link is removed when the exchange fails: an error is no proof
// that nothing came out.
func (l *Link) putIn(op fsys.Op, want fsys.Info) error {
	err := l.exchange(op, want)
	if fsys.NotExist(err) {
		err = errors.Join(ErrSuperseded, err)
	}
	if err != nil {
		return errors.Join(err, l.dropLink("publish: unlink"))
	}
	return nil
}

// dropLink removes NAME.publish if it is our link.
func (l *Link) dropLink(op fsys.Op) error {
	s, err := l.standing(l.private, l.publishName())
	if err != nil || s.Kind != Ours {
		return err
	}
	return l.private.Unlink(op, l.publishName()) // a link of ours, never the program
}

// makeLink makes NAME.publish, our link in the form that is asked for, and describes it. It refuses
// while the private link leads to no copy: path would not execute, or would lead to itself.
func (l *Link) makeLink(op fsys.Op) (fsys.Info, error) {
	n, err := l.Current()
	if err != nil {
		return fsys.Info{}, err
	}
	if n == 0 {
		return fsys.Info{}, fmt.Errorf("cannot put a link at %s: %s leads to no copy: rotate it to one first", l.Path(), l.PrivateLink())
	}
	if l.form == Launcher {
		err = l.makeLauncher(n)
	} else {
		err = l.private.Symlink(op, l.text(), l.publishName())
	}
	if err != nil {
		return fsys.Info{}, err
	}
	return l.private.Lstat(l.publishName())
}

// cameOut reports whether NAME.publish is src, unchanged and with no writer.
func (l *Link) cameOut(src fsys.Info) (bool, error) {
	out, err := l.standing(l.private, l.publishName())
	if err != nil || out.Kind != File || !out.Info.SameContent(src) {
		return false, err
	}
	writer, err := l.hasWriter(l.publishName())
	return !writer, err
}

// finish ends step 6 once the exchange is known to be right, and does step 7. A crash between any
// two of its calls is finished by Recover. A source that has the pristine's name already is no
// upgrade: there is nothing to keep as the previous one.
func (l *Link) finish() error {
	same, err := l.sameFile(l.publishName(), l.PristineName())
	if err != nil {
		return err
	}
	if same {
		if err := l.private.Unlink("publish: drop name", l.publishName()); err != nil {
			return err
		}
		return l.sync("publish: sync")
	}
	if err := l.makePristine(l.publishName()); err != nil {
		return err
	}
	return l.sync("publish: sync")
}

// sameFile reports whether the two names in the private directory are one file. ENOENT when there is
// no a; no b is another file.
func (l *Link) sameFile(a, b string) (bool, error) {
	ia, err := l.private.Lstat(a)
	if err != nil {
		return false, err
	}
	ib, err := l.private.Lstat(b)
	if fsys.NotExist(err) {
		return false, nil
	}
	return err == nil && ia.ID == ib.ID, err
}
