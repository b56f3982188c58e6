package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/linker"
	"relinkd/pool"
	"relinkd/watch/install"
	"relinkd/watch/proctable"
)

// balance checks the copies and then acts on the counts of processes. It returns when it wants to be
// run again, 0 for when counts change.
func (t *target) balance(now time.Time) time.Duration {
	if t.pool == nil {
		return 0
	}
	t.atRest = true
	t.follower.Set(t.executables())
	t.lookForRoom(now)
	t.checkCopies(now)
	return t.steer(now)
}

// steer acts on the counts of processes alone: it moves the private link when the policy asks for it,
// grows the pool, and removes what no process runs any more. It returns as balance does.
func (t *target) steer(now time.Time) time.Duration {
	counts := t.follower.Counts()
	loads := slices.DeleteFunc(t.loads(counts), func(l pool.Load) bool { return !counts.Known(t.owned(l.Number).Info.ID) })
	for _, l := range loads {
		t.peak = max(t.peak, counts.Peak(t.owned(l.Number).Info.ID))
	}
	switch {
	case t.current == 0:
		t.breaks("new processes run no copy", now)
		return 0
	case t.src == nil, len(loads) == 0, t.isBlind(counts):
		t.breaks("the processes on the copies are not counted yet", now)
		return 0
	}
	t.forget(counts)
	p := t.policy()
	v := t.view(loads, now)
	d := pool.Choose(p, v)
	var again time.Duration
	if d.Action != pool.Rotate {
		t.freed()
	} else if again = t.follow(d, now); again == 0 {
		v.Current, v.SinceRotation = t.current, now.Sub(t.rotatedAt)
		after := pool.Choose(p, v)
		d.Next, d.Most = after.Next, after.Most
	}
	if len(d.Grow) > 0 {
		t.grow(context.Background(), d.Grow)
	}
	t.mark = d.Mark
	t.saturate(d.Saturated)
	t.judge(d, now)
	t.follower.Mark(t.owned(t.current).Info.ID, d.Next, d.Most)
	switch {
	case again > 0:
		return again
	case p.Rotation == pool.RotationInterval:
		return max(time.Millisecond, p.Interval-now.Sub(t.rotatedAt))
	}
	t.askCensus(counts)
	return max(0, t.growth.retry.until.Sub(now))
}

// stuck is a private link that cannot be moved although it should be: why, and when to try again.
type stuck struct {
	backoff
	reason string
}

// follow moves the private link as the policy asks. Where that fails the target is degraded, and it
// returns after how long to try again, however many processes begin meanwhile.
func (t *target) follow(d pool.Decision, now time.Time) (again time.Duration) {
	if !now.Before(t.stuck.until) {
		err := t.rotate(d.To, d.Reason)
		if err == nil {
			t.freed()
			return 0
		}
		t.stuck.reason = fmt.Sprintf("the private link cannot be moved: %s", advise(err))
		t.wrong(zerolog.ErrorLevel, t.stuck.reason, fmt.Sprintf("stuck, to be tried again in %s", t.stuck.next(now)))
	}
	if t.status == api.Steady {
		t.status, t.reason = api.Degraded, t.stuck.reason
	}
	return t.stuck.until.Sub(now)
}

// freed ends what follow began.
func (t *target) freed() {
	if t.stuck.reason != "" {
		t.stuck = stuck{}
		t.wake() // to tell where the target is now
	}
}

// isBlind reports whether it is not known how many processes run the copy that the private link leads to. A
// census is on its way then.
func (t *target) isBlind(counts proctable.Counts) bool {
	return t.isOwned(t.current) && !counts.Known(t.owned(t.current).Info.ID)
}

// view is what the policy decides on. While a new file at path is cloned processes run that, and no copy.
func (t *target) view(loads []pool.Load, now time.Time) pool.View {
	surge, known := t.follower.Surge()
	return pool.View{
		Loads:         loads,
		Current:       t.current,
		Latency:       t.follower.Latency(),
		Rate:          t.follower.Rate(),
		Surge:         surge,
		RateUnknown:   !known,
		SinceRotation: now.Sub(t.rotatedAt),
		GrowthTime:    t.growth.takes(now),
		NoGrowth:      t.growing != nil || t.job != nil && t.job.origin == fromPath || now.Before(t.growth.retry.until),
		CannotGrow:    t.growth.hindered(now) != "",
	}
}

