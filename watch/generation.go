package watch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/linker"
	"relinkd/pool"
	"relinkd/watch/install"
)

// start opens a source and begins a job with it: hash it, then clone. Numbers as in DESIGN.md §5,
// "New source".
func (t *target) start(ctx context.Context, from origin, at linker.Standing, open func() (*os.File, error)) error {
	// 1. The descriptor is kept, so that the file cannot be mistaken for another one later.
	f, err := open()
	if err != nil {
		return err
	}
	info, err := fsys.Fstat(f)
	if err != nil {
		f.Close()
		return err
	}
	j := &job{origin: from, info: info, path: at, began: time.Now()}
	t.begin(ctx, j, f)
	return nil
}

// begin is the rest of start, for a source that is open.
func (t *target) begin(ctx context.Context, j *job, f *os.File) {
	info := j.info
	j.ctx, j.cancel = context.WithCancel(ctx)
	t.job, j.blocked = j, len(t.blocked)
	// 2.
	if j.origin == fromPath && (t.src == nil || !info.SameContent(t.src.Info())) {
		t.bypass()
	}
	t.log.Info().Str("source", f.Name()).Uint64("inode", info.Ino).Int64("size", info.Size).Msg("a source is read")
	t.off(func() func() {
		src, err := pool.ReadSource(j.ctx, f)
		if err != nil {
			f.Close()
		}
		return func() {
			if done, err := t.haveSource(j, src, err); done {
				t.endJob(j, err)
			}
		}
	})
}

// haveSource is step 1's end and the beginning of step 3: it is known what the source is. done
// reports that there is nothing left to wait for.
func (t *target) haveSource(j *job, src *pool.Source, err error) (done bool, _ error) {
	if err != nil {
		return true, err
	}
	if err := j.ctx.Err(); err != nil {
		src.Close()
		return true, err
	}
	if j.origin == fromPristine && t.isReplaced(src) {
		src.Close()
		t.spoiled = true
		t.wake()
		return true, nil
	}
	var numbers []int
	err = t.ownPool()
	if err == nil {
		numbers, err = t.missing(j, src)
	}
	j.mends = slices.AppendSeq(slices.Clone(numbers), maps.Keys(t.suspect))
	if err != nil {
		src.Close()
		return true, err
	}
	if len(numbers) == 0 {
		return true, t.inForce(j, src)
	}
	t.clone(j, src, numbers)
	return false, nil
}

// isReplaced reports whether somebody has put another program in the pristine's place, although copies of the
// one in force stand: they may be the last of it. Whoever of relinkd itself has changed the pristine has had it
// read again, as Unwind does, or noted, as recover does.
func (t *target) isReplaced(pristine *pool.Source) bool {
	return t.src != nil && pristine.SHA256() != t.src.SHA256() && pristine.Info().ID != t.recovered && t.spare() != 0
}

// missing is the numbers of the copies that must be made from src. Files in their places that are not ours are
// passed over.
func (t *target) missing(j *job, src *pool.Source) ([]int, error) {
	if j.origin == fromLinked {
		if err := t.takeOverCopies(j, src); err != nil {
			return nil, err
		}
	}
	if !t.remake && (t.src == nil || t.src.SHA256() == src.SHA256()) {
		return t.needed(func(numbers []int) ([]int, error) {
			_, rest, err := t.pool.Adopt(j.ctx, src, numbers, t.known())
			return rest, err
		})
	}
	if !t.remake && j.origin == fromPath { // what runs at path then is the new file: no copy of the pool is in use
		t.wanted = t.cfg.Copies
	}
	return t.needed(func(numbers []int) ([]int, error) { // all of them; ours, too, is what equals the source
		foreign := slices.DeleteFunc(slices.Clone(numbers), t.isOwned)
		_, _, err := t.pool.Adopt(j.ctx, src, foreign, &pool.Manifest{})
		return numbers, err
	})
}

