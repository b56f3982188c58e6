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
		t.takeOverFrom(ctx, o) // go on where it was interrupted
		return nil
	}
	linked := pool.CopyName(t.base(), o.view.Path.Number)
	if err := t.link.MakePrivate(); err != nil {
		return err
	}
	if err := t.link.KeepLinked(linked); err != nil {
		return err
	}
	t.did(api.Event{Kind: api.EventManage}, "took %s, which %s leads to, as the source", linked, t.cfg.Path)
	t.takeOverFrom(ctx, o)
	return nil
}

// takeOverFrom begins with the making of the copies, when the pristine has its name.
func (t *target) takeOverFrom(ctx context.Context, o observation) {
	t.start(ctx, &job{origin: fromLinked, path: o.view.Path}, openPristine(t.link, t.dirPath()))
}

// handMade is what stands in the place of a copy and does not equal the source wholly.
type handMade struct {
	number int
	info   fsys.Info
	same   bool  // in content
	err    error // why it cannot be read
}

// takeOverCopies makes the hand-made copies of the pool's numbers ours, so that those that do not
// equal the source can be replaced.
func (j *job) takeOverCopies(p *pool.Pool, src *pool.Source) error {
	t := j.t
	var numbers []int
	var base string
	err := j.onLoop(func() error { numbers, base = t.numbers(), t.base(); return nil })
	if err != nil {
		return err
	}
	equal, err := p.Compare(j.ctx, src, numbers, &pool.Manifest{})
	if err != nil {
		return err
	}
	var adopted []pool.Copy
	var rest []int
	if err := j.onLoop(func() error { adopted, rest = p.Take(equal); return nil }); err != nil {
		return err
	}
	var others []handMade
	for _, n := range rest {
		f, err := j.link.Dir().Open(pool.CopyName(base, n))
		if fsys.NotExist(err) {
			continue
		}
		if err != nil {
			others = append(others, handMade{number: n, err: err})
			continue
		}
		info, same, err := compare(j.ctx, f, src)
		f.Close()
		if err != nil {
			return fmt.Errorf("cannot take over the hand-made pool: %w", err)
		}
		others = append(others, handMade{number: n, info: info, same: same})
	}
	return j.onLoop(func() error { t.tookOver(len(adopted), others); return nil })
}

// tookOver owns the hand-made copies that are to be replaced.
func (t *target) tookOver(adopted int, others []handMade) {
	again, kept := 0, 0
	for _, o := range others {
		name := pool.CopyName(t.base(), o.number)
		if o.err != nil {
			t.block(o.number, fmt.Errorf("%s cannot be read: %w", name, o.err))
			continue
		}
		again++
		if !o.same {
			kept++
			o.info = fsys.Info{ID: o.info.ID} // of no content that we know: kept when it is replaced
			t.warn(repair("differs", name), "%s differs from the source: it is kept as %s.drifted in %s", name, name, t.link.Private().Path())
		}
		t.pool.Own(pool.Copy{Number: o.number, Info: o.info})
	}
	t.did(api.Event{Kind: api.EventManage}, "verified the hand-made copies: %d stay, %d are cloned again, of which %d differed in content", adopted, again, kept)
}

// compare describes f and tells whether its content is that of src.
func compare(ctx context.Context, f *os.File, src *pool.Source) (info fsys.Info, same bool, err error) {
	if info, err = fsys.Fstat(f); err != nil || info.Size != src.Info().Size {
		return info, false, err
	}
	same, err = pool.SameContent(ctx, f, src.File())
	return info, same, err
}