// policy is the configuration in the pool's words.
func (t *target) policy() pool.Policy {
	return pool.Policy{
		Threshold: t.cfg.Threshold,
		RotateAt:  t.cfg.RotateAt,
		MaxCopies: t.cfg.MaxCopies,
		MinDwell:  t.cfg.MinDwell,
		Rotation:  pool.Rotation(t.cfg.Rotation),
		Interval:  t.cfg.Interval,
	}
}

// loads is the processes on each copy that the private link may lead to, in copy order.
func (t *target) loads(counts proctable.Counts) []pool.Load {
	if t.src == nil {
		return nil
	}
	var loads []pool.Load
	for _, c := range t.pool.Owned() {
		if t.isMember(c.Number) && c.SHA256 == t.src.SHA256() && !t.suspect[c.Number] {
			loads = append(loads, pool.Load{Number: c.Number, Processes: counts.Of(c.Info.ID)})
		}
	}
	return loads
}

// executables is everything whose processes are counted.
func (t *target) executables() []fsys.ID {
	t.sources = t.findSources()
	ids := slices.Clone(t.sources)
	for _, c := range t.pool.Owned() {
		ids = append(ids, c.Info.ID)
		delete(t.stale, c.Info.ID) // the number of a removed inode is given out again
	}
	for _, j := range t.jobs() {
		for _, c := range j.staged { // they get their names any moment
			ids = append(ids, c.Info.ID)
		}
	}
	for id := range t.stale {
		ids = append(ids, id)
	}
	return ids
}

// findSources is the executables behind the copies: the source in force and what stands at path.
func (t *target) findSources() []fsys.ID {
	var ids []fsys.ID
	if t.src != nil {
		ids = append(ids, t.src.Info().ID)
	}
	if at, err := t.link.Look(); err == nil && at.Kind == linker.File && !slices.Contains(ids, at.Info.ID) {
		ids = append(ids, at.Info.ID)
	}
	return ids
}

// rotate moves the private link and counts why.
func (t *target) rotate(to int, why pool.Reason) error {
	from, began := t.current, time.Now()
	if err := t.point(to); err != nil {
		return err
	}
	t.measures.Rotation.Observe(t.rotatedAt.Sub(began))
	switch why {
	case pool.ReasonInterval:
		t.rotations.Interval++
	case pool.ReasonSaturated:
		t.rotations.Saturated++
	case reasonOperator:
		t.rotations.Operator++
	default:
		t.rotations.Threshold++
	}
	took := t.rotatedAt.Sub(began)
	line := t.log.Debug() // of each; others are told as rotated decides
	if line.Enabled() {
		line = line.Str("from", pool.CopyName(t.base(), from)).Str("to", pool.CopyName(t.base(), to)).Str("reason", string(why))
	}
	if after, known := t.follower.Acted(); known {
		t.measures.RotationLatency.Observe(after)
		line, took = line.Dur("event_to_link", after), after
	}
	line.Msg("rotated")
	t.rotated(from, to, why, took)
	return nil
}

// reasonOperator is a rotation by hand.
const reasonOperator pool.Reason = "operator"

// saturate warns once when the pool becomes saturated.
func (t *target) saturate(is bool) {
	if is && !t.saturated && time.Since(t.saturatedAt) > time.Minute { // it may come and go
		t.saturatedAt = time.Now()
		if why := t.growth.hindered(t.saturatedAt); why != "" && t.wanted < t.cfg.MaxCopies {
			t.warn(api.Event{Kind: api.EventState, Reason: "saturated"}, "all %d copies are at the mark of %d processes and no more can be made: %s", t.wanted, t.mark, why)
		} else {
			t.warn(api.Event{Kind: api.EventState, Reason: "saturated"}, "all %d copies are at the mark of %d processes and max_copies is %d: raise max_copies or threshold", t.wanted, t.mark, t.cfg.MaxCopies)
		}
	}
	t.saturated = is
}

