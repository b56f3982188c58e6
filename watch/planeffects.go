package watch

import (
	"fmt"

	"relinkd/config"
	"relinkd/linker"
	"relinkd/pool"
)

// effects is what services and the disk notice of the step that a plan begins with.
func (t *target) effects(d decision, o observation) []string {
	var all []string
	switch d.step {
	case stepMakeFrom:
		all = append(all, t.diskEffect(o.view.Path.Info.Size, o.view.Pristine.Kind == linker.File))
	case stepStandDown:
		return []string{"processes on the copies go on until they end; nobody can start another"}
	}
	switch d.step {
	case stepMakeFrom, stepTakeOver, stepUnwind, stepReclaim, stepPutBack, stepLead, stepRefit, stepUnpublish:
		if t.cfg.Publish == config.PublishNone && t.current == 0 {
			return append(all, fmt.Sprintf("services notice nothing until they execute %s instead of %s", t.link.PrivateLink(), t.cfg.Path))
		}
		all = append(all, "processes that begin afterwards run a copy, under the name and with the arguments that they have now")
		if t.cfg.Publish == config.PublishLauncher && d.step == stepLead {
			return all // the launcher, at which workers look, stays
		}
		all = append(all, "Cyrus: a worker that waits for a connection ends, once, since its program file is another one; "+
			"one that serves a connection ends after it; master starts new ones, and no connection is cut")
	}
	return all
}

// diskEffect is what copies of a file of so many bytes take. Those that they replace go a moment later.
func (t *target) diskEffect(bytes int64, replaces bool) string {
	dir := t.link.Dir().Path()
	text := fmt.Sprintf("%d KiB more on the file system of %s%s", int64(t.wanted)*bytes>>10, dir, roomIn(dir))
	if replaces {
		text += ", until the copies before them are replaced"
	}
	return text + "; nothing where it shares blocks between files"
}

// keeps is what stays as it is while the step of a plan is done.
func (t *target) keeps(d decision, o observation) []string {
	var all []string
	keep := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	switch d.step {
	case stepMakeFrom, stepRemake:
		for _, name := range t.foreignFiles() {
			keep("%s, which relinkd did not make: its number is passed over unless it equals the source", name)
		}
	}
	switch d.step {
	case stepNone:
		return t.keepsAll(o)
	case stepWait:
		keep("everything, while it waits")
		return all
	case stepMakeFrom:
		if t.cfg.Publish == config.PublishNone {
			keep("%s itself", t.cfg.Path)
		} else {
			keep("the packaged file, its very inode: `relinkd restore %s` puts it back at %s", t.name, t.cfg.Path)
		}
	case stepTakeOver:
		keep("the copies that equal %s", o.view.Path.Text)
	case stepRemake, stepRenew:
		keep("%s and where it leads, and the copies that are right", t.cfg.Path)
	case stepReclaim, stepPutBack, stepLead, stepRefit, stepAccess, stepSpread, stepMend:
		keep("the copies and their source")
	case stepUnpublish:
		keep("the copies, and %s", t.link.PrivateLink())
	}
	keep("processes that run: none is stopped or restarted, each goes on with the file that it runs")
	return all
}

// keepsAll is what stands when there is nothing to do.
func (t *target) keepsAll(o observation) []string {
	if t.src == nil || t.current == 0 {
		return []string{fmt.Sprintf("nothing is installed at %s", t.cfg.Path)}
	}
	current := pool.CopyName(t.base(), t.current)
	leads := fmt.Sprintf("%s leads to %s", t.cfg.Path, current)
	if t.cfg.Publish == config.PublishNone {
		leads = fmt.Sprintf("%s is the packaged file, and %s leads to %s", t.cfg.Path, t.link.PrivateLink(), current)
	}
	return []string{leads, fmt.Sprintf("the copies are there, %s to %s, and of the generation in force (%.12s)",
		pool.CopyName(t.base(), 1), pool.CopyName(t.base(), t.wanted), t.src.SHA256())}
}