// known is what is known of the copies of the source in force that nobody has touched: there is no need
// to read them again, which would keep the loop from its work.
func (t *target) known() *pool.Manifest {
	m := &pool.Manifest{Copies: map[int]fsys.Info{}}
	if t.src == nil {
		return m
	}
	m.SHA256 = t.src.SHA256()
	for _, c := range t.pool.Owned() {
		if c.SHA256 == m.SHA256 && !t.suspect[c.Number] && !t.doubted[c.Number] {
			m.Copies[c.Number] = c.Info
		}
	}
	return m
}

// clone is steps 3 and 4, off the loop. Before that no manifest may be left on the disk which says that
// an earlier generation is about to get its names: by it, what a crash leaves of these copies would
// seem to be somebody else's file that came out of a copy's place.
func (t *target) clone(j *job, src *pool.Source, numbers []int) {
	p := t.pool
	j.cloning = time.Now()
	err := t.save()
	t.off(func() func() {
		var staged *pool.Staged
		if err == nil {
			err = pool.SyncManifest(t.state, t.name)
		}
		if err == nil {
			staged, err = p.Stage(j.ctx, src, numbers)
		}
		if err == nil {
			if err = staged.Executable(); err != nil {
				err = errors.Join(err, staged.Discard())
			}
		}
		return func() { t.failJob(j, src, t.haveCopies(j, src, staged, err)) }
	})
}

// haveCopies begins step 5: before the copies get their names the manifest says that they are ours,
// for after a power cut there may be nothing else left that does. That is made durable off the loop:
// a disk may take its time.
func (t *target) haveCopies(j *job, src *pool.Source, staged *pool.Staged, err error) error {
	if err != nil {
		return err
	}
	cloned(&t.measures, j)
	if err := t.mayCommit(j, src); err != nil {
		return errors.Join(err, staged.Discard())
	}
	j.staged = staged.Copies()
	t.follower.Made(ids(j.staged))
	if err := t.save(); err != nil {
		return errors.Join(err, staged.Discard())
	}
	t.off(func() func() {
		err := pool.SyncManifest(t.state, t.name)
		return func() { t.failJob(j, src, t.commit(j, src, staged, err)) }
	})
	return nil
}

// mayCommit refuses when the copies are no longer wanted.
func (t *target) mayCommit(j *job, src *pool.Source) error {
	if err := j.ctx.Err(); err != nil {
		return err
	}
	if j.origin == fromPath || j.origin == fromAdopted {
		at, err := t.link.Look()
		if err != nil || j.origin == fromPath && !at.Info.SameContent(src.Info()) || j.origin == fromAdopted && at.Kind != linker.Ours {
			return errors.Join(linker.ErrSuperseded, err)
		}
	}
	return nil
}

// commit goes on with step 5: the copies get their names, which is made durable off the loop.
func (t *target) commit(j *job, src *pool.Source, staged *pool.Staged, err error) error {
	if err == nil {
		err = t.mayCommit(j, src)
	}
	if err != nil {
		j.staged = nil
		return errors.Join(err, staged.Discard(), t.save())
	}
	t.replaced(j.staged)
	j.staged = nil
	committed, err := staged.Commit(j.ctx)
	if err = t.passOver(err); err == nil && len(committed) == 0 {
		err = errPassed
	}
	if err != nil {
		return errors.Join(err, t.save())
	}
	p := t.pool
	t.off(func() func() {
		err := p.Sync()
		return func() { t.named(j, src, committed, err) }
	})
	return nil
}

// named goes on when the copies have their names for good.
func (t *target) named(j *job, src *pool.Source, committed []pool.Copy, err error) {
	if err == nil {
		err = j.ctx.Err()
	}
	if err != nil {
		t.failJob(j, src, err)
		return
	}
	t.tookToMake(j)
	if j.grow {
		t.grown(j, committed)
		t.endJob(j, t.save())
		if t.atRest {
			t.steer(time.Now()) // a process may be waiting for the room
		}
		return
	}
	t.endJob(j, t.inForce(j, src))
}

// ids is the identities of copies.
func ids(copies []pool.Copy) []fsys.ID {
	all := make([]fsys.ID, len(copies))
	for i, c := range copies {
		all[i] = c.Info.ID
	}
	return all
}

