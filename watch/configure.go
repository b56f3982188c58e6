package watch

import (
	"fmt"
	"time"

	"relinkd/api"
	"relinkd/config"
	"relinkd/linker"
)

// inPlace reports whether a target can go from one way of publishing to the other without being restored in
// between: what stands at path is exchanged for the other in one step.
func inPlace(from, to config.Publish) bool {
	return from == to || from != config.PublishNone && to != config.PublishNone
}

// configure takes over a changed configuration of the target, whose path is as before, and whose publish is
// as before or to be changed in place.
func (t *target) configure(cfg config.Target, census config.Census) {
	if cfg.Copies != t.cfg.Copies {
		t.wanted = cfg.Copies
	}
	t.wanted = min(t.wanted, cfg.MaxCopies)
	if census.Verify != t.verifyEvery {
		t.verifyEvery = census.Verify
		t.nextVerify = time.Now().Add(census.Verify)
	}
	t.install.SetSettle(cfg.Settle.Quiet, cfg.Settle.Max)
	t.cfg = cfg
	if t.link != nil {
		t.link.SetForm(t.form())
	}
	t.retry.reset()
	t.wake()
}

// toSidecar puts the packaged file back at path for a target that is to leave path alone from now on. The
// copies stay, and so does the private link, at every instant: an administrator may have had services name it
// before.
func (t *target) toSidecar() (*api.Report, error) {
	r := &api.Report{Target: t.name}
	if t.released || t.link == nil {
		return r, nil
	}
	t.cancelWork()
	at, err := t.link.Look()
	if err != nil || at.Kind != linker.Ours && at.Kind != linker.Alias {
		return r, err
	}
	if err := t.unpublish(); err != nil {
		return r, err
	}
	if at.IsLauncher() {
		t.letLaunch(at.Info.ID)
	}
	t.cfg.Publish = config.PublishNone
	if at, err = t.link.Look(); err == nil {
		r.Done = append(r.Done, fmt.Sprintf("restored %s, the packaged file (inode %d)", t.cfg.Path, at.Info.Ino))
		t.gaveBack(r, "by the configuration")
	}
	return r, err
}

// leaveTarget restores path for a target that is going away or is to be published in another way. It
// is not released by that: no operator has said so. Ensure does nothing any more, lest it begin anew
// before the loop ends; after an error it goes on.
func (t *target) leaveTarget() (*api.Report, error) {
	r := &api.Report{Target: t.name}
	if t.released && !t.leaving {
		return r, nil
	}
	active := t.active
	t.cancelWork()
	err := t.undo(false, r, func() error { return nil })
	if err == nil {
		t.gaveBack(r, "by the configuration")
	}
	t.active = active && err != nil
	return r, err
}
