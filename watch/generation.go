package watch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/linker"
	"relinkd/pool"
	"relinkd/watch/install"
)

// start begins a job. What a generation is made of is opened by open, beside the loop.
func (t *target) start(ctx context.Context, j *job, open func() (*os.File, error)) {
	j.t, j.link, j.began, j.blocked = t, t.link, time.Now(), len(t.blocked)
	j.ctx, j.cancel = context.WithCancel(ctx)
	if j.grow {
		t.growing = j
	} else {
		t.job = j
	}
	t.off(func() func() {
		err := j.run(open)
		return func() { t.endJob(j, err) }
	})
}

// run makes copies and puts them in force, from the first step to the last. It goes on beside the loop and
// touches the target on the loop alone. Numbers as in DESIGN.md §5, "New source".
func (j *job) run(open func() (*os.File, error)) error {
	t := j.t
	src := j.src
	if src == nil {
		// 1. The descriptor is kept, so that the file cannot be mistaken for another one later.
		f, err := open()
		if err != nil {
			return err
		}
		// 2. Ahead of the reading, which takes its time.
		if err := j.onLoop(func() error { return t.opened(j, f) }); err != nil {
			f.Close()
			return err
		}
		if src, err = pool.ReadSource(j.ctx, f); err != nil {
			f.Close()
			return err
		}
		defer func() {
			if !j.inForce {
				src.Close()
			}
		}()
	}
	numbers := j.numbers
	if !j.grow {
		var err error
		if numbers, err = j.missing(src); err != nil {
			return err
		}
	}
	if len(numbers) == 0 {
		return j.onLoop(func() error { return t.inForce(j, src) })
	}
	// 3. No manifest may be left on the disk which says that an earlier generation is about to get its names: by
	// it, what a crash leaves of these copies would seem to be somebody else's file that came out of a copy's
	// place.
	var p *pool.Pool
	if err := j.onLoop(func() error { p, j.cloning = t.pool, time.Now(); return t.save() }); err != nil {
		return err
	}
	if err := t.syncManifest(); err != nil {
		return err
	}
	staged, err := p.Stage(j.ctx, src, numbers)
	if err != nil {
		return err
	}
	// 4.
	err = staged.Executable()
	// 5. Before the copies get their names the manifest says that they are ours, for after a power cut there may
	// be nothing else left that does.
	if err == nil {
		err = j.onLoop(func() error { return t.staged(j, staged) })
	}
	if err == nil {
		err = t.syncManifest()
	}
	if err == nil {
		err = j.onLoop(func() error { return t.commit(j, staged) })
	}
	if err != nil {
		return errors.Join(err, staged.Discard())
	}
	if err := p.Sync(); err != nil || j.grow {
		return err
	}
	// 5 to 7. What is left is the loop's to do: step 8 waits for the package managers.
	return j.onLoop(func() error { t.growth.took(j, time.Now()); return t.inForce(j, src) })
}

// onLoop runs fn on the loop and waits for it, unless the copies are no longer wanted: the job was cancelled or
// what they are made of was replaced.
func (j *job) onLoop(fn func() error) (err error) {
	j.t.onLoop(func() {
		if err = j.superseded(); err == nil {
			err = fn()
		}
	})
	return err
}

// superseded returns why the copies are no longer wanted, nil as long as they are.
func (j *job) superseded() error {
	if err := j.ctx.Err(); err != nil {
		return err
	}
	if j.grow && j.src != j.t.src {
		return context.Canceled
	}
	if j.origin != fromPath && j.origin != fromAdopted || j.info.ID.IsZero() {
		return nil
	}
	at, err := j.link.Look()
	if err != nil || j.origin == fromPath && !at.Info.SameContent(j.info) || j.origin == fromAdopted && at.Kind != linker.Ours {
		return errors.Join(linker.ErrSuperseded, err)
	}
	return nil
}

// opened notes what file a job makes copies of, and lets new processes run it at once where it is a new one.
func (t *target) opened(j *job, f *os.File) error {
	info, err := fsys.Fstat(f)
	if err != nil {
		return err
	}
	j.info = info
	if j.origin == fromPath && (t.src == nil || !info.SameContent(t.src.Info())) {
		t.bypass()
	}
	t.log.Info().Str("source", f.Name()).Uint64("inode", info.Ino).Int64("size", info.Size).Msg("a source is read")
	return nil
}

// missing returns the numbers of the copies that must be made from src: all that do not equal it, or all where
// they are made anew. Files in their places that are not ours are passed over, and other numbers take their
// place.
func (j *job) missing(src *pool.Source) (numbers []int, err error) {
	t := j.t
	var p *pool.Pool
	var anew bool
	known := &pool.Manifest{}
	err = j.onLoop(func() error {
		if j.origin == fromPristine && t.isReplaced(src) {
			return errReplaced
		}
		if err := t.ownPool(); err != nil {
			return err
		}
		p, anew = t.pool, t.remake || t.src != nil && t.src.SHA256() != src.SHA256()
		j.mends = slices.Collect(maps.Keys(t.suspect))
		switch {
		case !anew:
			known = t.known()
		case !t.remake && j.origin == fromPath: // what runs at path then is the new file: no copy of the pool is in use
			t.wanted = t.cfg.Copies
		}
		return nil
	})
	if err == nil && j.origin == fromLinked {
		err = j.takeOverCopies(p, src)
	}
	asked := map[int]bool{}
	for err == nil {
		var ask, look []int
		err = j.onLoop(func() (err error) {
			ask, err = t.numbersBut(asked)
			look = ask
			if anew { // of those that are ours already nothing need be known
				look = slices.DeleteFunc(slices.Clone(ask), t.isOwned)
			}
			return err
		})
		if err != nil || len(ask) == 0 {
			break
		}
		var found *pool.Comparison
		if found, err = p.Compare(j.ctx, src, look, known); err != nil {
			break
		}
		err = j.onLoop(func() error {
			_, rest := p.Take(found)
			if anew {
				rest = ask
			}
			for _, n := range rest {
				if t.isFree(n) {
					numbers = append(numbers, n)
				}
			}
			return nil
		})
	}
	j.mends = append(j.mends, numbers...)
	return numbers, err
}

