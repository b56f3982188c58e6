package watch

import (
	"errors"
	"fmt"
	"os"
	"time"

	"relinkd/config"
	"relinkd/fsys"
	"relinkd/linker"
	"relinkd/pool"
)

// attributes is what is known of the attributes of those files whose own are meant for all copies: path, the
// pristine and the launcher.
type attributes struct {
	of   *pool.Source
	same map[fsys.ID]int64 // those that equal the source's, and the change time as of which they do
}

// ownOfLauncher are the extended attributes that a launcher need not share with what it executes: relinkd
// makes it without them (linker), and what somebody gives it is looked at apart from them.
var ownOfLauncher = []string{"security.ima", "security.capability"}

// attributesDiffer says what somebody has set on the file name of dir, which info describes, that the source
// in force has not: its mode and owner, or an extended attribute; "" for nothing. A file that has not changed
// since it was looked at is not opened.
func (t *target) attributesDiffer(dir *fsys.Dir, name string, info fsys.Info, launcher bool) (string, error) {
	if t.attributes.of != t.src {
		t.attributes = attributes{of: t.src, same: map[fsys.ID]int64{}}
	}
	if t.src == nil || t.attributes.same[info.ID] == info.Ctime {
		return "", nil
	}
	f, err := dir.Open(name)
	if err != nil {
		return "", nil // gone, or another one: the next look tells
	}
	defer f.Close()
	if now, err := fsys.Fstat(f); err != nil || now.ID != info.ID {
		return "", err
	}
	what, err := t.differingAttributes(f, launcher)
	if err == nil && what == "" {
		t.attributes.same[info.ID] = info.Ctime
	}
	return what, err
}

// differingAttributes is attributesDiffer of an open file. Of a launcher the mode and the owner are looked at
// elsewhere (Standing.SameAccess), and a capability counts only if it has one.
func (t *target) differingAttributes(f *os.File, launcher bool) (string, error) {
	if !launcher {
		return t.src.AttributesDiffer(f)
	}
	ignore := ownOfLauncher
	capable, err := pool.HasCapability(f)
	if err != nil {
		return "", err
	}
	if capable {
		ignore = ownOfLauncher[:1]
	}
	return t.src.XattrsDiffer(f, ignore...)
}

// spread gives all copies the attributes that somebody has set on what stands for all of them: the pristine,
// or the launcher at path.
func (t *target) spread(o observation) error {
	dir, name := t.link.Private(), t.link.PristineName()
	if o.spreadFrom == spreadPath {
		dir, name = t.link.Dir(), t.base()
	}
	f, err := dir.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := fsys.Fstat(f)
	if err != nil {
		return err
	}
	var keep []string
	if o.spreadFrom == spreadPath {
		capable, err := pool.HasCapability(f)
		if err != nil {
			return err
		}
		if keep = ownOfLauncher; capable {
			keep = ownOfLauncher[:1]
		}
		info = t.src.Info() // its mode and owner are those of the source already, but for set-id bits
	}
	refused, err := t.applyToAll(info, f, name, keep...)
	if err == nil && refused {
		return t.takeBack(o)
	}
	return err
}

// takeBack gives the pristine the attributes of the source again, where those that somebody has given it must
// not be.
func (t *target) takeBack(o observation) error {
	if o.spreadFrom == spreadPath {
		return t.refit(o)
	}
	f, err := t.link.TakeBack(t.src)
	if err == nil {
		f.Close()
	}
	return err
}

// What somebody has set attributes on that are meant for all.
const (
	spreadNothing  = iota
	spreadPristine // the pristine
	spreadPath     // our launcher at path
)

