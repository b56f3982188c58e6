package watch

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"relinkd/api"
	"relinkd/config"
	"relinkd/linker"
)

// at is a view of path with the names in the private directory that are there.
func at(kind linker.Kind, there ...func(*linker.View)) linker.View {
	v := linker.View{Path: linker.Standing{Kind: kind, Text: "elsewhere"}}
	for _, t := range there {
		t(&v)
	}
	return v
}

func pristine(v *linker.View) { v.Pristine.Kind = linker.File }
func previous(v *linker.View) { v.Previous.Kind = linker.File }

func TestDecide(t *testing.T) {
	const symlink, launcher, none = config.PublishSymlink, config.PublishLauncher, config.PublishNone
	later := errors.New("it is being written")
	never := errors.New("it is a script")
	for _, row := range []struct {
		name string
		o    observation
		step step
		want api.State
	}{
		{"a link to where nothing of ours is left", observation{publish: symlink, view: at(linker.Alias)}, stepNone, api.Degraded},
		{"a link of somebody's to the private link", observation{publish: symlink, view: at(linker.Alias, pristine), had: true, complete: true, sameGen: true, fits: true}, stepReclaim, api.Steady},
		{"what a crash left comes first", observation{publish: symlink, view: at(linker.File), repair: linker.GiveBack}, stepRecover, api.Starting},

		{"gone: never ours", observation{publish: symlink, view: at(linker.Nothing)}, stepNone, api.Absent},
		{"gone: never ours, absent for a moment", observation{publish: none, view: at(linker.Nothing), wait: time.Millisecond}, stepNone, api.Absent},
		{"gone: removed", observation{publish: symlink, view: at(linker.Nothing, pristine), had: true, remains: true, removed: "dpkg"}, stepStandDown, api.Absent},
		{"gone: removed, sidecar", observation{publish: none, view: at(linker.Nothing), had: true, remains: true, removed: "rpm"}, stepStandDown, api.Absent},
		{"gone: the private link too", observation{publish: symlink, view: at(linker.Nothing, pristine), remains: true, spare: 1}, stepLead, api.Settling},
		{"gone: the copies too", observation{publish: symlink, view: at(linker.Nothing, pristine), remains: true}, stepRemake, api.Cloning},
		{"gone: nothing to lead to", observation{publish: symlink, view: at(linker.Nothing), remains: true}, stepStandDown, api.Absent},
		{"gone: the linked copy too", observation{publish: symlink, view: at(linker.Nothing, pristine), had: true, broken: true, remains: true, spare: 1}, stepLead, api.Settling},
		{"gone: for a moment", observation{publish: symlink, view: at(linker.Nothing, pristine), had: true, remains: true, wait: time.Millisecond}, stepWait, api.Settling},
		{"gone: for good", observation{publish: symlink, view: at(linker.Nothing, pristine), had: true, remains: true}, stepPutBack, api.Settling},
		{"gone: for good, sidecar", observation{publish: none, view: at(linker.Nothing), had: true, remains: true}, stepNone, api.Degraded},

		{"ours: not as publish says", observation{publish: launcher, view: at(linker.Ours, pristine), had: true, sameGen: true, complete: true}, stepRefit, api.Steady},
		{"ours: mode was changed", observation{publish: launcher, view: at(linker.Ours, pristine), had: true, sameGen: true, complete: true, fits: true, changed: true}, stepAccess, api.Steady},
		{"ours: steady", observation{publish: symlink, view: at(linker.Ours, pristine), had: true, fits: true, sameGen: true, complete: true}, stepNone, api.Steady},
		{"ours: steady, the previous one kept", observation{publish: symlink, view: at(linker.Ours, pristine, previous), had: true, fits: true, sameGen: true, complete: true}, stepNone, api.Steady},
		{"ours: steady without a pristine", observation{publish: symlink, view: at(linker.Ours), had: true, fits: true, complete: true}, stepNone, api.Steady},
		{"ours: in a directory that others can write to", observation{publish: symlink, view: at(linker.Ours, pristine), had: true, fits: true, sameGen: true, complete: true, exposed: never}, stepNone, api.Degraded},
		{"file: in a directory that others can write to, sidecar", observation{publish: none, view: at(linker.File), had: true, known: true, complete: true, exposed: never}, stepNone, api.Degraded},
		{"ours: neither pristine nor all copies", observation{publish: symlink, view: at(linker.Ours), had: true}, stepNone, api.Degraded},
		{"ours: a copy is missing", observation{publish: symlink, view: at(linker.Ours, pristine), had: true, sameGen: true}, stepRemake, api.Cloning},
		{"ours: copies of another generation", observation{publish: symlink, view: at(linker.Ours, pristine), had: true, complete: true}, stepRemake, api.Cloning},
		{"ours: the upgrade was taken back", observation{publish: symlink, view: at(linker.Ours, pristine, previous), had: true, sameGen: true, complete: true, unwound: true}, stepUnwind, api.Cloning},
		{"ours: made again by somebody", observation{publish: symlink, view: at(linker.Ours, pristine), had: true, fits: true, sameGen: true, complete: true, unwound: true}, stepNone, api.Steady},
		{"ours: put back, and removed after all", observation{publish: symlink, view: at(linker.Ours, pristine), had: true, sameGen: true, complete: true, removed: "dpkg"}, stepStandDown, api.Absent},
		{"ours: the private link leads nowhere", observation{publish: symlink, view: at(linker.Ours, pristine), spare: 2, sameGen: true}, stepLead, api.Cloning},
		{"ours: the linked copy is gone", observation{publish: symlink, view: at(linker.Ours, pristine), had: true, broken: true, spare: 2, sameGen: true}, stepLead, api.Cloning},
		{"ours: all copies are gone", observation{publish: symlink, view: at(linker.Ours, pristine), had: true, broken: true, sameGen: true}, stepRemake, api.Cloning},
		{"ours: the pristine was written to", observation{publish: symlink, view: at(linker.Ours, pristine), had: true, complete: true, spoiled: true, spare: 1}, stepRenew, api.Cloning},
		{"ours: the pristine was written to, no copy", observation{publish: symlink, view: at(linker.Ours, pristine), had: true, spoiled: true}, stepNone, api.Degraded},
		{"ours: sidecar", observation{publish: none, view: at(linker.Ours, pristine), had: true, sameGen: true, complete: true}, stepUnpublish, api.Starting},

		{"ours: the pristine is gone", observation{publish: symlink, view: at(linker.Ours), had: true, complete: true, spare: 1}, stepRenew, api.Cloning},
		{"ours: the private link was changed", observation{publish: symlink, view: at(linker.Ours, pristine), had: true, complete: true, sameGen: true, fits: true, strayed: true}, stepMend, api.Settling},
		{"ours: the private directory is shut", observation{publish: symlink, view: at(linker.Ours, pristine), had: true, complete: true, sameGen: true, fits: true, shut: "has mode 0700"}, stepMend, api.Settling},
		{"ours: nobody can execute it", observation{publish: symlink, view: at(linker.Ours, pristine), had: true, complete: true, sameGen: true, fits: true, unable: never}, stepNone, api.Degraded},
		{"file: nobody can execute the private link, sidecar", observation{publish: none, view: at(linker.File), had: true, known: true, complete: true, unable: never}, stepNone, api.Degraded},

		{"file: new", observation{publish: symlink, view: at(linker.File)}, stepMakeFrom, api.Cloning},
		{"file: new, sidecar", observation{publish: none, view: at(linker.File)}, stepMakeFrom, api.Cloning},
		{"file: cloned, not published", observation{publish: symlink, view: at(linker.File), known: true, complete: true}, stepMakeFrom, api.Cloning},
		{"file: cloned, sidecar", observation{publish: none, view: at(linker.File), had: true, known: true, complete: true}, stepNone, api.Steady},
		{"file: the linked copy is gone, sidecar", observation{publish: none, view: at(linker.File), had: true, broken: true, known: true, spare: 2}, stepLead, api.Cloning},
		{"file: new, the linked copy is gone, sidecar", observation{publish: none, view: at(linker.File), had: true, broken: true, spare: 2}, stepLead, api.Cloning},
		{"file: new, while the private link leads to it, sidecar", observation{publish: none, view: at(linker.File), spare: 2}, stepMakeFrom, api.Cloning},
		{"file: known, no private link, sidecar", observation{publish: none, view: at(linker.File), known: true, spare: 2}, stepLead, api.Cloning},
		{"file: a copy is missing, sidecar", observation{publish: none, view: at(linker.File), had: true, known: true}, stepMakeFrom, api.Cloning},
		{"file: being written", observation{publish: symlink, view: at(linker.File), unwhole: later, wait: time.Second}, stepWait, api.Settling},
		{"file: being written, sidecar", observation{publish: none, view: at(linker.File), unwhole: later, wait: time.Second, complete: true}, stepWait, api.Settling},
		{"file: refused", observation{publish: symlink, view: at(linker.File), refused: never}, stepNone, api.Degraded},

		{"link to a copy: not ours", observation{publish: symlink, view: at(linker.PoolLink)}, stepNone, api.Degraded},
		{"link to a copy: to be taken over", observation{publish: symlink, view: at(linker.PoolLink), takeOver: true}, stepTakeOver, api.Cloning},
		{"link to a copy: to be taken over, refused", observation{publish: symlink, view: at(linker.PoolLink), takeOver: true, refused: never}, stepNone, api.Degraded},
		{"link to a copy: to be taken over, being written", observation{publish: symlink, view: at(linker.PoolLink), takeOver: true, unwhole: later, wait: time.Second}, stepWait, api.Settling},
		{"link to a copy: taking over was interrupted", observation{publish: symlink, view: at(linker.PoolLink, pristine), remains: true}, stepTakeOver, api.Cloning},
		{"link to a copy: made by cron", observation{publish: symlink, view: at(linker.PoolLink, pristine), had: true, remains: true}, stepReclaim, api.Steady},
		{"link to a copy: made by cron, no private link", observation{publish: symlink, view: at(linker.PoolLink, pristine), spare: 1, remains: true}, stepLead, api.Cloning},
		{"link to a copy: sidecar", observation{publish: none, view: at(linker.PoolLink), takeOver: true}, stepNone, api.Degraded},
		{"link to a copy: made by cron, the linked copy gone", observation{publish: symlink, view: at(linker.PoolLink, pristine), had: true, broken: true, spare: 1, remains: true}, stepLead, api.Cloning},
		{"link to a copy: sidecar with a pristine", observation{publish: none, view: at(linker.PoolLink, pristine), had: true}, stepNone, api.Degraded},

		{"link elsewhere", observation{publish: symlink, view: at(linker.OtherLink)}, stepNone, api.Degraded},
		{"link elsewhere, sidecar", observation{publish: none, view: at(linker.OtherLink, pristine), had: true}, stepNone, api.Degraded},
		{"no file", observation{publish: symlink, view: at(linker.Other)}, stepNone, api.Degraded},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := decide(row.o)
			if got.step != row.step || got.state != row.want {
				t.Errorf("decide: step %d, %s (%s); want step %d, %s", got.step, got.state, got.reason, row.step, row.want)
			}
			if got.step == stepWait && got.again != row.o.wait {
				t.Errorf("decide: again in %s, want %s", got.again, row.o.wait)
			}
		})
	}
}