// errReplaced ends a job whose source is not the pristine that relinkd has put there.
var errReplaced = errors.New("the pristine was replaced")

// isReplaced reports whether somebody has put another program in the pristine's place, although copies of the
// one in force stand: they may be the last of it. Whoever of relinkd itself has changed the pristine has had it
// read again, as Unwind does, or noted, as recover does.
func (t *target) isReplaced(pristine *pool.Source) bool {
	return t.src != nil && pristine.SHA256() != t.src.SHA256() && pristine.Info().ID != t.recovered && t.spare() != 0
}

// known returns what is known of the copies of the source in force that nobody has touched: there is no need
// to read them again.
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

// staged notes the copies that are about to get their names: they have no process yet, and are ours.
func (t *target) staged(j *job, staged *pool.Staged) error {
	cloned(&t.measures, j)
	j.staged, j.written = staged.Copies(), true
	t.follower.Made(ids(j.staged))
	return t.save()
}

// commit gives the staged copies their names, and passes over those whose places are not ours.
func (t *target) commit(j *job, staged *pool.Staged) (err error) {
	t.replaced(j.staged)
	j.staged = nil
	j.committed, err = staged.Commit(j.ctx)
	if err = t.passOver(err); err == nil && len(j.committed) == 0 {
		err = errPassed
	}
	return err
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
	if j.origin == fromAdopted { // it is the source in force when it is the pristine, and not before
		if err := t.promote(j, before, src); err != nil {
			return err
		}
	}
	t.src, j.inForce = src, true
	// 6 and 7.
	var err error
	switch {
	case j.origin == fromPath && t.cfg.Publish != config.PublishNone:
		if err = t.link.Publish(src.Info()); err != nil && before != nil && !t.isPristine(src) {
			t.src, j.inForce = before, false // the pristine is what it was, and the copies are to be made of that again
			return err
		}
	case j.origin == fromPristine && t.cfg.Publish == config.PublishLauncher && (fresh || t.remake):
		err = t.renewLauncher()
	case j.origin == fromLinked:
		err = t.link.Reclaim(j.path)
	}
	if before == nil {
		return err
	}
	if fresh {
		t.stale[before.Info().ID] = time.Now()
	}
	if fresh && t.cfg.Publish == config.PublishNone {
		t.keepSource(before)
	} else {
		t.drop(before)
	}
	return err
}

// isPristine reports whether src is the pristine.
func (t *target) isPristine(src *pool.Source) bool {
	info, err := t.link.Private().Lstat(t.link.PristineName())
	return err == nil && info.ID == src.Info().ID
}

// leads names what processes execute.
func (t *target) leads() string {
	if t.cfg.Publish == config.PublishNone {
		return t.link.PrivateLink()
	}
	return t.cfg.Path
}

// startFromPath makes a generation from the file at path, which was judged to be a source: that very one, and not
// what somebody has put there since.
func (t *target) startFromPath(ctx context.Context, judged fsys.Info) {
	link, name := t.link, t.base()
	t.start(ctx, &job{origin: fromPath}, func() (*os.File, error) {
		f, err := link.Dir().Open(name)
		if fsys.NotExist(err) || errors.Is(err, unix.ELOOP) {
			err = errors.Join(linker.ErrSuperseded, err)
		}
		if err != nil {
			return nil, err
		}
		if now, err := fsys.Fstat(f); err != nil || !now.SameContent(judged) {
			f.Close()
			return nil, errors.Join(linker.ErrSuperseded, err)
		}
		why, err := link.Wrapper(f)
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
func (t *target) startFromPristine(ctx context.Context) {
	t.start(ctx, &job{origin: fromPristine}, openPristine(t.link, t.dirPath()))
}

// openPristine returns what opens the pristine of the install directory dir as a source.
func openPristine(link *linker.Link, dir string) func() (*os.File, error) {
	return func() (*os.File, error) {
		f, err := link.Private().Open(link.PristineName())
		if err != nil {
			return nil, err
		}
		if err := install.Complete(f, dir); err != nil {
			f.Close()
			return nil, fmt.Errorf("the pristine cannot be cloned: %w", err)
		}
		return f, nil
	}
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
	made, err := pool.CloneAs(ctx, good, t.link.Private(), t.link.PristineName())
	if err != nil {
		return err
	}
	src, err := t.openKnown(made, good.SHA256())
	if err != nil {
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

// openKnown opens the pristine as a source of that hash, if it is the very file known and has its content: what bears
// the name by now may be somebody else's. ErrSuperseded when it is not.
func (t *target) openKnown(known fsys.Info, sha256 string) (*pool.Source, error) {
	f, err := t.link.Private().Open(t.link.PristineName())
	if err != nil {
		return nil, err
	}
	src, err := pool.Known(f, sha256)
	if err != nil {
		f.Close()
		return nil, err
	}
	if !src.Info().SameContent(known) {
		src.Close()
		return nil, linker.ErrSuperseded
	}
	return src, nil
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
