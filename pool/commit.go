package pool

import (
	"context"
	"errors"
	"fmt"

	"relinkd/fsys"
)

// Commit gives the staged copies their names and makes that durable (DESIGN.md §5, step 5). No
// name may be in use by the private link. For each copy:
//
//  1. Look at the name. A file that we did not make is a *ForeignError.
//  2. Ours, but written to by somebody: give that file a further name as drifted.
//  3. Free: move the copy there. Taken meanwhile: look again.
//  4. Ours: exchange the two. What came out must be ours still and is removed. Else somebody was
//     there in between: exchange back, look again.
//
// On a file system without exchange, 4 is a rename after the look. A copy that cannot get its name for what
// stands there, a foreign or a locked file, is passed over and discarded: a *PassedError tells of all of
// these, and the others have their names. On any other error the copies before the failing one have their
// names and are owned, the rest is discarded. The committed copies are returned in either case, and the
// Staged is used up.
func (s *Staged) Commit(ctx context.Context) (committed []Copy, err error) {
	var left []Copy
	passed := map[int]error{}
	for len(s.copies) > 0 && err == nil {
		if err = ctx.Err(); err != nil {
			break
		}
		c := s.copies[0]
		named, cerr := s.p.commit(c)
		if named {
			committed = append(committed, s.p.owned[c.Number])
			s.copies = s.copies[1:]
		}
		switch cerr = s.p.orLocked(c.Number, cerr); {
		case cerr == nil:
		case !named && ofOneCopy(cerr):
			passed[c.Number] = cerr
			s.copies = s.copies[1:]
			left = append(left, c)
		default:
			err = cerr
		}
	}
	s.copies = append(s.copies, left...)
	err = errors.Join(err, s.Discard())
	if len(passed) > 0 {
		err = errors.Join(err, &PassedError{Copies: passed})
	}
	return committed, err
}

// Sync makes the names that Commit has given durable. It may wait for the disk for long, and may run
// beside the Pool's owner.
func (p *Pool) Sync() error { return p.dir.Sync("commit: sync") }

// commit gives one staged copy its name. Named reports that it has it and is owned, which may be
// so in spite of an error.
func (p *Pool) commit(c Copy) (named bool, err error) {
	n, name, newName := c.Number, p.copyName(c.Number), p.newName(c.Number)
	for {
		old, err := p.dir.Lstat(name) // 1
		switch {
		case fsys.NotExist(err):
			err = p.private.Move("commit: move", newName, p.dir, name) // 3
			if fsys.Exist(err) {
				continue
			}
			if err != nil {
				return false, err
			}
			p.take(c)
			return true, nil
		case err != nil:
			return false, err
		case !p.made(n, old):
			return false, p.foreign(n)
		case !p.intact(n, old):
			// 2. By a further name: path may lead here, and must find a file at every instant.
			_, err := p.keep("commit: keep", p.dir.Link, name, n)
			if fsys.NotExist(err) {
				continue
			}
			if err != nil {
				return false, err
			}
			p.Own(Copy{Number: n, Info: old})
		}
		err = p.private.Exchange("commit: exchange", newName, p.dir, name) // 4
		switch {
		case fsys.NoExchange(err):
			if err := p.private.Replace("commit: replace", newName, p.dir, name); err != nil {
				return false, err
			}
			p.take(c)
			return true, nil
		case fsys.NotExist(err):
			// The copy's name is free now, unless the new copy is what is missing.
			if _, err := p.private.Lstat(newName); err != nil {
				return false, err
			}
			continue
		case err != nil:
			return false, err
		}
		if out, err := p.private.Lstat(newName); err == nil && p.intact(n, out) {
			p.take(c)
			return true, p.private.Unlink("commit: remove", newName)
		}
		if named, err := p.giveBack(c); err != nil {
			return named, err
		}
	}
}

// take records that c has its name now, which has changed its ctime.
func (p *Pool) take(c Copy) {
	if info, err := p.dir.Lstat(p.copyName(c.Number)); err == nil && info.SameContent(c.Info) {
		c.Info = info
	}
	p.Own(c)
}

// giveBack returns to a copy's name what was exchanged out of it. Where even that fails it is kept
// under the name of a drifted copy, and so is what may come out in turn; neither is removed.
func (p *Pool) giveBack(c Copy) (named bool, err error) {
	n, name, newName := c.Number, p.copyName(c.Number), p.newName(c.Number)
	failed := p.private.Exchange("commit: exchange back", newName, p.dir, name)
	if fsys.NotExist(failed) {
		failed = p.private.Move("commit: move back", newName, p.dir, name)
	}
	out, err := p.private.Lstat(newName)
	if failed == nil && (fsys.NotExist(err) || err == nil && out.ID == c.Info.ID) {
		return false, nil
	}
	kept, err := p.keep("commit: keep", p.private.Move, newName, n)
	if err != nil {
		kept = newName
	}
	if failed == nil {
		return false, fmt.Errorf("%w; a further one is kept as %s", p.foreign(n), p.private.Join(kept))
	}
	if info, err := p.dir.Lstat(name); err == nil && info.ID == c.Info.ID {
		p.take(c)
		named = true
	}
	return named, fmt.Errorf("cannot give back a file that was put at %s meanwhile, it is kept as %s: %w",
		p.dir.Join(name), p.private.Join(kept), failed)
}
