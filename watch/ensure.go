package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/linker"
	"relinkd/pool"
	"relinkd/watch/install"
)

// ensure compares what is wanted with what is there and does what is missing. It is idempotent:
// events only make it run sooner. It returns after how long it wants to run again at the latest; 0
// leaves that to the next event.
func (t *target) ensure(ctx context.Context) time.Duration {
	t.atRest, t.awaits, t.exec.looked = false, false, false
	if !t.active {
		return 0
	}
	if t.leaving {
		return t.depart()
	}
	if t.released {
		t.becomeReleased()
		return 0
	}
	now := time.Now()
	t.checkWatch(now)
	if now.Before(t.retry.until) {
		t.balance(now)
		return time.Until(t.retry.until)
	}
	// A step changes what the next decision rests on; a handful brings any state to rest.
	for range 8 {
		o, err := t.observe(now)
		if err == nil {
			err = t.clean()
		}
		if err != nil {
			return t.giveUp(err)
		}
		d := decide(o)
		t.become(d.state, d.reason)
		t.awaits = d.awaits
		if d.state == api.Absent && d.step == stepNone {
			if err := t.sweep(); err != nil {
				return t.giveUp(err)
			}
		}
		if d.step == stepNone || d.step == stepWait || t.isMaking() && !d.step.beside() {
			t.rest(now, d, o)
			return t.soonest(d.again, t.balance(now))
		}
		t.exec.looked = false
		if err := t.act(ctx, d, o); err != nil {
			return t.giveUp(err)
		}
	}
	return t.soonest(10 * time.Millisecond)
}

// clean removes, once after loading and after a recovery, what was begun and not finished, and writes
// down how things stand: what an earlier run knew may tell of them no more.
func (t *target) clean() error {
	if t.cleaned || t.pool == nil || t.link.Private() == nil || t.isMaking() {
		return nil
	}
	if err := t.link.Tidy(); err != nil {
		return err
	}
	if err := pool.TidyManifest(t.state, t.name); err != nil {
		return err
	}
	m, err := t.manifest()
	if err != nil {
		m = &pool.Manifest{}
	}
	kept, err := t.pool.Clean(m)
	for _, name := range kept {
		t.warn(repair("not relinkd's", ""), "%s", keptFile(t.link.Private().Join(name)))
	}
	if err != nil {
		return err
	}
	t.cleaned = true
	if err := t.forgetRestart(); err != nil {
		t.log.Warn().Err(err).Msg("the next directory made anew may not be written to")
	}
	if t.src == nil || t.spoiled { // that the pristine is not what it was is known by the manifest alone
		return nil
	}
	t.saveOrWarn()
	return nil
}

// sweep removes the private directory where it is all that is left of a target whose taking away was
// interrupted.
func (t *target) sweep() error {
	if err := t.link.DropPrivate(); err != nil {
		return err
	}
	if t.link.Private() == nil {
		t.pool = nil
	}
	return nil
}

// saveOrWarn is save where it is not worth giving up for.
func (t *target) saveOrWarn() {
	if err := t.save(); err != nil {
		t.wrong(zerolog.WarnLevel, err.Error(), "the manifest is not up to date")
	}
}

// keptFile tells of a file that was put in the place of a copy while that was being replaced, just
// before a crash.
func keptFile(path string) string {
	return path + " was in the place of a copy and is not relinkd's: it is kept there"
}

// giveUp is for an error that ends this round of Ensure.
func (t *target) giveUp(err error) time.Duration {
	if errors.Is(err, linker.ErrSuperseded) {
		t.log.Info().Msg("path was replaced while relinkd changed it: looking again")
		return time.Millisecond
	}
	if isAbsent(err) {
		t.become(api.Absent, err.Error())
		t.cancelWork()
		t.unload()
		return 0
	}
	if t.mustRestart(err) {
		return 0
	}
	t.failed(err)
	return time.Until(t.retry.until)
}

// become notes where the target is now, and tells of what is wrong with it when that is news.
func (t *target) become(state api.State, reason string) {
	if t.status == state && t.reason == reason {
		return
	}
	if state == api.Degraded && t.reason != reason {
		t.wrong(zerolog.ErrorLevel, reason, "degraded")
	}
	t.status, t.reason = state, reason
}

