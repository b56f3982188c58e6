package pool

import (
	"context"
	"errors"
	"fmt"

	"relinkd/fsys"
)

// CloneAs makes one more clone of src, called name in dir, durable and checked like any copy. It is
// no part of a pool. EEXIST when the name is taken; on any error nothing is left behind.
func CloneAs(ctx context.Context, src *Source, dir *fsys.Dir, name string) error {
	f, err := dir.Create("clone: create", name, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	c := &clone{f: f}
	if c.shared, err = src.cloneTo(ctx, dir, f); err == nil {
		_, err = c.finish(ctx, dir, src)
	}
	if err != nil {
		return fmt.Errorf("cannot clone %s: %w", dir.Join(name), errors.Join(err, dir.Unlink("clone: remove", name)))
	}
	return nil
}
