package watch

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/linker"
	"relinkd/pool"
	"relinkd/watch/install"
)

// The verbs of one target. Each runs on the loop; those that return a waiter are done when the target
// has settled.

// manage ends a release and lets Ensure take the target over, a hand-made pool too. Until that is sure to be
// possible the target is on trial: the operator's word that released it stands on the disk, and holds again if
// managing is refused, given up by who asked, or ended with the daemon.
func (t *target) manage() (*waiter, error) {
	w := t.wait()
	if t.released {
		bare := lacks(filepath.Join(t.dirPath(), linker.PrivateDir))
		w.undo = func() { t.unmanage(bare) }
		t.onTrial = true
	} else if t.onTrial {
		w.undo = func() { t.unmanage(false) }
	} else if !t.takeOver {
		w.undo = func() { t.takeOver = false }
	}
	t.released, t.takeOver, t.active = false, true, true
	t.happened(zerolog.InfoLevel, api.Event{Kind: api.EventManage, Reason: "by an operator's word", Message: t.cfg.Path + " is to be managed"})
	t.retry.reset()
	t.status = api.Starting
	t.wake()
	return w, nil
}

// confirm ends a trial: what an operator has asked for is done, or is about to be.
func (t *target) confirm() error {
	if !t.onTrial {
		return nil
	}
	if err := t.setReleased(false); err != nil {
		return err
	}
	t.onTrial = false
	return nil
}

// unmanage ends a trial with the target released, as it was, and removes the copies that were made meanwhile.
// bare says that nothing of ours stood there before.
func (t *target) unmanage(bare bool) {
	t.takeOver = false
	if !t.onTrial {
		return
	}
	t.cancelWork()
	t.onTrial, t.released = false, true
	if err := t.dropMade(bare); err != nil {
		t.wrong(zerolog.WarnLevel, advise(err), "what was made before managing was refused is left")
	}
	t.unload()
	t.retry.reset()
	t.becomeReleased()
}

// dropMade removes the copies, and what else of ours there is, of a target that was not published.
func (t *target) dropMade(bare bool) error {
	if t.link == nil || !bare {
		return nil
	}
	at, err := t.link.Look()
	if err != nil || at.Kind != linker.File || t.link.Private() == nil {
		return err
	}
	if t.pool == nil {
		return t.link.DropPrivate()
	}
	if _, err := t.dismantle(""); err != nil {
		return err
	}
	return t.forgetManifest()
}

// restore puts path back as it was without relinkd, takes everything of ours away, and makes the
// target released, so that no start takes it over again. With publish = "none" the private link
// stays, leading to path, until force says that nothing names it any more. A restore that fails leaves
// the target managed as it was; one that nobody waits for any more is not carried out.
func (t *target) restore(ctx context.Context, force bool) (*api.Report, error) {
	r := &api.Report{Target: t.name}
	was := t.released || t.onTrial
	t.cancelWork()
	err := t.undo(force, r, func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		// Ahead of the first change, so that a crash in the midst of it is not followed by taking over again.
		if err := t.setReleased(true); err != nil {
			return err
		}
		t.released = true
		return nil
	})
	if err != nil {
		if t.released && !was {
			err = errors.Join(err, t.setReleased(false))
		}
		t.released = t.released && was && !t.onTrial
		t.retry.reset()
		t.wake()
		return nil, fmt.Errorf("cannot restore %s: %w", t.cfg.Path, advised{err})
	}
	t.becomeReleased()
	t.gaveBack(r, "by an operator's word")
	t.onTrial = false
	for _, w := range t.waiters {
		w.done <- fmt.Errorf("%w: %s was restored meanwhile", api.ErrRefused, t.cfg.Path)
	}
	t.waiters = nil
	return r, nil
}

// gaveBack tells the log and the history of what undo did.
func (t *target) gaveBack(r *api.Report, why string) {
	t.happened(zerolog.InfoLevel, api.Event{Kind: api.EventRestore, Reason: why, Message: strings.Join(r.Done, "; ")})
	level := zerolog.WarnLevel
	if !t.active { // without a daemon the verb itself prints them
		level = zerolog.InfoLevel
	}
	for _, line := range r.Warnings {
		t.happened(level, api.Event{Kind: api.EventRestore, Reason: why, Message: line})
	}
}