// askCensus asks for the next census by half the time to the mark at the measured rate.
func (t *target) askCensus(counts proctable.Counts) {
	rate := t.follower.Rate()
	if rate <= 0 {
		return
	}
	room := t.mark - counts.Of(t.owned(t.current).Info.ID)
	seconds := min(float64(room)/rate/2, time.Hour.Seconds())
	t.follower.Due(time.Duration(seconds * float64(time.Second)))
}

// execGrace is how long after the link has left a copy a process may still be about to execute it: it
// has looked its path up and has not been let on by the scheduler or the disk.
const execGrace = time.Second

// forget lets go of what no process runs: replaced executables, and copies beyond the pool or of an
// older generation. The counts that say so are of a time when no process could begin to any more.
func (t *target) forget(counts proctable.Counts) {
	changed := false
	for id, since := range t.stale {
		if counts.Known(id) && counts.Of(id) == 0 && counts.At.After(since.Add(execGrace)) {
			delete(t.stale, id)
			changed = true
		}
	}
	for _, c := range t.pool.Owned() {
		if _, passed := t.blocked[c.Number]; passed || t.isMember(c.Number) || c.Number == t.current || t.isMaking() || counts.Of(c.Info.ID) > 0 || !counts.Known(c.Info.ID) ||
			!counts.At.After(t.left[c.Number].Add(execGrace)) {
			continue
		}
		err := t.link.MayRemoveCopy()
		if err == nil {
			err = t.pool.Remove(c.Number)
		}
		if errors.Is(err, unix.EPERM) { // for as long as somebody has locked it
			t.block(c.Number, err)
			continue
		}
		if err != nil {
			t.wrong(zerolog.WarnLevel, err.Error(), "a copy that is no longer wanted stays")
			continue
		}
		name := pool.CopyName(t.base(), c.Number)
		t.did(api.Event{Kind: api.EventGrowth, Reason: "no longer wanted", From: name}, "removed %s, which no process runs any more", name)
		changed = true
	}
	if changed {
		t.saveOrWarn()
	}
}

// checkCopies compares every copy with what is known of it: those that something happened to, or all
// of them once in a while.
func (t *target) checkCopies(now time.Time) {
	names, all := t.install.TakeTouched()
	if t.src == nil || t.job != nil && t.job.origin != fromPristine {
		t.touched = t.touched || all || len(names) > 0
		return
	}
	all = all || t.touched || now.Sub(t.lastCheck) >= time.Second
	if all {
		t.touched, t.lastCheck = false, now
	}
	if all || len(names) > 0 {
		t.unblock()
	}
	for _, c := range t.pool.Owned() {
		if c.SHA256 != t.src.SHA256() {
			continue // of another generation, by a crash: it is made again, and kept then if it was changed
		}
		if t.isMember(c.Number) && (all || slices.Contains(names, pool.CopyName(t.base(), c.Number))) {
			t.checkCopy(c)
		}
	}
	if t.job != nil { // those that it makes anew are looked at when it is over
		t.touched = all || len(names) > 0
	}
	t.resolve()
	t.verifyDue(now)
}

// checkCopy finds out whether copy c was changed since relinkd last touched it.
func (t *target) checkCopy(c pool.Copy) {
	name := pool.CopyName(t.base(), c.Number)
	info, err := t.link.Dir().Lstat(name)
	switch {
	case err == nil && info == c.Info, t.suspect[c.Number]:
		return
	case err == nil && info.SameContent(c.Info) && info.Mode == c.Info.Mode && info.UID == c.Info.UID && info.GID == c.Info.GID:
		// A hard link was made or removed, or an attribute set, or somebody has changed the content and
		// put the time back: only a look at the content tells.
		if c.Number == t.current && t.xattrsSet(name) && t.attributesForAll(c, info) {
			t.doubted[c.Number] = true // its content may have been changed as well
			return
		}
		c.Info = info
		t.pool.Own(c)
		t.doubted[c.Number] = true
		return
	case err == nil && info.SameContent(c.Info) && c.Number == t.current && t.attributesForAll(c, info):
		return
	}
	delete(t.doubted, c.Number)
	switch {
	case fsys.NotExist(err):
		t.warn(repair("gone", name), "%s is gone: it is cloned again", name)
	case err != nil:
		t.warn(repair("cannot be looked at", name), "%s: %v: it is cloned again", name, err)
	case info.ID != c.Info.ID:
		t.warn(repair("replaced", name), "%s was replaced by a file that relinkd did not make", name)
	case !info.SameContent(c.Info):
		t.warn(repair("changed in place", name), "%s was changed in place: it is kept as %s/%s.drifted and cloned again; if it was meant as an upgrade: relinkd adopt %s FILE", name, t.link.Private().Path(), name, t.name)
		t.forgetContent(c)
	default:
		t.warn(repair("mode or owner changed", name), "mode or owner of %s was changed: it is cloned again", name)
	}
	t.distrust(c.Number)
}