// becomeReleased says how to begin, unless what stands at path is nothing that relinkd could begin with.
func (t *target) becomeReleased() {
	if t.awaits = !isScript(t.cfg.Path); !t.awaits {
		t.become(api.Released, "not managed, and path is a script: relinkd manages programs only")
		return
	}
	t.become(api.Released, fmt.Sprintf("not managed: to begin, say relinkd manage %s", t.name))
}

// isScript reports whether path is a script, as a wrapper around the program is.
func isScript(path string) bool {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	var begin [2]byte
	n, _ := f.ReadAt(begin[:], 0)
	return string(begin[:n]) == "#!"
}

// observe gathers what a decision rests on. It opens and loads what is needed first.
func (t *target) observe(now time.Time) (observation, error) {
	o := observation{publish: t.cfg.Publish, takeOver: t.takeOver}
	if err := t.open(); err != nil {
		return o, err
	}
	var err error
	if o.repair, err = t.link.RepairNeeded(t.isCopy); err != nil || o.repair != linker.RepairNone {
		return o, err
	}
	if err := t.load(); err != nil {
		return o, err
	}
	if o.view, err = t.link.View(); err != nil {
		return o, err
	}
	if o.exposed = fsys.CheckDir(t.dirPath()); o.exposed == nil {
		o.exposed = t.link.Trusted()
	}
	if o.shut, err = t.link.Shut(); err != nil {
		return o, err
	}
	o.strayed = t.strayed(o.view)
	o.unable = t.checkExecutes()
	o.remains = t.remains(o.view)
	o.had = t.current > 0
	o.broken = o.had && t.isGone(t.current)
	o.spare = t.spare()
	o.complete = t.complete()
	if o.view.Path.Kind == linker.Nothing {
		o.wait = t.install.NoteAbsent(now)
		if o.wait == 0 || !o.had {
			o.removed = t.removed()
		}
		return o, nil
	}
	if err := t.observePath(&o, now); err != nil {
		return o, err
	}
	t.install.NotePresent(o.view.Path.Kind != linker.Ours && o.view.Path.Kind != linker.Alias)
	return o, nil
}

// observePath gathers what a decision rests on of what stands at path.
func (t *target) observePath(o *observation, now time.Time) error {
	switch o.view.Path.Kind {
	case linker.Ours, linker.Alias:
		o.unwound = t.unwound(o.view)
		o.sameGen = t.src != nil && o.view.Pristine.Info.SameContent(t.src.Info())
		o.fits = t.link.Fits(o.view.Path)
		o.changed = o.sameGen && o.fits && o.view.Path.IsLauncher() && !o.view.Path.SameAccess(t.src.Info())
		if err := t.lookAtAttributes(o); err != nil {
			return err
		}
		o.spoiled = t.spoiled || t.src != nil && !o.sameGen && o.view.Pristine.Info.ID == t.src.Info().ID
		if now.Before(t.removalUntil) {
			o.removed = t.removed()
		}
	case linker.File:
		o.known = t.src != nil && o.view.Path.Info.SameContent(t.src.Info()) && o.view.Path.Info.SameAccess(t.src.Info())
		if err := t.lookAtAttributes(o); err != nil {
			return err
		}
		if t.cfg.Publish != config.PublishNone || !o.known || !o.complete {
			t.examine(o, t.base(), now)
		}
	case linker.PoolLink:
		if t.takeOver && o.view.Pristine.Kind != linker.File {
			t.examine(o, pool.CopyName(t.base(), o.view.Path.Number), now)
		}
	}
	return nil
}

// examine tells whether the file name, which path is or leads to, can be a source.
func (t *target) examine(o *observation, name string, now time.Time) {
	f, err := t.link.Dir().Open(name)
	if err != nil {
		o.refused = err
		return
	}
	defer f.Close()
	o.wait, o.refused = t.install.Arrival(f, now)
	if o.refused == nil && o.wait == 0 && !o.known && o.attributes == "" {
		t.awaitAttributes(o, f, now)
	}
	if !errors.Is(o.refused, install.ErrIncomplete) {
		t.unwhole = unwhole{}
		return
	}
	if id := o.view.Path.Info.ID; t.unwhole.id != id {
		t.unwhole = unwhole{id: id, since: now}
	}
	if now.Sub(t.unwhole.since) < t.cfg.Settle.Max {
		o.unwhole, o.refused = o.refused, nil
	}
}