// undo restores path and takes away what is ours. Whatever can refuse does so before begin, which is called
// ahead of the first change: after an error the target can be managed on. What cannot be removed when path
// is restored is no error: it is told of in r.
func (t *target) undo(force bool, r *api.Report, begin func() error) error {
	err := t.open()
	if errors.Is(err, errAbsent) {
		r.Done = append(r.Done, fmt.Sprintf("nothing is installed at %s", t.cfg.Path))
		return begin()
	}
	if err != nil {
		return err
	}
	managed, err := t.wasManaged()
	if err == nil && !managed && t.link.Private() != nil {
		if err = t.mend(r); err == nil {
			managed, err = t.wasManaged() // by a newer file that a crash had hidden
		}
	}
	if err != nil {
		return err
	}
	if !managed {
		if err := begin(); err != nil {
			return err
		}
		r.Done = append(r.Done, fmt.Sprintf("%s was not managed: nothing to restore", t.cfg.Path))
		if err := t.removeLeft(r); err != nil {
			return err
		}
		return t.clearRemnants(r)
	}
	if err := t.putPathBack(r, begin); err != nil {
		return err
	}
	return t.clearAway(force, r)
}

// putPathBack gives path back, as undo does. After an error path is as it was.
func (t *target) putPathBack(r *api.Report, begin func() error) error {
	made, err := t.prepareRestore(r)
	if err == nil {
		err = t.link.MayRestore()
	}
	if err == nil {
		err = begin()
	}
	var was linker.Standing
	if err == nil {
		was, err = t.link.Look()
	}
	var kept bool
	if err == nil {
		kept, err = t.link.Restore()
	}
	if err != nil {
		return errors.Join(err, made.undo())
	}
	if was.IsLauncher() {
		t.letLaunch(was.Info.ID)
	}
	at, err := t.link.Look()
	if err != nil {
		return err
	}
	what := "restored %s, the packaged file (inode %d)"
	switch {
	case kept:
		what = "kept what stands at %s (inode %d)"
	case made.of != "":
		what = "restored %s, a clone of " + made.of + " (inode %d)"
	}
	r.Done = append(r.Done, fmt.Sprintf(what, t.cfg.Path, at.Info.Ino))
	return nil
}

// wasManaged reports whether anything of ours stands at path or beside it.
func (t *target) wasManaged() (bool, error) {
	if err := t.load(); err != nil {
		return false, err
	}
	v, err := t.link.View()
	return v.Path.Kind == linker.Ours || v.Path.Kind == linker.Alias || t.remains(v), err
}

// clearAway removes the copies and, unless cyrus.conf may name it, the private link. What cannot be
// removed is told of: path is restored by now.
func (t *target) clearAway(force bool, r *api.Report) error {
	if err := t.link.MayRemove(""); err != nil {
		return err
	}
	generations, err := t.link.Generations()
	if err != nil {
		return err
	}
	before, told := len(t.pool.Owned()), len(r.Warnings)
	left, err := t.removeCopies()
	t.cannotRemove(err, r)
	failed := len(r.Warnings) > told
	if t.cfg.Publish == config.PublishNone && !force {
		r.Warnings = append(r.Warnings, fmt.Sprintf(
			"%s stays and leads to %s: a service whose program is missing stops Cyrus. Name %s in cyrus.conf again, restart Cyrus, then: relinkd restore %s --force",
			t.link.PrivateLink(), t.cfg.Path, t.cfg.Path, t.name))
		for _, g := range generations {
			r.Warnings = append(r.Warnings, fmt.Sprintf("the earlier generation %s stays as %s until then", api.ShortHash(g.SHA256), t.link.Private().Join(g.Name)))
		}
	} else {
		kept, err := t.link.Dismantle("")
		t.cannotRemove(err, r)
		left = append(left, kept...)
		if p := t.link.Private(); p != nil && err == nil && len(kept) == 0 && t.locks.alone(p) {
			left = append(left, "what is in "+p.Path())
		}
	}
	r.Done = append(r.Done, fmt.Sprintf("removed %d copies", before-len(t.pool.Owned())))
	if t.relinked > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf(
			"somebody linked %s to a copy %d times: end that cron job or script, for the copies it names are gone", t.cfg.Path, t.relinked))
	}
	if t.link.Private() == nil {
		for _, g := range generations {
			r.Done = append(r.Done, fmt.Sprintf("removed the earlier generation %s, of %s", api.ShortHash(g.SHA256), g.Info.ModTime().Format(time.DateOnly)))
		}
	}
	if failed { // by the manifest the next restore knows what is left
		t.tellLeft(left, r)
		t.unload()
		return nil
	}
	return t.restored(left, r)
}

