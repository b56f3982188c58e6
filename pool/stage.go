package pool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

const (
	stageBatch = 128 // copies that are open at once, well below the usual limit of 1024 descriptors
	stageSyncs = 8   // copies that are synced and checked at once
)

// Staged is finished copies that do not have their names yet. End it with Commit or Discard.
type Staged struct {
	p      *Pool
	copies []Copy // those that still are in private; in the order of their numbers
}

// Stage makes the copies numbers of src in the private directory, durable and checked to equal
// src (DESIGN.md §5, step 3). It changes nothing that anybody uses, may take seconds, and may run
// beside the Pool's owner. On an error, a cancelled ctx included, nothing is left behind; ErrChanged
// means that src is not what it was, ENOSPC and other errnos are found by errors.Is.
func (p *Pool) Stage(ctx context.Context, src *Source, numbers []int) (*Staged, error) {
	numbers = slices.Compact(slices.Sorted(slices.Values(numbers)))
	s := &Staged{p: p, copies: make([]Copy, 0, len(numbers))}
	err := s.clone(ctx, src, numbers)
	if err == nil {
		err = src.unchanged()
	}
	if err != nil {
		return nil, errors.Join(err, s.Discard())
	}
	return s, nil
}

// clone makes the copies, a batch at a time: first all are written, then all are synced at once,
// so that the file system can join their commits.
func (s *Staged) clone(ctx context.Context, src *Source, numbers []int) error {
	for batch := range slices.Chunk(numbers, stageBatch) {
		if err := s.cloneBatch(ctx, src, batch); err != nil {
			return err
		}
	}
	return nil
}

func (s *Staged) cloneBatch(ctx context.Context, src *Source, batch []int) error {
	var written []*clone
	defer func() {
		for _, c := range written {
			c.f.Close()
		}
	}()
	first := len(s.copies)
	for _, n := range batch {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := s.create(n)
		if err != nil {
			return s.p.cannotClone(n, err)
		}
		c := &clone{f: f}
		written = append(written, c)
		if c.shared, err = src.cloneTo(ctx, s.p.private, f); err != nil {
			return s.p.cannotClone(n, err)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(stageSyncs)
	for i, c := range written {
		copied := &s.copies[first+i]
		g.Go(func() (err error) {
			if copied.Info, err = c.finish(ctx, s.p.private, src); err != nil {
				return s.p.cannotClone(copied.Number, err)
			}
			copied.SHA256 = src.sha256
			return nil
		})
	}
	return g.Wait()
}

// create makes the empty file for copy n, in the place of one that an earlier run left.
func (s *Staged) create(n int) (*os.File, error) {
	private, name := s.p.private, s.p.newName(n)
	f, err := private.Create("clone: create", name, 0o600)
	if fsys.Exist(err) {
		if err := private.Unlink("clone: remove left-over", name); err != nil {
			return nil, err
		}
		f, err = private.Create("clone: create", name, 0o600)
	}
	if err != nil {
		return nil, err
	}
	s.copies = append(s.copies, Copy{Number: n})
	return f, nil
}

// clone is a copy whose file is still open.
type clone struct {
	f      *os.File
	shared bool
}

// finish makes the copy durable and checks it against src. It returns what the file is then.
func (c *clone) finish(ctx context.Context, private *fsys.Dir, src *Source) (info fsys.Info, err error) {
	if err := ctx.Err(); err != nil {
		return info, err
	}
	if err := private.File("clone: sync", c.f, unix.Fsync); err != nil {
		return info, err
	}
	err = private.File("clone: check", c.f, func(int) error {
		var d difference
		info, d, err = src.differs(ctx, c.f, !c.shared)
		if err == nil && d.text != "" {
			// Either somebody writes to the source, or the file system does not do as told.
			if err = src.unchanged(); err == nil {
				err = errors.New("the new copy does not equal its source: " + d.text)
			}
		}
		return err
	})
	return info, err
}

func (p *Pool) cannotClone(n int, err error) error {
	return fmt.Errorf("cannot clone %s: %w", p.copyName(n), err)
}

// Copies is the finished copies, as they will be once committed but for their Ctime. Save it before
// Commit (Manifest.Staged), and after a crash Adopt knows which files are relinkd's.
func (s *Staged) Copies() []Copy { return slices.Clone(s.copies) }

// Discard removes the copies that were not committed. Another file that a race in Commit has left
// in the place of one stays.
func (s *Staged) Discard() error {
	var failed []error
	for _, c := range s.copies {
		if err := s.p.discard(c); err != nil && !fsys.NotExist(err) {
			failed = append(failed, err)
		}
	}
	s.copies = nil
	return errors.Join(failed...)
}

func (p *Pool) discard(c Copy) error {
	finished := !c.Info.ID.IsZero()
	info, err := p.private.Lstat(p.newName(c.Number))
	if err != nil || finished && info.ID != c.Info.ID {
		return err
	}
	return p.private.Unlink("discard: remove", p.newName(c.Number))
}
