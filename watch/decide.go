package watch

import (
	"fmt"
	"time"

	"relinkd/api"
	"relinkd/config"
	"relinkd/linker"
)

// step is the one thing that Ensure does next for a target.
type step int

const (
	stepNone      step = iota // all is as wanted
	stepWait                  // nothing to do before some time has passed
	stepRecover               // mend what a crash or a failed call left
	stepMakeFrom              // make a generation from the source at path
	stepRemake                // make a generation from the pristine: path is ours or gone, the copies are not its
	stepUnwind                // the package manager took its upgrade back: the previous source again
	stepReclaim               // somebody put a link to a copy at path: put ours there again
	stepTakeOver              // make a hand-made pool relinkd's own
	stepPutBack               // path is gone: put our link there again
	stepStandDown             // the package is removed: take everything of ours away
	stepLead                  // the private link leads nowhere, but there are copies
	stepRenew                 // somebody has written to the pristine or removed it: a clone of a copy takes its place
	stepUnpublish             // path is ours, but this way of publishing leaves it alone
	stepRefit                 // path is ours, but in another form than is wanted, or changed
	stepAccess                // somebody has set mode or owner of our launcher, and so of what it leads to
	stepSpread                // somebody has set attributes on what stands for all copies
	stepMend                  // somebody has changed the private link, or shut the private directory
)

// observation is what a decision rests on: what was found on disk and what is remembered, at one
// instant. It is all that decide looks at.
type observation struct {
	publish config.Publish
	view    linker.View
	repair  linker.Repair
	remains bool // something of ours for this target exists beside path

	// Of a file at path, or of the copy that an operator wants taken over.
	known    bool  // it is the source of the present generation, untouched
	refused  error // it cannot be a source as it stands
	unwhole  error // it cannot yet
	complete bool  // all copies of the generation in force are there

	// wait is how long path is left alone: a file that is being written, or an absence that an
	// installer may be about to end.
	wait time.Duration

	// Of path, when nothing stands there.
	removed string // evidence that the package manager removed it; "" for none
	had     bool   // the private link names a copy
	broken  bool   // but that copy is gone
	spare   int    // the number of a copy that it could lead to; 0 for none

	attributes string // what somebody has set on the pristine, the launcher or, where publish leaves it alone, path
	spreadFrom int    // on which of the first two; spreadNothing when on neither

	strayed bool   // the private link does not say what relinkd made it say
	shut    string // in what the private directory keeps others out; "" when it does not

	unable  error // why no ordinary user can execute what services do; nil when one can
	exposed error // why somebody else could replace what stands in the directories; nil when nobody can

	fits     bool // our link at path is what is wanted there
	changed  bool // somebody has set its mode or owner, which is a launcher's
	unwound  bool // our link at path is not the one that we put there
	sameGen  bool // the copies were made from the pristine
	spoiled  bool // somebody has written to the pristine since
	takeOver bool // the operator asked to manage a hand-made pool
}

// leadsNowhere reports whether the private link should lead to another copy at once.
func (o observation) leadsNowhere() bool { return (!o.had || o.broken) && o.spare > 0 }

// beside reports whether the step is done also while copies are being made: what processes go through does
// not wait for that.
func (s step) beside() bool { return s == stepMend || s == stepPutBack }

// decision is what to do and what to tell meanwhile.
type decision struct {
	step   step
	state  api.State
	reason string
	again  time.Duration // for stepWait
	awaits bool          // relinkd manage would go on
}

// decide is the table of what relinkd does about what it sees. It is pure.
func decide(o observation) decision {
	if o.repair != linker.RepairNone {
		return decision{step: stepRecover, state: api.Starting, reason: o.repair.String()}
	}
	switch {
	case o.shut != "":
		return decision{step: stepMend, state: api.Settling, reason: linker.PrivateDir + " " + o.shut}
	case o.strayed:
		return decision{step: stepMend, state: api.Settling, reason: "the private link was changed by somebody"}
	}
	switch o.view.Path.Kind {
	case linker.Nothing:
		return decideGone(o)
	case linker.Ours:
		return decideOurs(o)
	case linker.Alias:
		return decideAlias(o)
	case linker.File:
		return decideFile(o)
	case linker.PoolLink:
		return decidePoolLink(o)
	case linker.OtherLink:
		if !o.view.Path.Info.IsSymlink() {
			return decision{state: api.Degraded, reason: fmt.Sprintf("path is relinkd's launcher of %s: put the executable itself there, or set path to where it is", o.view.Path.Text)}
		}
		return decision{state: api.Degraded, reason: fmt.Sprintf(
			"path is a symbolic link to %s, which relinkd did not make: put the executable itself there, or set path to where it is", o.view.Path.Text)}
	default:
		return decision{state: api.Degraded, reason: "path is not a regular file: relinkd manages executables only"}
	}
}

func decideGone(o observation) decision {
	switch {
	case !o.had && !o.remains:
		return decision{state: api.Absent, reason: "nothing is installed at path"}
	case o.removed != "":
		return decision{step: stepStandDown, state: api.Absent, reason: o.removed}
	case o.view.Publish.Kind == linker.File:
		return decision{step: stepPutBack, state: api.Settling, reason: "path is gone; a newer file that a crash has hidden comes back"}
	case o.leadsNowhere():
		return decision{step: stepLead, state: api.Settling, reason: "the private link leads to no copy"}
	case !o.had && o.view.Pristine.Kind == linker.File:
		return decision{step: stepRemake, state: api.Cloning, reason: "path is gone, and so are the copies"}
	case !o.had:
		return decision{step: stepStandDown, state: api.Absent, reason: "nothing is installed at path, and there is no copy to lead it to"}
	case o.wait > 0:
		return decision{step: stepWait, state: api.Settling, reason: "path is gone; an installer may be about to make it again", again: o.wait}
	case o.publish == config.PublishNone:
		return decision{state: api.Degraded, reason: "path is gone; the copies go on: install the package again, or relinkd restore"}
	default:
		return decision{step: stepPutBack, state: api.Settling, reason: "path is gone"}
	}
}