// removeLeft removes the copies that an earlier restore could not, and of which the manifest tells.
func (t *target) removeLeft(r *api.Report) error {
	m, err := t.manifest()
	if err != nil || len(m.Copies) == 0 {
		return nil
	}
	p := pool.New(t.link.Dir(), nil, t.base())
	for _, n := range t.existing() {
		if info, err := t.link.Dir().Lstat(pool.CopyName(t.base(), n)); err == nil && info.SameContent(m.Copies[n]) {
			p.Own(pool.Copy{Number: n, Info: info})
		}
	}
	if len(p.Owned()) == 0 {
		return t.forgetManifest()
	}
	if err := t.link.MayRemove(""); err != nil {
		return err
	}
	removed := 0
	for _, c := range p.Owned() {
		err := p.Remove(c.Number)
		t.cannotRemove(err, r)
		if err == nil {
			removed++
		}
	}
	r.Done = append(r.Done, fmt.Sprintf("removed %d copies that were left", removed))
	if len(p.Owned()) > 0 {
		return nil
	}
	return t.forgetManifest()
}

// tellLeft tells of what is left on purpose.
func (t *target) tellLeft(left []string, r *api.Report) {
	for _, name := range left {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%s is left: relinkd did not make it", name))
	}
}

// cannotRemove tells of what could not be removed: nothing depends on it any more.
func (t *target) cannotRemove(err error, r *api.Report) {
	if err != nil {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%s: it is left", advise(err)))
	}
}

// clearRemnants removes what a crash has left in the private directory, and that with it, before anything
// was published or after everything was restored. mend must have run: it brings a newer file to light.
func (t *target) clearRemnants(r *api.Report) error {
	if t.link.Private() == nil {
		return nil
	}
	left, err := t.dismantle("")
	if err != nil {
		return err
	}
	return t.restored(left, r)
}

// restored ends a restore: nothing of ours stands there any more, and what is left is not ours.
func (t *target) restored(left []string, r *api.Report) error {
	t.tellLeft(left, r)
	t.unload()
	t.cannotRemove(t.forgetManifest(), r)
	return nil
}

// mend brings what a crash has left into a state that the rest of a restore knows.
func (t *target) mend(r *api.Report) error {
	if _, err := t.recover(); err != nil {
		return err
	}
	t.reload()
	if err := t.load(); err != nil {
		return err
	}
	m, err := t.manifest()
	if err != nil {
		m = &pool.Manifest{}
	}
	kept, err := t.pool.Clean(m)
	for _, name := range kept {
		r.Warnings = append(r.Warnings, keptFile(t.link.Private().Join(name)))
	}
	return err
}

// madePristine is the pristine that prepareRestore made where there was none.
type madePristine struct {
	of   string // what it is a clone of; "" where none was made
	undo func() error
}

// prepareRestore mends what a crash has left. Where a pristine is needed and there is none that is
// complete and as it was, one is cloned from a copy or, without one, from what was in force before.
func (t *target) prepareRestore(r *api.Report) (made madePristine, err error) {
	made.undo = func() error { return nil }
	if t.link.Private() == nil {
		if err := t.link.MakePrivate(); err != nil {
			return made, err
		}
		made.undo = t.link.DropPrivate
		t.reload()
	}
	if err := t.mend(r); err != nil {
		return made, err
	}
	err = t.link.MayRestore()
	if err == nil && !t.spoiled || err != nil && !errors.Is(err, linker.ErrNoPristine) {
		return made, err
	}
	if at, lerr := t.link.Look(); lerr != nil || at.Kind == linker.File {
		return made, lerr // it stays
	}
	src, of, unfit := t.standIn()
	if unfit != nil {
		return made, fmt.Errorf("what was in force is left in copies alone, and they are not fit to be put back: %w", unfit)
	}
	if src == nil && err == nil {
		r.Warnings = append(r.Warnings, "somebody has written to the packaged file, and no copy of what it was is left")
		return made, nil
	}
	if src == nil {
		return made, fmt.Errorf("neither the packaged file nor a copy of it is left (%v): install the package again", err)
	}
	defer src.Close()
	kept, err := t.link.SetAsidePristine()
	switch drop := made.undo; {
	case err == nil:
		made.undo = func() error { return errors.Join(t.link.PutBackPristine(kept), drop()) }
		r.Warnings = append(r.Warnings, fmt.Sprintf("%s was changed by somebody: it is kept as %s", t.link.PristineName(), t.link.Private().Join(kept)))
	case !fsys.NotExist(err):
		return made, err
	default:
		made.undo = func() error { return errors.Join(t.link.DropPristine(), drop()) }
	}
	if _, err := pool.CloneAs(context.Background(), src, t.link.Private(), t.link.PristineName()); err != nil {
		return made, err
	}
	made.of = of
	// Copies of it are ours, whatever else is known of them.
	if _, _, err := t.pool.Adopt(context.Background(), src, t.existing(), &pool.Manifest{}); err != nil {
		return made, err
	}
	r.Warnings = append(r.Warnings, fmt.Sprintf("the packaged file was gone: its clone, of %s, has a new inode, and the package manager may say so", of))
	return made, nil
}

