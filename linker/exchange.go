package linker

import (
	"errors"

	"relinkd/fsys"
)

// exchange swaps NAME.publish with path, which is expected to hold want.
//
// A file system without RENAME_EXCHANGE gets the next best thing: a look, a hard link NAME.out that
// saves what stands at path, and a rename over it; then NAME.publish holds what came out all the
// same. There, and only there, a file renamed to path between the look and the rename is lost;
// ErrSuperseded when the look shows one.
func (l *Link) exchange(op fsys.Op, want fsys.Info) error {
	if !l.noExchange {
		err := l.private.Exchange(op, l.publishName(), l.dir, l.name)
		if !fsys.NoExchange(err) {
			return err
		}
		l.noExchange = true
	}
	if err := l.dir.Link("no exchange: link", l.name, l.private, l.outName()); err != nil {
		return err
	}
	out, err := l.private.Lstat(l.outName())
	if err == nil && !out.SameContent(want) {
		err = ErrSuperseded
	}
	if err == nil {
		err = l.private.Replace("no exchange: rename", l.publishName(), l.dir, l.name)
	}
	if err != nil {
		return errors.Join(err, l.recoverOut())
	}
	return l.private.Move("no exchange: keep", l.outName(), l.private, l.publishName())
}

// giveBack puts what NAME.publish holds, which is newer than what we put at path, back to path. put
// is what we last put there. Each round puts in what came out of the round before, until what comes
// out is what we put in ourselves: that is ours to discard, or older than what replaced it. No round
// leaves path without a file, and none leaves a state that Recover would misread.
func (l *Link) giveBack(put fsys.Info) error {
	for {
		in, err := l.private.Lstat(l.publishName())
		if err != nil {
			return err
		}
		l.mark()
		at, err := l.dir.Lstat(l.name)
		if err == nil {
			err = l.exchange("give back: exchange", at)
		}
		if fsys.NotExist(err) { // path was removed
			err = l.private.Move("give back: rename", l.publishName(), l.dir, l.name)
			if err == nil {
				return l.gaveBack()
			}
			if fsys.Exist(err) {
				continue
			}
		}
		if errors.Is(err, ErrSuperseded) {
			continue
		}
		if err != nil {
			return err
		}
		out, err := l.private.Lstat(l.publishName())
		if err != nil {
			return err
		}
		// Not by the inode number alone: that of a link that was removed is soon another file's.
		if out.SameContent(put) {
			if err := l.discard("give back: unlink", l.publishName()); err != nil {
				return err
			}
			return l.gaveBack()
		}
		put = in
	}
}

// mark gives what NAME.publish holds the further name NAME.back, and what was given back in the
// round before NAME.before. By them, should a crash come, Recover tells which of path and
// NAME.publish is the newer. What cannot have a further name (a directory; a full disk) is given
// back without: that matters more than which of two newer files wins, if both came within
// microseconds of a crash.
func (l *Link) mark() {
	if same, err := l.sameFile(l.publishName(), l.backName()); err != nil || same {
		return
	}
	_ = l.private.Replace("give back: mark before", l.backName(), l.private, l.beforeName())
	_ = l.private.Link("give back: mark", l.publishName(), l.private, l.backName())
}

// unmark ends what mark began.
func (l *Link) unmark(op fsys.Op) error {
	return errors.Join(l.discard(op, l.backName()), l.discard(op, l.beforeName()))
}

// gaveBack ends giveBack: path holds what somebody else put there.
func (l *Link) gaveBack() error {
	l.put = fsys.ID{}
	if err := l.sync("give back: sync"); err != nil {
		return err
	}
	return l.unmark("give back: unmark")
}