// Whatever is seen, the decision keeps to a few rules.
func TestDecideAlways(t *testing.T) {
	flags := []func(*observation){
		func(o *observation) { o.view.Pristine.Kind = linker.File },
		func(o *observation) { o.view.Previous.Kind = linker.File },
		func(o *observation) { o.remains = true },
		func(o *observation) { o.known = true },
		func(o *observation) { o.complete = true },
		func(o *observation) { o.had = true },
		func(o *observation) { o.spare = 1 },
		func(o *observation) { o.removed = "removed" },
		func(o *observation) { o.wait = time.Second },
		func(o *observation) { o.refused = errors.New("refused") },
		func(o *observation) { o.unwhole = errors.New("not whole"); o.wait = time.Second },
		func(o *observation) { o.unwound = true },
		func(o *observation) { o.sameGen = true },
		func(o *observation) { o.takeOver = true },
		func(o *observation) { o.spoiled = true },
		func(o *observation) { o.fits = true },
		func(o *observation) { o.changed = true },
		func(o *observation) { o.strayed = true },
		func(o *observation) { o.attributes, o.spreadFrom = "user.x", spreadPristine },
		func(o *observation) { o.unable = errors.New("it does not execute") },
	}
	for kind := linker.Nothing; kind <= linker.Alias; kind++ {
		for _, publish := range []config.Publish{config.PublishLauncher, config.PublishNone} { // a symbolic link is as good as a launcher
			for set := range 1 << len(flags) {
				o := observation{publish: publish, view: at(kind)}
				for i, flag := range flags {
					if set&(1<<i) != 0 {
						flag(&o)
					}
				}
				if broken := rule(o, decide(o)); broken != "" {
					t.Fatalf("%s: %+v gives %+v", broken, o, decide(o))
				}
			}
		}
	}
}

