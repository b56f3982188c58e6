// Package pool makes, checks, replaces and removes the numbered copies of one executable, and
// chooses the one to be run next. It must never write into a copy that is in place, and never
// overwrite or remove a file that relinkd did not make; of events, of processes and of what leads
// to a copy it knows nothing.
package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

// Copy is one numbered copy that relinkd has made or taken over.
type Copy struct {
	Number int
	Info   fsys.Info // what it was when relinkd last touched it
	SHA256 string    // of the source it was made from; empty when it is ours but of no known generation
}

// Pool is the copies of one executable. Only Compare, Stage, Verify, Sync and Staged.Discard may run beside
// another method, for they change nothing of the Pool's own; all else belongs to one goroutine.
type Pool struct {
	dir     *fsys.Dir // where the copies stand
	private *fsys.Dir // relinkd's own directory, on the same file system
	name    string    // of the executable
	owned   map[int]Copy
	sorted  []Copy // owned, in order; nil when that has changed
}

// New is the pool of the executable name: its copies stand in dir and are made in private, which
// is relinkd's alone and on the same file system. Both stay the caller's. The pool owns no copy
// until Adopt, Own or Commit says so.
func New(dir, private *fsys.Dir, name string) *Pool {
	return &Pool{dir: dir, private: private, name: name, owned: map[int]Copy{}}
}

// HasPrivate reports whether the pool has a directory to make copies in.
func (p *Pool) HasPrivate() bool { return p.private != nil }

// ForeignError says that a file of a copy's name is not what relinkd made. It was left alone.
type ForeignError struct {
	Name string // the copy's file name
	Path string
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s was not put there by relinkd and is left alone: move it away, or lower copies and max_copies below its number", e.Path)
}

// LockedError says that a copy cannot be replaced or removed, for somebody has locked it. It was left alone.
type LockedError struct {
	Name string // the copy's file name
	Path string
	How  string // a part of a sentence
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("%s cannot be replaced or removed, for it %s", e.Path, e.How)
}

// Unwrap lets a caller find EPERM.
func (e *LockedError) Unwrap() error { return unix.EPERM }

// PassedError is about copies that Commit could not give their names, each by a fault of what stands there:
// a *ForeignError or a *LockedError. All others have theirs.
type PassedError struct{ Copies map[int]error }

func (e *PassedError) Error() string { return errors.Join(e.Unwrap()...).Error() }

// Unwrap lets a caller find the errors of the copies.
func (e *PassedError) Unwrap() []error {
	var all []error
	for _, n := range slices.Sorted(maps.Keys(e.Copies)) {
		all = append(all, e.Copies[n])
	}
	return all
}

// ofOneCopy reports whether err is a fault of what stands in one copy's place.
func ofOneCopy(err error) bool {
	foreign, locked := (*ForeignError)(nil), (*LockedError)(nil)
	return errors.As(err, &foreign) || errors.As(err, &locked)
}

// orLocked is err or, if somebody has locked what stands in the place of copy n, a *LockedError that says
// how.
func (p *Pool) orLocked(n int, err error) error {
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EACCES) {
		return err
	}
	how, serr := p.dir.Locked(p.copyName(n))
	if serr != nil || how == "" {
		return err
	}
	return &LockedError{Name: p.copyName(n), Path: p.dir.Join(p.copyName(n)), How: how}
}

func (p *Pool) foreign(n int) error {
	name := p.copyName(n)
	return &ForeignError{Name: name, Path: p.dir.Join(name)}
}

func (p *Pool) copyName(n int) string { return CopyName(p.name, n) }

// newName is the name in private under which copy n is made.
func (p *Pool) newName(n int) string { return p.copyName(n) + newSuffix }

const newSuffix = ".new"

// Own records c as a copy that relinkd made.
func (p *Pool) Own(c Copy) {
	p.owned[c.Number] = c
	p.sorted = nil
}

// Disown forgets copy n, whose name another file has.
func (p *Pool) Disown(n int) {
	delete(p.owned, n)
	p.sorted = nil
}

// Owned is all recorded copies, in order of their numbers. It must not be written to, and stays as it
// is when the pool changes.
func (p *Pool) Owned() []Copy {
	if p.sorted == nil {
		p.sorted = slices.SortedFunc(maps.Values(p.owned), func(a, b Copy) int { return cmp.Compare(a.Number, b.Number) })
	}
	return p.sorted
}

// Copy is what is recorded of copy n; the zero Copy when that is none of ours.
func (p *Pool) Copy(n int) Copy { return p.owned[n] }

