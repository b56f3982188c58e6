package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"relinkd/config"
	"relinkd/linker"
	"relinkd/pool"
	"relinkd/watch/install"
)

// The verbs of one target. Each runs on the loop; those that return a waiter are done when the target
// has settled.

// manage ends a release and lets Ensure take the target over, a hand-made pool too.
func (t *target) manage() (*waiter, error) {
	if err := t.setReleased(false); err != nil {
		return nil, err
	}
	t.released, t.takeOver, t.active = false, true, true
	t.happened(zerolog.InfoLevel, Event{Kind: EventManage, Reason: "by an operator's word", Message: t.cfg.Path + " is to be managed"})
	t.retry.reset()
	t.status = Starting
	w := t.wait()
	t.wake()
	return w, nil
}

// restore puts path back as it was without relinkd, takes everything of ours away, and makes the
// target released, so that no start takes it over again. With publish = "none" the private link
// stays, leading to path, until force says that nothing names it any more.
func (t *target) restore(force bool) (*Report, error) {
	r := &Report{Target: t.name}
	// First of all, so that a crash in the midst of it is not followed by taking over again.
	if err := t.setReleased(true); err != nil {
		return nil, err
	}
	t.released = true
	t.cancelWork()
	t.becomeReleased()
	if err := t.undo(force, r); err != nil {
		return nil, fmt.Errorf("cannot restore %s: %w", t.cfg.Path, err)
	}
	t.gaveBack(r, "by an operator's word")
	return r, nil
}

// gaveBack tells the log and the history of what undo did.
func (t *target) gaveBack(r *Report, why string) {
	t.happened(zerolog.InfoLevel, Event{Kind: EventRestore, Reason: why, Message: strings.Join(r.Done, "; ")})
	level := zerolog.WarnLevel
	if !t.active { // without a daemon the verb itself prints them
		level = zerolog.InfoLevel
	}
	for _, line := range r.Warnings {
		t.happened(level, Event{Kind: EventRestore, Reason: why, Message: line})
	}
}

func (t *target) undo(force bool, r *Report) error {
	err := t.open()
	if errors.Is(err, errAbsent) {
		r.Done = append(r.Done, fmt.Sprintf("nothing is installed at %s", t.cfg.Path))
		return nil
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
		r.Done = append(r.Done, fmt.Sprintf("%s was not managed: nothing to restore", t.cfg.Path))
		return t.clearRemnants(r)
	}
	cloned, err := t.prepareRestore(r)
	if err != nil {
		return err
	}
	was, err := t.link.Look()
	if err != nil {
		return err
	}
	kept, err := t.link.Restore()
	if err != nil {
		return err
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
	case cloned:
		what = "restored %s, a clone of the packaged file (inode %d)"
	}
	r.Done = append(r.Done, fmt.Sprintf(what, t.cfg.Path, at.Info.Ino))
	return t.clearAway(force, r)
}

// wasManaged reports whether anything of ours stands at path or beside it.
func (t *target) wasManaged() (bool, error) {
	if err := t.load(); err != nil {
		return false, err
	}
	v, err := t.link.View()
	return v.Path.Kind == linker.Ours || t.remains(v), err
}

// clearAway removes the copies and, unless cyrus.conf may name it, the private link.
func (t *target) clearAway(force bool, r *Report) error {
	before := len(t.pool.Owned())
	var left []string
	var err error
	if t.cfg.Publish == config.PublishNone && !force {
		left, err = t.removeCopies()
		r.Warnings = append(r.Warnings, fmt.Sprintf(
			"%s stays and leads to %s: a service whose program is missing stops Cyrus. Name %s in cyrus.conf again, restart Cyrus, then: relinkd restore %s --force",
			t.link.PrivateLink(), t.cfg.Path, t.cfg.Path, t.name))
	} else {
		left, err = t.dismantle()
	}
	if err != nil {
		return err
	}
	r.Done = append(r.Done, fmt.Sprintf("removed %d copies", before-len(t.pool.Owned())))
	if t.relinked > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf(
			"somebody linked %s to a copy %d times: end that cron job or script, for the copies it names are gone", t.cfg.Path, t.relinked))
	}
	return t.restored(left, r)
}

// clearRemnants removes what a crash has left in the private directory, and that with it, before anything
// was published or after everything was restored. mend must have run: it brings a newer file to light.
func (t *target) clearRemnants(r *Report) error {
	if t.link.Private() == nil {
		return nil
	}
	left, err := t.dismantle()
	if err != nil {
		return err
	}
	return t.restored(left, r)
}