// replaced remembers the executables that the staged copies are about to replace: processes may run
// them for long.
func (t *target) replaced(staged []pool.Copy) {
	for _, s := range staged {
		if t.isOwned(s.Number) {
			t.stale[t.owned(s.Number).Info.ID] = time.Now()
		}
	}
}

// inForce ends step 5 and does steps 6 and 7: all copies are made from src, and path comes to lead
// to them.
func (t *target) inForce(j *job, src *pool.Source) error {
	before := t.src
	fresh := before == nil || before.SHA256() != src.SHA256()
	for _, n := range j.mends { // not those that something happened to meanwhile
		delete(t.suspect, n)
	}
	if err := t.decided(func() error { return t.putInForce(j, src) }); err != nil {
		if t.src != src {
			src.Close()
		}
		return err
	}
	t.prune()
	if t.link.NoExchange() && !t.exchange {
		t.exchange = true
		t.notice = "this file system cannot exchange two names in one step: a file put at path in the very instant of a change could be lost"
		t.warn(api.Event{Kind: api.EventState, Reason: "no exchange"}, "%s: %s", t.dirPath(), t.notice)
	}
	if fresh || t.since.IsZero() {
		t.since = time.Now()
	}
	if fresh {
		t.measures.Upgrade.Observe(time.Since(j.began))
	}
	t.remake = false
	if j.origin == fromPath || j.origin == fromAdopted {
		t.spoiled = false // the pristine is another one now
	}
	t.lastCheck = time.Now()
	e := repair("copies made again", "")
	if fresh {
		e = api.Event{Kind: api.EventUpgrade, To: api.ShortHash(src.SHA256())}
		if before != nil {
			e.From = api.ShortHash(before.SHA256())
		}
	}
	e.Seconds = time.Since(j.began).Seconds()
	t.did(e, "%s leads to %d copies of generation %.12s, made in %s", t.leads(), t.wanted, src.SHA256(), time.Since(j.began).Round(time.Millisecond))
	return t.save()
}

// decided has publish put a source in force. Just ahead of that the release of a target that is on trial ends
// durably, so that a crash is not followed by a target that is published and released; it comes back if nothing
// was published.
func (t *target) decided(publish func() error) error {
	trial := t.onTrial
	if err := t.confirm(); err != nil {
		return err
	}
	err := publish()
	if !trial {
		return err
	}
	if err != nil && !t.isPublished() {
		t.onTrial = true
		return errors.Join(err, t.setReleased(true))
	}
	for _, w := range t.waiters {
		w.inForce = true
	}
	return err
}

// isPublished reports whether what services execute leads to copies.
func (t *target) isPublished() bool {
	if t.cfg.Publish == config.PublishNone {
		return t.current > 0
	}
	at, err := t.link.Look()
	return err != nil || at.Kind == linker.Ours
}

// putInForce is the changing part of inForce.
func (t *target) putInForce(j *job, src *pool.Source) error {
	before := t.src
	fresh := before == nil || before.SHA256() != src.SHA256()
	// 5. The private link leads to a copy of the new generation before path leads to it.
	if fresh || t.remake || t.current == 0 || !t.isOwned(t.current) {
		first := t.firstOf(src)
		if first == 0 {
			return errPassed
		}
		if err := t.point(first); err != nil {
			return err
		}
	}
	t.src = src
	if before != nil {
		if fresh {
			t.stale[before.Info().ID] = time.Now()
		}
		if fresh && t.cfg.Publish == config.PublishNone {
			t.keepSource(before)
		} else {
			t.drop(before)
		}
	}
	// 6 and 7.
	var err error
	switch {
	case j.origin == fromPath && t.cfg.Publish != config.PublishNone:
		err = t.link.Publish(src.Info())
	case j.origin == fromAdopted:
		err = t.promote(j, before)
	case j.origin == fromPristine && t.cfg.Publish == config.PublishLauncher && (fresh || t.remake):
		err = t.renewLauncher()
	case j.origin == fromLinked:
		err = t.link.Reclaim(j.path)
	}
	return err
}

// leads names what processes execute.
func (t *target) leads() string {
	if t.cfg.Publish == config.PublishNone {
		return t.link.PrivateLink()
	}
	return t.cfg.Path
}