// rule names the rule that a decision breaks.
func rule(o observation, d decision) string {
	kind, none := o.view.Path.Kind, o.publish == config.PublishNone
	ours := kind == linker.Ours || kind == linker.Alias
	only := func(s step, is bool) string {
		if d.step == s && !is {
			return fmt.Sprintf("step %d has no place here", s)
		}
		return ""
	}
	for _, broken := range []string{
		only(stepMakeFrom, kind == linker.File && o.refused == nil && o.unwhole == nil),
		only(stepPutBack, kind == linker.Nothing && !none && o.had),
		only(stepReclaim, !none && (kind == linker.PoolLink && o.had || kind == linker.Alias && o.complete)),
		only(stepTakeOver, kind == linker.PoolLink && !none),
		only(stepUnpublish, ours && none),
		only(stepRefit, kind == linker.Ours && !none && !o.fits && o.had),
		only(stepAccess, kind == linker.Ours && !none && o.fits && o.changed),
		only(stepUnwind, ours && o.view.Previous.Kind == linker.File),
		only(stepRemake, (ours || kind == linker.Nothing && !o.had) && o.view.Pristine.Kind == linker.File),
		only(stepLead, o.spare > 0),
		only(stepRenew, ours && !none && (o.spoiled || o.had && o.view.Pristine.Kind != linker.File) && o.spare > 0),
		only(stepSpread, ours && !none && o.spreadFrom != spreadNothing && o.fits && o.had),
		only(stepMend, o.strayed || o.shut != ""),
		only(stepStandDown, kind == linker.Nothing || ours && o.removed != ""),
	} {
		if broken != "" {
			return broken
		}
	}
	switch {
	case d.state == "":
		return "no state"
	case d.state != api.Steady && d.reason == "":
		return "no reason"
	case d.state == api.Degraded && d.step != stepNone:
		return "degraded, and something is done"
	case o.strayed && d.step != stepMend && o.repair == linker.RepairNone:
		return "the private link stays as somebody has made it"
	case o.unable != nil && d.step == stepNone && d.state == api.Steady:
		return "steady, and it does not execute"
	case d.state == api.Steady && kind != linker.Ours && kind != linker.File && d.step == stepNone:
		return "steady, but path leads to nothing of ours"
	case d.step == stepWait && d.again <= 0:
		return "it waits for no time"
	}
	return ""
}
