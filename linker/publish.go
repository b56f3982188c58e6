package linker

import (
	"errors"

	"relinkd/fsys"
)

// ErrSuperseded says that path no longer held the source that was to be published: look again and
// start over. Whatever stands at path now is what somebody else put there.
var ErrSuperseded = errors.New("the file at path was replaced meanwhile")

// Publish puts our symbolic link at path in place of the source src, which becomes the pristine.
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
	if err := l.putIn("publish: exchange", src); err != nil {
		return err
	}
	l.put = link
	same, err := l.cameOut(src)
	if err != nil || !same {
		return errors.Join(ErrSuperseded, err, l.giveBack(l.publishName(), link))
	}
	return l.finish()
}

// Reclaim puts our link at path in place of a link to a copy that somebody else made there, seen as
// was. Such a link carries nothing that is not kept elsewhere, and is removed; a file that was put
// there meanwhile is given back: ErrSuperseded.
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
	l.put = link
	out, err := l.standing(l.private, l.publishName())
	if err != nil || out.Kind != PoolLink {
		return errors.Join(ErrSuperseded, err, l.giveBack(l.publishName(), link))
	}
	if err := l.private.Unlink("reclaim: unlink", l.publishName()); err != nil {
		return err
	}
	return l.sync("reclaim: sync")
}

// putIn exchanges NAME.publish with path, which is expected to hold want. When that fails nothing
// has changed; ErrSuperseded when path holds nothing any more.
func (l *Link) putIn(op fsys.Op, want fsys.Info) error {
	err := l.exchange(op, l.publishName(), want)
	if fsys.NotExist(err) {
		err = errors.Join(ErrSuperseded, err)
	}
	if err != nil {
		return errors.Join(err, l.unlinkIfThere("publish: unlink", l.publishName()))
	}
	return nil
}

// makeLink makes NAME.publish, our symbolic link, and returns its identity.
func (l *Link) makeLink(op fsys.Op) (fsys.ID, error) {
	if err := l.private.Symlink(op, l.text(), l.publishName()); err != nil {
		return fsys.ID{}, err
	}
	info, err := l.private.Lstat(l.publishName())
	return info.ID, err
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
// two of its calls is finished by Recover.
func (l *Link) finish() error {
	err := l.private.Replace("publish: keep previous", l.PristineName(), l.private, l.PreviousName())
	if err != nil && !fsys.NotExist(err) {
		return err
	}
	if err := l.private.Move("publish: keep pristine", l.publishName(), l.private, l.PristineName()); err != nil {
		return err
	}
	return l.sync("publish: sync")
}