// unwhole is a file at path that is not complete, and since when it is known. After settle.max an
// operator should hear of it.
type unwhole struct {
	id    fsys.ID
	since time.Time
}

// remains reports whether anything of ours for this target exists beside path.
func (t *target) remains(v linker.View) bool {
	return v.Private != "" || v.Publish.Kind != linker.Nothing || v.Pristine.Kind != linker.Nothing ||
		v.Previous.Kind != linker.Nothing || t.pool != nil && len(t.pool.Owned()) > 0
}

// act does one step.
func (t *target) act(ctx context.Context, d decision, o observation) error {
	switch d.step {
	case stepRecover:
		found, err := t.recover()
		if err == nil {
			t.did(repair("recovered", ""), "recovered: %s", found)
			if found == linker.Finish {
				t.recallPut()
			}
			t.reload()
			t.cleaned = false
		}
		return err
	case stepMakeFrom:
		t.startFromPath(ctx, o.view.Path.Info)
	case stepRemake:
		t.startFromPristine(ctx)
	case stepUnwind:
		return t.unwind(o)
	case stepReclaim:
		return t.reclaim(o)
	case stepTakeOver:
		return t.startTakeOver(ctx, o)
	case stepPutBack:
		return t.putBack(o)
	case stepStandDown:
		return t.standDown(d.reason, o.removed)
	case stepRenew:
		return t.renew(ctx)
	case stepUnpublish:
		return t.unpublish()
	case stepLead:
		return t.lead()
	case stepRefit:
		return t.refit(o)
	case stepAccess:
		return t.access(o)
	case stepSpread:
		return t.spread(o)
	case stepMend:
		return t.mendPrivate(o)
	}
	return nil
}

// unpublish puts the packaged file back at path, which this way of publishing leaves alone.
func (t *target) unpublish() error {
	var r api.Report
	made, err := t.prepareRestore(&r)
	if err == nil {
		_, err = t.link.Restore()
	}
	if err != nil {
		return errors.Join(err, made.undo())
	}
	for _, line := range r.Warnings {
		t.warn(repair("put back", ""), "%s", line)
	}
	t.reload()
	return nil
}

// lead points the private link, which leads nowhere, at a copy.
func (t *target) lead() error {
	if t.link.Private() == nil {
		if err := t.link.MakePrivate(); err != nil {
			return err
		}
		t.reload()
		if err := t.load(); err != nil {
			return err
		}
	}
	n := t.spare()
	if n == 0 {
		return errors.New("there is no copy to lead to")
	}
	name := pool.CopyName(t.base(), n)
	t.warn(repair("led nowhere", name), "%s led to no copy and leads to %s now", t.link.PrivateLink(), name)
	return t.point(n)
}

// isGone reports whether nothing stands in the place of copy n.
func (t *target) isGone(n int) bool {
	_, err := t.link.Dir().Lstat(pool.CopyName(t.base(), n))
	return fsys.NotExist(err)
}

// spare is the number of a copy that the private link could lead to, 0 when there is none.
func (t *target) spare() int {
	if t.pool == nil || t.src == nil {
		return 0
	}
	for _, c := range t.pool.Owned() {
		if c.SHA256 == t.src.SHA256() && !t.suspect[c.Number] && !t.isGone(c.Number) {
			return c.Number
		}
	}
	return 0
}

// rest is done in each round in which path is as it should be or must be waited for.
func (t *target) rest(now time.Time, d decision, o observation) {
	if t.job != nil {
		t.superviseJob(o)
		t.status = api.Cloning
		if t.cfg.Publish == config.PublishNone && t.current == 0 {
			t.status = api.Bypassed
		}
		return
	}
	if d.state == api.Steady {
		t.reason = t.notice
		if t.reason == "" {
			t.reason = t.passedNotice()
		}
		if t.reason == "" {
			t.reason = t.deaf
		}
		t.retry.reset()
		t.dropPrevious(now, o)
		t.takeOver = false
	}
}

// soonest is the shortest of those that are not 0.
func (t *target) soonest(waits ...time.Duration) time.Duration {
	var least time.Duration
	for _, w := range waits {
		if w > 0 && (least == 0 || w < least) {
			least = w
		}
	}
	return least
}