// forgetContent notes that somebody has written to copy c, so that the file is kept when it is replaced
// even if it looks by then as it did before.
func (t *target) forgetContent(c pool.Copy) {
	c.Info = fsys.Info{ID: c.Info.ID}
	t.pool.Own(c)
}

// distrust takes copy n out of the pool until it is cloned again. The private link leaves it at once.
func (t *target) distrust(n int) {
	t.suspect[n] = true
	t.wake() // to have it made again
	if n == t.current {
		t.leave(n)
	}
}

// leave moves the private link away from a copy that cannot be trusted.
func (t *target) leave(n int) {
	if to, found := pool.Least(t.loads(t.follower.Counts()), n); found && t.point(to) == nil {
		return
	}
	t.wrong(zerolog.ErrorLevel, "there is no other copy to move the link to", pool.CopyName(t.base(), n)+" stays linked")
}

// attributesForAll applies a change of mode or owner of the linked copy (dpkg-statoverride, a chmod
// through path) to the pristine and to all copies, for which it was meant.
func (t *target) attributesForAll(c pool.Copy, info fsys.Info) bool {
	if t.cfg.Publish != config.PublishSymlink {
		return false // path is a file of its own there: a change of it shows at path itself
	}
	f, err := t.link.Dir().Open(pool.CopyName(t.base(), c.Number))
	if err != nil {
		return false
	}
	defer f.Close()
	c.Info = info
	t.pool.Own(c)
	refused, err := t.applyToAll(info, f, pool.CopyName(t.base(), c.Number))
	if err != nil {
		t.failed(err)
	}
	return err == nil && !refused
}

// applyToAll gives the pristine and all copies the mode and the owner of info and the extended attributes of
// from save those named in keep, which were set on the file name and are meant for all. Where that must not be
// it is refused, with a warning.
func (t *target) applyToAll(info fsys.Info, from *os.File, name string, keep ...string) (refused bool, err error) {
	if err := install.CheckAttributes(name, info); err != nil {
		t.warn(repair("mode or owner set", ""), "what was set on %s through path is not applied to all copies: %v", name, err)
		return true, nil
	}
	if pristine, err := t.link.Private().Lstat(t.link.PristineName()); err != nil || !pristine.SameContent(t.src.Info()) || pristine.Nlink > 1 {
		t.warn(repair("mode or owner set", ""), "what was set on %s through path is not applied to all copies: the pristine is not their source, or has further names that would change with it", name)
		return true, nil
	}
	src, err := t.setPristine(info, from, keep)
	if err == nil {
		err = t.pool.SetAttrs(context.Background(), src)
	}
	if err != nil {
		return false, err
	}
	t.drop(t.src)
	t.src = src
	t.did(repair("mode or owner set", ""), "mode %04o, owner %d:%d or attributes were set on %s: applied to the pristine and all copies", info.Perm(), info.UID, info.GID, name)
	return false, t.save()
}

// setPristine gives the pristine the mode and owner of info and the extended attributes of from save those
// named in keep, and returns it as the source.
func (t *target) setPristine(info fsys.Info, from *os.File, keep []string) (*pool.Source, error) {
	f, err := t.link.SetPristine(info, from, keep...)
	if err != nil {
		return nil, err
	}
	f.Close()
	return t.openKnown(t.src.Info(), t.src.SHA256())
}