// startFromPath makes a generation from the file at path.
func (t *target) startFromPath(ctx context.Context, o observation) error {
	return t.start(ctx, fromPath, o.view.Path, func() (*os.File, error) {
		f, err := t.link.Dir().Open(t.base())
		if err != nil {
			return nil, err
		}
		why, err := t.link.Wrapper(f)
		if err == nil && why != "" {
			err = errors.New(why + ": put the program itself at path, or set path to where it is")
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		return f, nil
	})
}

// startFromPristine makes the copies that are missing, or all, from the pristine.
func (t *target) startFromPristine(ctx context.Context) error {
	return t.start(ctx, fromPristine, linker.Standing{}, t.openPristine)
}

// openPristine opens the pristine as a source.
func (t *target) openPristine() (*os.File, error) {
	f, err := t.link.Private().Open(t.link.PristineName())
	if err != nil {
		return nil, err
	}
	if err := install.Complete(f, t.dirPath()); err != nil {
		f.Close()
		return nil, fmt.Errorf("the pristine cannot be cloned: %w", err)
	}
	return f, nil
}

// renew sets the pristine aside, to which somebody has written, and puts a clone of a copy in its place;
// also where somebody has removed it.
func (t *target) renew(ctx context.Context) error {
	n := t.spare()
	f, err := t.link.Dir().Open(pool.CopyName(t.base(), n))
	if err != nil {
		return err
	}
	good, err := pool.ReadSource(ctx, f)
	if err != nil {
		f.Close()
		return err
	}
	defer good.Close()
	if good.SHA256() != t.src.SHA256() {
		t.convict(n, "has another content than it was made with")
		return nil // the next decision finds another one, or none
	}
	t.spoiled = true // also if what follows is done in part only
	kept, err := t.link.SetAsidePristine()
	gone := fsys.NotExist(err)
	switch {
	case gone:
		t.warn(repair("pristine gone", ""), "%s is gone: a clone of %s takes its place", t.link.Private().Join(t.link.PristineName()), pool.CopyName(t.base(), n))
	case err != nil:
		return err
	default:
		t.warn(repair("pristine changed", ""), "%s was changed by somebody: it is kept as %s, and a clone of %s takes its place", t.link.PristineName(), t.link.Private().Join(kept), pool.CopyName(t.base(), n))
	}
	if err := pool.CloneAs(ctx, good, t.link.Private(), t.link.PristineName()); err != nil {
		return err
	}
	if f, err = t.link.Private().Open(t.link.PristineName()); err != nil {
		return err
	}
	src, err := pool.Known(f, good.SHA256())
	if err != nil {
		f.Close()
		return err
	}
	t.drop(t.src)
	t.src, t.spoiled = src, false
	what := "changed"
	if gone {
		what = "removed"
	}
	t.notice = fmt.Sprintf("the pristine was %s by somebody and is a clone of a copy now: restore will put that at path, with a new inode", what)
	return t.save()
}

// bypass lets new processes run the packaged file at once, where they go by the private link.
func (t *target) bypass() {
	if t.cfg.Publish != config.PublishNone || t.current == 0 {
		return
	}
	if err := t.moveLink(linker.LinkText(t.base(), 0), t.link.Bypass); err != nil {
		t.failed(err)
		return
	}
	t.current = 0
	t.did(api.Event{Kind: api.EventUpgrade, Reason: "bypassed"}, "%s leads to the packaged file until the copies are made", t.link.PrivateLink())
}

// point moves the private link without counting it as a rotation. Where an administrator names it, it
// must be there from the moment on that it is said to be; later on either copy is as good after a crash.
func (t *target) point(n int) error {
	if err := t.moveLink(linker.LinkText(t.base(), n), func() error { return t.link.Rotate(n) }); err != nil {
		return err
	}
	now, before := time.Now(), t.current
	t.left[before] = now
	t.current, t.rotatedAt = n, now
	if t.cfg.Publish != config.PublishNone || before != 0 {
		return nil // with our link at path Publish does it, before path depends on it
	}
	return t.link.Private().Sync("point: sync")
}