func decideOurs(o observation) decision {
	switch {
	case o.removed != "":
		return decision{step: stepStandDown, state: api.Absent, reason: o.removed}
	case o.publish == config.PublishNone:
		return decision{step: stepUnpublish, state: api.Starting, reason: `publish is "none", and path is still our link`}
	case o.unwound && o.view.Previous.Kind == linker.File:
		return decision{step: stepUnwind, state: api.Cloning, reason: "the package manager took its upgrade back"}
	case o.spoiled && o.spare > 0:
		return decision{step: stepRenew, state: api.Cloning, reason: "the pristine was changed in place"}
	case o.spoiled:
		return decision{state: api.Degraded, reason: "the pristine was changed in place, and there is no copy to take its place: install the package again, or relinkd adopt"}
	case o.leadsNowhere():
		return decision{step: stepLead, state: api.Cloning, reason: "the private link leads to no copy"}
	case o.view.Pristine.Kind != linker.File && o.had && o.spare > 0:
		return decision{step: stepRenew, state: api.Cloning, reason: "the pristine is gone"}
	case o.view.Pristine.Kind != linker.File && !o.complete:
		return decision{state: api.Degraded, reason: "the pristine is gone and the copies are not complete: install the package again, or relinkd adopt"}
	case o.view.Pristine.Kind == linker.File && (!o.sameGen || !o.complete):
		return decision{step: stepRemake, state: api.Cloning, reason: "copies are missing or of another generation"}
	case !o.fits && o.had:
		return decision{step: stepRefit, state: api.Steady, reason: "path is ours, but not as publish says"}
	case o.changed && o.had:
		return decision{step: stepAccess, state: api.Steady, reason: "mode or owner of path was changed"}
	case o.spreadFrom != spreadNothing && o.had && o.sameGen:
		return decision{step: stepSpread, state: api.Steady, reason: o.attributes + " was set by somebody"}
	default:
		return decideSteady(o)
	}
}

// decideAlias is for a symbolic link that leads to the private link, or to something beside it, and that
// relinkd did not make: a configuration tool's, or one in another spelling. It executes, as ours does, but
// no file is behind it: it is exchanged for ours. Where it leads to nothing there is none of ours to exchange it for.
func decideAlias(o observation) decision {
	d := decideOurs(o)
	if d.step == stepNone && o.complete || d.step == stepRefit || d.step == stepAccess {
		return decision{step: stepReclaim, state: api.Steady, reason: fmt.Sprintf("somebody linked path to %s", o.view.Path.Text)}
	}
	return d
}

// decideSteady is for a target of which all is as it should be. Where others could change that it goes
// on as it is, since taking path away would harm more.
func decideSteady(o observation) decision {
	if o.unable != nil {
		return decision{state: api.Degraded, reason: o.unable.Error()}
	}
	if o.exposed != nil {
		return decision{state: api.Degraded, reason: o.exposed.Error()}
	}
	return decision{state: api.Steady}
}

func decideFile(o observation) decision {
	sidecar := o.publish == config.PublishNone
	switch {
	case sidecar && o.leadsNowhere() && (o.known || o.broken): // else it leads to path until the new copies are made
		return decision{step: stepLead, state: api.Cloning, reason: "the private link leads to no copy"}
	case sidecar && o.known && o.complete:
		return decideSteady(o)
	case o.refused != nil:
		return decision{state: api.Degraded, reason: o.refused.Error()}
	case o.unwhole != nil:
		return decision{step: stepWait, state: api.Settling, reason: o.unwhole.Error(), again: o.wait}
	default:
		return decision{step: stepMakeFrom, state: api.Cloning, reason: "a new source stands at path"}
	}
}

func decidePoolLink(o observation) decision {
	managed := o.view.Pristine.Kind == linker.File
	switch {
	case o.publish == config.PublishNone:
		return decision{state: api.Degraded, reason: fmt.Sprintf(
			`path is a symbolic link to %s, and publish = "none" needs the packaged file there: use publish = "symlink" or "launcher"`, o.view.Path.Text)}
	case managed && o.leadsNowhere():
		return decision{step: stepLead, state: api.Cloning, reason: "the private link leads to no copy"}
	case managed && o.had:
		return decision{step: stepReclaim, state: api.Steady, reason: fmt.Sprintf("somebody linked path to %s", o.view.Path.Text)}
	case !managed && !o.takeOver:
		return decision{state: api.Degraded, awaits: true, reason: fmt.Sprintf(
			"path is a symbolic link to %s that relinkd did not make, a hand-made pool: nothing is touched until relinkd manage", o.view.Path.Text)}
	case !managed && o.refused != nil:
		return decision{state: api.Degraded, reason: fmt.Sprintf("cannot take over the hand-made pool: %v", o.refused)}
	case !managed && o.unwhole != nil:
		return decision{step: stepWait, state: api.Settling, reason: o.unwhole.Error(), again: o.wait}
	default: // a pristine without copies tells that taking over was interrupted
		return decision{step: stepTakeOver, state: api.Cloning, reason: "taking over a hand-made pool"}
	}
}
