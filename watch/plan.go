package watch

import (
	"fmt"
	"time"

	"relinkd/api"
	"relinkd/config"
	"relinkd/linker"
	"relinkd/pool"
)

// plan is what Ensure would do now, in order. It changes nothing.
func (t *target) plan() (api.TargetPlan, error) {
	p := api.TargetPlan{Target: t.name, Path: t.cfg.Path, State: t.status, Steps: []string{}, Effects: []string{}, Keeps: []string{}}
	if t.leaving {
		p.State = api.Degraded
		p.Steps = []string{fmt.Sprintf("restore %s and remove its copies: the configuration no longer names it", t.cfg.Path)}
		p.Effects = []string{fmt.Sprintf("processes that begin afterwards run the packaged file; relinkd restore %s does the same", t.name)}
		return p, nil
	}
	if t.released {
		p.State = api.Released
		keeps := fmt.Sprintf("%s is not managed until you say so: `relinkd manage %s` would take it over", t.cfg.Path, t.name)
		if isScript(t.cfg.Path) {
			keeps = fmt.Sprintf("%s is not managed, and is a script: relinkd manages programs only", t.cfg.Path)
		}
		p.Keeps = append(p.Keeps, keeps)
		return p, nil
	}
	o, err := t.observe(time.Now())
	if isAbsent(err) {
		p.State = api.Absent
		p.Keeps = append(p.Keeps, fmt.Sprintf("nothing is installed at %s", t.cfg.Path))
		return p, nil
	}
	if err != nil {
		return p, fmt.Errorf("%w: %v", api.ErrRefused, err)
	}
	d := decide(o)
	p.State = d.state
	if d.state == api.Degraded {
		return p, fmt.Errorf("%w: %s: %s", api.ErrRefused, t.cfg.Path, d.reason)
	}
	if d.step == stepMakeFrom || d.step == stepRemake {
		if err := t.planCopies(); err != nil {
			return p, err
		}
	}
	p.Steps = append(p.Steps, t.steps(d, o)...)
	p.Effects = append(p.Effects, t.effects(d, o)...)
	p.Keeps = append(p.Keeps, t.keeps(d, o)...)
	return p, nil
}

// planManage is what managing the target would do now, as far as it is not managed already. It changes
// nothing; ErrRefused is what manage would fail with.
func (t *target) planManage() (api.TargetPlan, error) {
	released, takeOver := t.released, t.takeOver
	t.released, t.takeOver = false, true
	defer func() {
		t.released, t.takeOver = released, takeOver
		if released {
			t.unload() // nothing is held open of what is not managed
		}
	}()
	p, err := t.plan()
	if err == nil && p.State == api.Absent && released {
		p.Steps = []string{fmt.Sprintf("wait until something is installed at %s", t.cfg.Path)}
		p.Keeps = []string{}
	}
	return p, err
}

// planCopies refuses what cloning would refuse.
func (t *target) planCopies() error {
	f, err := t.link.Dir().Open(t.base())
	if err != nil {
		return nil // path is our link: what it leads to executes
	}
	defer f.Close()
	if err := pool.Executable(f); err != nil {
		return fmt.Errorf("%w: %v", api.ErrRefused, err)
	}
	return nil
}

// steps puts a decision into words.
func (t *target) steps(d decision, o observation) []string {
	switch d.step {
	case stepNone:
		return nil
	case stepWait:
		return []string{fmt.Sprintf("wait: %s", d.reason)}
	case stepRecover:
		return []string{d.reason}
	case stepMakeFrom:
		return append([]string{t.cloneStep(o.view.Path)}, t.publishSteps(o)...)
	case stepRemake:
		return []string{fmt.Sprintf("clone the copies of %s that are missing or differ", t.link.PristineName())}
	case stepUnwind:
		return []string{"return to the source before the upgrade that the package manager took back"}
	case stepReclaim:
		return []string{fmt.Sprintf("exchange the link to %s at %s for relinkd's own", o.view.Path.Text, t.cfg.Path)}
	case stepTakeOver:
		return []string{fmt.Sprintf("take over the hand-made pool, with %s as the source", o.view.Path.Text)}
	case stepPutBack:
		return []string{fmt.Sprintf("put relinkd's link back at %s", t.cfg.Path)}
	case stepStandDown:
		return []string{fmt.Sprintf("remove link, copies and %s: %s", linker.PrivateDir, d.reason)}
	case stepLead:
		return []string{fmt.Sprintf("point %s at %s", t.link.PrivateLink(), pool.CopyName(t.base(), o.spare))}
	case stepRenew:
		if o.view.Pristine.Kind == linker.Nothing {
			return []string{fmt.Sprintf("put a clone of %s in the place of %s, which is gone", pool.CopyName(t.base(), o.spare), t.link.PristineName())}
		}
		return []string{fmt.Sprintf("keep the changed %s as drifted, and put a clone of %s in its place", t.link.PristineName(), pool.CopyName(t.base(), o.spare))}
	case stepRefit:
		return []string{fmt.Sprintf("exchange what stands at %s for a %s to %s", t.cfg.Path, t.form(), t.link.PrivateLink())}
	case stepAccess:
		return []string{fmt.Sprintf("apply mode %04o and owner %d:%d, set at %s, to the pristine and all copies", o.view.Path.Info.Perm(), o.view.Path.Info.UID, o.view.Path.Info.GID, t.cfg.Path)}
	case stepSpread:
		return []string{fmt.Sprintf("apply what somebody has set (%s) to the pristine and all copies", o.attributes)}
	case stepMend:
		return t.mendSteps(o)
	case stepUnpublish:
		return []string{fmt.Sprintf("put the pristine back at %s", t.cfg.Path)}
	}
	return []string{d.reason}
}

func (t *target) cloneStep(at linker.Standing) string {
	return fmt.Sprintf("clone %s (inode %d, %d bytes) %d times: %s to %s", t.cfg.Path, at.Info.Ino, at.Info.Size,
		t.wanted, pool.CopyName(t.base(), 1), pool.CopyName(t.base(), t.wanted))
}

func (t *target) publishSteps(o observation) []string {
	steps := []string{fmt.Sprintf("point %s at %s", t.link.PrivateLink(), pool.CopyName(t.base(), 1))}
	switch t.cfg.Publish {
	case config.PublishSymlink:
		steps = append(steps, fmt.Sprintf("exchange %s for a symbolic link to it, keeping the file as %s", t.cfg.Path, t.link.PristineName()))
	case config.PublishLauncher:
		steps = append(steps, fmt.Sprintf("exchange %s for a launcher of it, keeping the file as %s", t.cfg.Path, t.link.PristineName()))
	}
	if o.view.Pristine.Kind == linker.File {
		steps = append(steps, fmt.Sprintf("keep the pristine before it as %s while the package manager may take the upgrade back", t.link.PreviousName()))
	}
	return steps
}
