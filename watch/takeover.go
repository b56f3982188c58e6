package watch

import (
	"context"
	"fmt"
	"os"
	"time"

	"relinkd/api"
	"relinkd/fsys"
	"relinkd/linker"
	"relinkd/pool"
)

func relinkedNotice(times int, text string, at time.Time) string {
	return fmt.Sprintf("somebody linked path to %s, %d times so far, last at %s; relinkd took it back: end the cron job or script that does it",
		text, times, at.Format(time.RFC3339))
}

// startTakeOver makes a hand-made pool relinkd's own. The copy that path leads to is the source, for
// there is no other original: it becomes the pristine under a further name. Copies that equal it
// wholly stay, the others are cloned again; one with another content is kept as drifted. Every name
// leads to an executable throughout, whoever links to it meanwhile.
func (t *target) startTakeOver(ctx context.Context, o observation) error {
	if o.view.Pristine.Kind == linker.File {
		return t.takeOverFrom(ctx, o) // go on where it was interrupted
	}
	linked := pool.CopyName(t.base(), o.view.Path.Number)
	if err := t.link.MakePrivate(); err != nil {
		return err
	}
	if err := t.link.KeepLinked(linked); err != nil {
		return err
	}
	t.did(api.Event{Kind: api.EventManage}, "took %s, which %s leads to, as the source", linked, t.cfg.Path)
	return t.takeOverFrom(ctx, o)
}

// takeOverFrom begins with the making of the copies, when the pristine has its name.
func (t *target) takeOverFrom(ctx context.Context, o observation) error {
	return t.start(ctx, fromLinked, o.view.Path, t.openPristine)
}

// takeOverCopies makes the hand-made copies of the pool's numbers ours, so that those that do not
// equal the source can be replaced.
func (t *target) takeOverCopies(j *job, src *pool.Source) error {
	adopted, rest, err := t.pool.Adopt(j.ctx, src, t.numbers(), &pool.Manifest{})
	if err != nil {
		return err
	}
	again, kept := 0, 0
	for _, n := range rest {
		f, err := t.link.Dir().Open(pool.CopyName(t.base(), n))
		if fsys.NotExist(err) {
			continue
		}
		if err != nil {
			t.block(n, fmt.Errorf("%s cannot be read: %w", pool.CopyName(t.base(), n), err))
			continue
		}
		info, same, err := compare(j.ctx, f, src)
		f.Close()
		if err != nil {
			return fmt.Errorf("cannot take over the hand-made pool: %w", err)
		}
		again++
		if !same {
			kept++
			info = fsys.Info{ID: info.ID} // of no content that we know: kept when it is replaced
			t.warn(repair("differs", pool.CopyName(t.base(), n)), "%s differs from the source: it is kept as %s.drifted in %s", pool.CopyName(t.base(), n), pool.CopyName(t.base(), n), t.link.Private().Path())
		}
		t.pool.Own(pool.Copy{Number: n, Info: info})
	}
	t.did(api.Event{Kind: api.EventManage}, "verified the hand-made copies: %d stay, %d are cloned again, of which %d differed in content", len(adopted), again, kept)
	return nil
}

// compare describes f and tells whether its content is that of src.
func compare(ctx context.Context, f *os.File, src *pool.Source) (info fsys.Info, same bool, err error) {
	if info, err = fsys.Fstat(f); err != nil || info.Size != src.Info().Size {
		return info, false, err
	}
	same, err = pool.SameContent(ctx, f, src.File())
	return info, same, err
}
