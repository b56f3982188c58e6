package pool

import (
	"context"
	"errors"
	"fmt"
	"os"

	"relinkd/fsys"
)

// CloneAs makes one more clone of src, called name in dir, durable and checked like any copy, and returns which file
// it is: somebody may give the name to another one at any time. It is no part of a pool. EEXIST when the name is
// taken; on any error nothing is left behind.
func CloneAs(ctx context.Context, src *Source, dir *fsys.Dir, name string) (made fsys.Info, err error) {
	f, err := dir.Create("clone: create", name, 0o600)
	if err != nil {
		return made, err
	}
	defer f.Close()
	c := &clone{f: f}
	if c.shared, err = src.cloneTo(ctx, dir, f); err == nil {
		made, err = c.finish(ctx, dir, src)
	}
	if err != nil {
		return made, fmt.Errorf("cannot clone %s: %w", dir.Join(name), errors.Join(err, dropOwn(dir, name, f)))
	}
	return made, nil
}

// dropOwn removes name, if it is that of f still.
func dropOwn(dir *fsys.Dir, name string, f *os.File) error {
	own, err := fsys.Fstat(f)
	if err != nil {
		return err
	}
	now, err := dir.Lstat(name)
	if fsys.NotExist(err) || err == nil && now.ID != own.ID {
		return nil
	}
	if err != nil {
		return err
	}
	return dir.Unlink("clone: remove", name)
}