// Check returns a *ForeignError for the first of numbers whose name is taken by a file that is not
// ours. Ask before Stage, while nothing is changed.
func (p *Pool) Check(numbers []int) error {
	for _, n := range numbers {
		info, err := p.dir.Lstat(p.copyName(n))
		if fsys.NotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		if !p.made(n, info) {
			return p.foreign(n)
		}
	}
	return nil
}

// made reports whether info is of the file that we made as copy n, whatever happened to it since.
func (p *Pool) made(n int, info fsys.Info) bool {
	c, owned := p.owned[n]
	return owned && info.IsRegular() && info.ID == c.Info.ID
}

// intact reports whether info is of the file that we made as copy n, with the content we gave it.
func (p *Pool) intact(n int, info fsys.Info) bool {
	return p.made(n, info) && info.SameContent(p.owned[n].Info)
}

// Remove removes copy n; a copy that is gone already is no error. The caller guarantees that
// nothing leads to it. What stands there and is not what we made, or was written to since, is left
// alone: a *ForeignError.
func (p *Pool) Remove(n int) error {
	info, err := p.dir.Lstat(p.copyName(n))
	if err != nil && !fsys.NotExist(err) {
		return err
	}
	if err == nil {
		if !p.intact(n, info) {
			return p.foreign(n)
		}
		if err := p.dir.Unlink("remove: copy", p.copyName(n)); err != nil && !fsys.NotExist(err) {
			return p.orLocked(n, err)
		}
	}
	p.Disown(n)
	return nil
}

// keep gives name the first free name for a drifted copy n by give, which is Move or Link of name's
// directory.
func (p *Pool) keep(op fsys.Op, give func(fsys.Op, string, *fsys.Dir, string) error, name string, n int) (kept string, err error) {
	for i := 1; ; i++ {
		kept = p.copyName(n) + ".drifted"
		if i > 1 {
			kept = fmt.Sprintf("%s.%d", kept, i)
		}
		err := give(op, name, p.private, kept)
		if err == nil {
			return kept, nil
		}
		if !fsys.Exist(err) {
			return "", err
		}
	}
}

// SetAttrs gives every owned copy the mode, the owner and the extended attributes of src: they
// were changed on one copy and are meant for all. src has been changed so before. On an error the
// copies before the failing one are done. A copy that is missing or not intact is passed over,
// for it will be made again.
func (p *Pool) SetAttrs(ctx context.Context, src *Source) error {
	for _, c := range p.Owned() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.setAttrs(c, src); err != nil {
			return fmt.Errorf("cannot change mode and owner of %s: %w", p.copyName(c.Number), err)
		}
	}
	return nil
}

func (p *Pool) setAttrs(c Copy, src *Source) error {
	f, err := p.dir.Open(p.copyName(c.Number))
	if fsys.NotExist(err) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := fsys.Fstat(f)
	if err != nil {
		return err
	}
	if !p.intact(c.Number, info) {
		return nil
	}
	if err := src.applyTo(p.dir, f, attrOps{"attrs: chown", "attrs: chmod", "attrs: xattr"}); err != nil {
		return err
	}
	if err := p.dir.File("attrs: sync", f, unix.Fsync); err != nil {
		return err
	}
	now, err := fsys.Fstat(f)
	if err != nil {
		return err
	}
	if now.SameContent(info) { // else somebody has written to it meanwhile, which is to be noticed
		c.Info = now
		p.Own(c)
	}
	return nil
}

// Clean removes the copies that an earlier run began to make and did not finish. No Staged may be
// outstanding. If the manifest m, which that run has left, says that they were about to get their
// names, the file of another may have come out of a copy's place: that is kept as a drifted copy is,
// under the returned name.
func (p *Pool) Clean(m *Manifest) (kept []string, err error) {
	names, err := p.private.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		base, isNew := strings.CutSuffix(name, newSuffix)
		n := CopyNumber(p.name, base)
		if !isNew || n == 0 {
			continue
		}
		info, err := p.private.Lstat(name)
		if fsys.NotExist(err) {
			continue
		}
		if err != nil {
			return kept, err
		}
		if _, committing := m.Staged[n]; committing {
			if known, made := m.made(n, info.ID); !made || !info.SameContent(known) {
				as, err := p.keep("clean: keep", p.private.Move, name, n)
				if err != nil {
					return kept, err
				}
				kept = append(kept, as)
				continue
			}
		}
		if err := p.private.Unlink("clean: remove", name); err != nil && !fsys.NotExist(err) {
			return kept, err
		}
	}
	return kept, nil
}