// lookAtAttributes finds out whether somebody has set attributes on what stands for all copies.
func (t *target) lookAtAttributes(o *observation) error {
	if t.src == nil {
		return nil
	}
	var err error
	switch {
	case o.view.Path.Kind == linker.Ours && o.view.Path.IsLauncher() && o.sameGen && o.fits && !o.changed:
		if o.attributes, err = t.attributesDiffer(t.link.Dir(), t.base(), o.view.Path.Info, true); o.attributes != "" {
			o.spreadFrom = spreadPath
		}
		if err != nil || o.attributes != "" {
			return err
		}
		fallthrough
	case o.view.Path.Kind == linker.Ours && o.sameGen:
		if o.attributes, err = t.attributesDiffer(t.link.Private(), t.link.PristineName(), o.view.Pristine.Info, false); o.attributes != "" {
			o.spreadFrom = spreadPristine
		}
	case o.view.Path.Kind == linker.File && t.cfg.Publish == config.PublishNone && o.known:
		if o.attributes, err = t.attributesDiffer(t.link.Dir(), t.base(), o.view.Path.Info, false); o.attributes != "" {
			o.known = false // all copies are made again
		}
	}
	return err
}

// lacking reports in what a file that is to be the next source is not complete yet although all of it is
// there: the one before may do what it may not (setcap). dpkg's packages have that set by a script that runs
// a moment after the file was put in place; published by a symbolic link before that, the script would fail.
func (t *target) lacking(f *os.File) error {
	if t.src == nil || !t.src.HasCapability() {
		return nil
	}
	capable, err := pool.HasCapability(f)
	if err != nil || capable {
		return err
	}
	return fmt.Errorf("%w: %s has no capability (setcap), which the one before it has: a script of its package may be about to set one", errLacking, f.Name())
}

// errLacking is a source that lacks what is likely to be set soon.
var errLacking = errors.New("not complete yet")

const (
	// configureMax is for how long a file at path that dpkg has yet to configure is left there. apt unpacks many
	// packages before it configures the first one; until then all processes execute that one file.
	configureMax = 10 * time.Minute
	// configureGlance is how often dpkg is asked meanwhile.
	configureGlance = 200 * time.Millisecond
)

// awaitConfigured has a complete file at path wait, for configureMax at most, where dpkg is about to run a script that
// sets its attributes, and our symbolic link would be in the way.
func (t *target) awaitConfigured(o *observation, now time.Time) {
	if t.cfg.Publish != config.PublishSymlink || !t.active {
		return
	}
	why := t.install.Unconfigured()
	if why == "" {
		return
	}
	if id := o.view.Path.Info.ID; t.unconfigured.id != id {
		t.unconfigured = unwhole{id: id, since: now}
		t.warn(repair("not configured", ""), "%s is not linked to copies yet: %s, which would refuse a link; until then all processes execute the one file, for %v at most", t.cfg.Path, why, configureMax)
	}
	if now.Sub(t.unconfigured.since) < configureMax {
		o.unwhole, o.wait = fmt.Errorf("%w: %s, which would refuse a link at %s", errLacking, why, t.cfg.Path), configureGlance
	}
}

// awaitAttributes has a complete file at path wait, for settle.max at most, for what it lacks.
func (t *target) awaitAttributes(o *observation, f *os.File, now time.Time) {
	id := o.view.Path.Info.ID
	if t.src != nil && id == t.src.Info().ID {
		return // the very file: somebody has changed it
	}
	if t.awaitConfigured(o, now); o.unwhole != nil || t.src == nil {
		return
	}
	err := t.lacking(f)
	if err == nil {
		return
	}
	if !errors.Is(err, errLacking) {
		o.refused = err
		return
	}
	if t.lacks.id != id {
		t.lacks, t.lacksTold = unwhole{id: id, since: now}, false
	}
	if left := t.lacks.since.Add(t.cfg.Settle.Max).Sub(now); left > 0 {
		o.unwhole, o.wait = err, left
		return
	}
	if !t.lacksTold {
		t.lacksTold = true
		t.warn(repair("no capability", ""), "%s has no capability (setcap), which the one before it had: it is taken as it is", t.cfg.Path)
	}
}

// xattrsSet reports whether somebody has set extended attributes on the copy name.
func (t *target) xattrsSet(name string) bool {
	f, err := t.link.Dir().Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	what, err := t.src.XattrsDiffer(f)
	return err == nil && what != ""
}
