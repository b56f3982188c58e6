package linker

import (
	"errors"

	"relinkd/fsys"
)

// exchange swaps name in the private directory with path, which is expected to hold want.
//
// A file system without RENAME_EXCHANGE gets the next best thing: a look, a hard link NAME.out that
// saves what stands at path, and a rename over it; then name holds what came out all the same.
// There, and only there, a file renamed to path between the look and the rename is lost;
// ErrSuperseded when the look shows one.
func (l *Link) exchange(op fsys.Op, name string, want fsys.Info) error {
	if !l.noExchange {
		err := l.private.Exchange(op, name, l.dir, l.name)
		if !fsys.NoExchange(err) {
			return err
		}
		l.noExchange = true
	}
	if err := l.unlinkIfThere("no exchange: unlink", l.outName()); err != nil {
		return err
	}
	if err := l.dir.Link("no exchange: link", l.name, l.private, l.outName()); err != nil {
		return err
	}
	out, err := l.private.Lstat(l.outName())
	if err == nil && !out.SameContent(want) {
		err = ErrSuperseded
	}
	if err == nil {
		err = l.private.Replace("no exchange: rename", name, l.dir, l.name)
	}
	if err != nil {
		return errors.Join(err, l.unlinkIfThere("no exchange: unlink", l.outName()))
	}
	return l.private.Move("no exchange: keep", l.outName(), l.private, name)
}

// giveBack puts name in the private directory, a file that is newer than what we put at path, back
// to path. put is what we last put there. Each round puts in what came out of the round before,
// until what comes out is what we put in ourselves: that is ours to unlink, or older than what
// replaced it. No round leaves path without a file.
func (l *Link) giveBack(name string, put fsys.ID) error {
	for {
		in, err := l.private.Lstat(name)
		if err != nil {
			return err
		}
		at, err := l.dir.Lstat(l.name)
		if err == nil {
			err = l.exchange("give back: exchange", name, at)
		}
		if fsys.NotExist(err) { // path was removed
			err = l.private.Move("give back: rename", name, l.dir, l.name)
			if err == nil {
				l.put = fsys.ID{}
				return l.sync("give back: sync")
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
		out, err := l.private.Lstat(name)
		if err != nil {
			return err
		}
		if out.ID == put {
			l.put = fsys.ID{}
			if err := l.private.Unlink("give back: unlink", name); err != nil {
				return err
			}
			return l.sync("give back: sync")
		}
		put = in.ID
	}
}