// restored ends a restore: nothing of ours stands there any more, and what is left is not ours.
func (t *target) restored(left []string, r *Report) error {
	for _, name := range left {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%s is left: relinkd did not make it", name))
	}
	t.unload()
	return t.forgetManifest()
}

// mend brings what a crash has left into a state that the rest of a restore knows.
func (t *target) mend(r *Report) error {
	if _, err := t.link.Recover(t.isCopy); err != nil {
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

// prepareRestore mends what a crash has left. Where a pristine is needed and gone, it is cloned from a
// copy.
func (t *target) prepareRestore(r *Report) (cloned bool, err error) {
	if err := t.link.MakePrivate(); err != nil {
		return false, err
	}
	if err := t.mend(r); err != nil {
		return false, err
	}
	v, err := t.link.View()
	if err != nil {
		return false, err
	}
	needed := v.Path.Kind == linker.Ours || v.Path.Kind == linker.PoolLink ||
		v.Path.Kind == linker.Nothing && v.Publish.Kind != linker.File // a newer file that a crash has hidden comes to path
	if !needed || v.Pristine.Kind == linker.File {
		return false, nil
	}
	if t.src == nil {
		return false, errors.New("neither the packaged file nor a copy of it is left: install the package again")
	}
	r.Warnings = append(r.Warnings, "the packaged file was gone: its clone has a new inode, and the package manager may say so")
	return true, pool.CloneAs(context.Background(), t.src, t.link.Private(), t.link.PristineName())
}

// rotateBy moves the private link by an operator's word: to copy number to, or with 0 to the least
// loaded other copy.
func (t *target) rotateBy(to int) (*Report, error) {
	if t.released || t.current == 0 || t.src == nil {
		return nil, fmt.Errorf("%w: %s has no copies in force (%s%s)", ErrRefused, t.name, t.status, because(t.reason))
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
		return nil, fmt.Errorf("%w: %s has no other copy", ErrRefused, t.name)
	case !found:
		return nil, fmt.Errorf("%w: %s has no copy number %d: it has 1 to %d", ErrRefused, t.name, to, t.wanted)
	case to == t.current:
		return nil, fmt.Errorf("%w: %s leads to %s already", ErrRefused, t.link.PrivateLink(), pool.CopyName(t.base(), to))
	}
	from := pool.CopyName(t.base(), t.current)
	if err := t.rotate(to, reasonOperator); err != nil {
		return nil, errors.New(advise(err))
	}
	return &Report{Target: t.name, Done: []string{fmt.Sprintf("rotated from %s to %s", from, pool.CopyName(t.base(), to))}}, nil
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
		return nil, fmt.Errorf("%w: %s has no source in force (%s%s)", ErrRefused, t.name, t.status, because(t.reason))
	}
	t.remake = true
	t.retry.reset()
	t.status = Cloning
	w := t.wait()
	t.wake()
	return w, nil
}

// adopt puts file at path as if it had been installed there, with the owner and the mode of the
// source in force; Ensure then treats it as the new source that it is.
func (t *target) adopt(ctx context.Context, file string) (*waiter, error) {
	if t.cfg.Publish == config.PublishNone {
		return nil, fmt.Errorf(`%w: with publish = "none" path is not relinkd's to change: install %s at %s`, ErrRefused, file, t.cfg.Path)
	}
	if t.released || t.src == nil {
		return nil, fmt.Errorf("%w: %s has no source in force (%s%s)", ErrRefused, t.name, t.status, because(t.reason))
	}
	t.cancelWork()
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0) // opening a fifo would wait for a writer
	if err != nil {
		return nil, fmt.Errorf("%w: cannot adopt: %v", ErrRefused, err)
	}
	src, err := pool.ReadSource(ctx, f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%w: cannot adopt %s: %v", ErrRefused, file, err)
	}
	defer src.Close()
	w := t.wait()
	err = t.link.Insert(t.src.Info(),
		func(name string) error { return pool.CloneAs(ctx, src, t.link.Private(), name) },
		func(f *os.File) error {
			if err := install.Complete(f, t.dirPath()); err != nil {
				return fmt.Errorf("%w: cannot adopt %s: %v", ErrRefused, file, err)
			}
			return nil
		})
	if err != nil {
		t.unwait(w)
		return nil, err
	}
	t.did(Event{Kind: EventManage, Reason: "adopted"}, "put %s at %s", file, t.cfg.Path)
	t.retry.reset()
	t.status = Cloning
	t.wake()
	return w, nil
}
