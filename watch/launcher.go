package watch

import (
	"time"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/linker"
)

// form is what path is to become, where it is to become ours.
func (t *target) form() linker.Form {
	if t.cfg.Publish == config.PublishLauncher {
		return linker.Launcher
	}
	return linker.Symlink
}

// refit puts what publish asks for at path, in place of one of ours that is something else.
func (t *target) refit(o observation) error {
	t.newLink()
	if err := t.link.Reclaim(o.view.Path); err != nil {
		return err
	}
	t.did(api.Event{Kind: api.EventManage, Reason: "published anew"}, "%s is a %s to %s now", t.cfg.Path, t.form(), t.link.PrivateLink())
	return t.save()
}

// access gives all copies the mode and the owner that somebody has set on our launcher, for that is whom
// it was meant for. What is refused is taken back, and set-id bits are kept from the launcher itself: by
// another launcher.
func (t *target) access(o observation) error {
	at := o.view.Path
	f, err := t.link.Dir().Open(t.base())
	if err != nil {
		return err
	}
	defer f.Close()
	if refused, err := t.applyToAll(at.Info, f, t.base(), ownOfLauncher...); err != nil || !refused && at.SameAccess(t.src.Info()) {
		return err
	}
	return t.refit(o)
}

// renewLauncher makes the launcher anew where all copies were: Cyrus's workers look at that alone, and would
// stay on the copies that were replaced.
func (t *target) renewLauncher() error {
	at, err := t.link.Look()
	if err != nil || !at.IsLauncher() {
		return err
	}
	t.newLink()
	return t.link.Reclaim(at)
}

// launcherProblem says what is wrong with our launcher at path, "" for nothing, and where something else
// stands there: that is a new source or, for the status to tell, what it should not be.
func (t *target) launcherProblem(at linker.Standing) string {
	switch {
	case at.Kind != linker.Ours:
		return ""
	case !t.link.Fits(at):
		return "is not relinkd's launcher of " + t.link.PrivateLink()
	case !at.SameAccess(t.src.Info()):
		return "has another mode or owner than its source"
	}
	return ""
}

// How long a launcher that is no longer at path may take to execute the private link: the least from
// its own exec, and the most that a restore waits for those that are seen.
const (
	launchGrace = 50 * time.Millisecond
	launchMax   = 2 * time.Second
)

// letLaunch waits until no process is a launcher any more: the private link, which leads to path by now,
// must be there for as long. One that is stopped, or not let on for so long, is left to exit with 75.
func (t *target) letLaunch(launcher fsys.ID) {
	t.follower.Set([]fsys.ID{launcher})
	for end := time.Now().Add(launchMax); time.Now().Before(end); {
		time.Sleep(launchGrace)
		if err := t.table.Take(); err != nil || t.follower.Counts().Of(launcher) == 0 {
			return
		}
	}
}
