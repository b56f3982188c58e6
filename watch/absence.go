package watch

import (
	"errors"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"relinkd/api"
	"relinkd/fsys"
	"relinkd/linker"
	"relinkd/pool"
)

// removalWatch is for how long after an absence the package managers are asked whether it was a
// removal: dpkg writes down what it removed only some time after removing it.
const removalWatch = time.Minute

// removed is the package managers' word that they took path away, "" for none. That it cannot be
// told is logged once and counts as none: a link too many harms nobody.
func (t *target) removed() string {
	reason, err := t.install.Removed()
	if err != nil && t.lastErr != t.name+": "+err.Error() {
		t.wrong(zerolog.WarnLevel, err.Error(), "it cannot be told whether the package was removed")
	}
	return reason
}

// putBack makes path exist again: five failed spawns and Cyrus gives its service up.
func (t *target) putBack(observation) error {
	since, _ := t.install.AbsentSince()
	t.newLink()
	t.removalUntil = time.Now().Add(removalWatch) // also if what follows is done in part only
	if err := t.link.PutBack(); err != nil {
		return err
	}
	t.notice = "path was removed by somebody and put back at " + time.Now().Format(time.RFC3339)
	gone := repair("path was gone", "")
	gone.Seconds = time.Since(since).Seconds()
	t.warn(gone, "%s was gone for %s and is put back; to stop relinkd from that: relinkd restore %s", t.cfg.Path, time.Since(since).Round(time.Millisecond), t.name)
	return t.save()
}

// newLink writes down that the link at path is about to be another one than the manifest names, lest
// a crash before the next save make it look like the unwinding of an upgrade. It is not worth leaving
// path as it is when that fails.
func (t *target) newLink() {
	t.link.SetPut(fsys.ID{})
	t.saveOrWarn()
}

// standDown takes away everything of ours after the package was removed, of which removed is the package
// manager's word, or where there is nothing but remnants. It is managed again when it comes back.
func (t *target) standDown(reason, removed string) error {
	if t.link.Private() == nil {
		return nil
	}
	if err := t.link.MayRemove(removed); err != nil {
		return err
	}
	if err := t.link.Withdraw(); err != nil {
		return err
	}
	left, err := t.dismantle(removed)
	if err != nil {
		return err
	}
	t.removalUntil = time.Time{}
	t.notice = ""
	t.did(api.Event{Kind: api.EventRestore, Reason: reason}, "stood down: %s", reason)
	for _, name := range left {
		t.warn(api.Event{Kind: api.EventRestore}, "%s is left, for it is not relinkd's to remove", name)
	}
	t.unload()
	return t.forgetManifest()
}

// dismantle removes the copies and what is kept in the private directory, then forgets them: if the program
// survives that, or removed is a package manager's word that it took it away.
func (t *target) dismantle(removed string) (left []string, err error) {
	if err := t.link.MayRemove(removed); err != nil {
		return nil, err
	}
	if left, err = t.removeCopies(); err != nil {
		return left, err
	}
	kept, err := t.link.Dismantle(removed)
	if err != nil {
		t.unload() // the private directory may be gone already: look again
	}
	return append(left, kept...), err
}

// removeCopies removes the copies; left is what stands in their places and is not ours.
func (t *target) removeCopies() (left []string, err error) {
	var failed []error
	for _, c := range t.pool.Owned() {
		err := t.pool.Remove(c.Number)
		if foreign := (*pool.ForeignError)(nil); errors.As(err, &foreign) {
			left = append(left, foreign.Path)
		} else if err != nil {
			failed = append(failed, err)
		}
	}
	for _, n := range t.existing() { // which somebody has put there, over a copy of ours perhaps
		if name := t.link.Dir().Join(pool.CopyName(t.base(), n)); !t.isOwned(n) && !slices.Contains(left, name) {
			left = append(left, name)
		}
	}
	return left, errors.Join(failed...)
}

// reclaim takes path back from somebody who linked it to a copy by hand: a cron job of old, mostly.
func (t *target) reclaim(o observation) error {
	t.relinked++
	t.newLink()
	if err := t.link.Reclaim(o.view.Path); err != nil {
		return err
	}
	t.notice = relinkedNotice(t.relinked, o.view.Path.Text, time.Now())
	t.warn(repair("path was linked elsewhere", ""), "%s", t.notice)
	t.remember(t.notice)
	return t.save()
}

// unwound reports whether the package manager has taken its upgrade back: what it says, by its backup of
// our link, which was there when the present pristine was published and is at path now. Any other link
// of ours that we did not put there is as good as the one that we did: a restored backup, a copied tree.
// Neither source is given up for it.
func (t *target) unwound(v linker.View) bool {
	if v.Path.Kind != linker.Ours || t.link.Unwound(v.Path) {
		return v.Path.Kind == linker.Ours
	}
	t.link.ForgetBackup()
	t.link.SetPut(v.Path.Info.ID)
	return false
}

// unwind follows the package manager back to the source before an upgrade that failed.
func (t *target) unwind(o observation) error {
	if err := t.link.Unwind(); err != nil {
		return err
	}
	t.link.SetPut(o.view.Path.Info.ID)
	t.reload() // the source in force is another one
	t.did(api.Event{Kind: api.EventUpgrade, Reason: "taken back"}, "the package manager took its upgrade back: the source before it is in force again")
	return nil
}

// dropPrevious makes the source before an upgrade an earlier generation when it can no longer be taken
// back: when the package managers' locks have been free for a census.
func (t *target) dropPrevious(now time.Time, o observation) {
	if o.view.Previous.Kind == linker.Nothing {
		t.locksFree = time.Time{}
		return
	}
	holder, err := t.install.Locked()
	if err != nil || holder != "" {
		t.locksFree = time.Time{}
		return
	}
	if t.locksFree.IsZero() {
		t.locksFree = now
	}
	if counts := t.follower.Counts(); !counts.Fresh || !counts.At.After(t.locksFree) {
		return
	}
	if err := t.link.KeepPrevious(); err != nil {
		t.wrong(zerolog.WarnLevel, err.Error(), "the source before the upgrade stays")
	}
	t.prune()
}