// standIn returns what can stand in for a pristine that is gone: a copy, best the one that processes execute; else what
// was in force before. nil when there is nothing. Close it. Where copies have what is in force, and others have changed
// them so that none can stand in, nothing else does: unfit tells why.
func (t *target) standIn() (src *pool.Source, of string, unfit error) {
	m, err := t.manifest()
	if err != nil {
		m = &pool.Manifest{}
	}
	numbers := t.existing()
	if n, err := t.link.Current(); err == nil && n != 0 {
		numbers = append([]int{n}, numbers...)
	}
	dir, private := t.link.Dir(), t.link.Private()
	for _, sure := range []bool{true, false} { // first those that are known to be copies
		for i, n := range numbers {
			name := pool.CopyName(t.base(), n)
			src, err := t.completeSource(dir, name)
			switch {
			case err != nil:
			case !sure, i == 0 && len(numbers) > len(t.existing()), m.SHA256 != "" && src.SHA256() == m.SHA256, t.src != nil && src.SHA256() == t.src.SHA256():
				return src, name, nil
			default:
				src.Close()
			}
		}
		if n := t.knownCopy(m); sure && n != 0 { // it would have been found above, were it fit
			name := pool.CopyName(t.base(), n)
			src, err := t.completeSource(dir, name)
			return src, name, err
		}
	}
	names := []string{t.link.PreviousName()}
	if generations, err := t.link.Generations(); err == nil {
		for _, g := range generations {
			names = append(names, g.Name)
		}
	}
	for _, name := range names {
		if src, err := t.completeSource(private, name); err == nil {
			return src, name, nil
		}
	}
	return nil, "", nil
}

// completeSource reads a file that can be a source. The error says why it cannot.
func (t *target) completeSource(dir *fsys.Dir, name string) (*pool.Source, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	err = install.Complete(f, t.dirPath())
	if err == nil {
		var src *pool.Source
		if src, err = pool.ReadSource(context.Background(), f); err == nil {
			return src, nil
		}
	}
	f.Close()
	return nil, err
}

// rotateBy moves the private link by an operator's word: to copy number to, or with 0 to the least
// loaded other copy.
func (t *target) rotateBy(to int) (*api.Report, error) {
	if t.released || t.current == 0 || t.src == nil {
		return nil, fmt.Errorf("%w: %s has no copies in force (%s%s)", api.ErrRefused, t.name, t.status, because(t.reason))
	}
	loads := t.loads(t.follower.Counts())
	found := false
	if to == 0 {
		to, found = pool.Least(loads, t.current)
	} else {
		for _, l := range loads {
			found = found || l.Number == to
		}
	}
	switch {
	case !found && to == 0:
		return nil, fmt.Errorf("%w: %s has no other copy", api.ErrRefused, t.name)
	case !found:
		return nil, fmt.Errorf("%w: %s has no copy number %d: it has 1 to %d", api.ErrRefused, t.name, to, t.wanted)
	case to == t.current:
		return nil, fmt.Errorf("%w: %s leads to %s already", api.ErrRefused, t.link.PrivateLink(), pool.CopyName(t.base(), to))
	}
	from := pool.CopyName(t.base(), t.current)
	if err := t.rotate(to, reasonOperator); err != nil {
		return nil, errors.New(advise(err))
	}
	return &api.Report{Target: t.name, Done: []string{fmt.Sprintf("rotated from %s to %s", from, pool.CopyName(t.base(), to))}}, nil
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// reclone makes all copies again from the source in force.
func (t *target) reclone() (*waiter, error) {
	if t.released || t.src == nil {
		return nil, fmt.Errorf("%w: %s has no source in force (%s%s)", api.ErrRefused, t.name, t.status, because(t.reason))
	}
	t.remake = true
	t.retry.reset()
	t.status = api.Cloning
	w := t.wait()
	w.undo = func() { // what stands is as good as before
		t.cancelWork()
		t.remake = false
		t.retry.reset()
		t.wake()
	}
	t.wake()
	return w, nil
}
