package watch

import (
	"fmt"

	"relinkd/linker"
	"relinkd/pool"
)

// moveLink has move change the private link so that it says text. Whoever watches it is told first, lest
// it be taken for somebody else's doing.
func (t *target) moveLink(text string, move func() error) error {
	t.install.Expect(t.linked, text)
	if err := move(); err != nil {
		t.install.Expect(t.linked, t.linked)
		return err
	}
	t.setLinked(text)
	return nil
}

// setLinked notes what the private link says, "" for what is not known.
func (t *target) setLinked(text string) {
	t.linked = text
	t.install.Expect(text, text)
}

// strayed reports whether the private link does not say what relinkd made it say, or is no link, although
// it could be mended.
func (t *target) strayed(v linker.View) bool {
	if v.Stray.ID.IsZero() && (t.linked == "" || v.Private == t.linked) {
		return false
	}
	_, found := t.leadsBack()
	return found
}

// leadsBack is where the private link belongs when somebody has changed it: to the copy it led to, to
// another one if that is no good, or to path (0) while that is executed itself.
func (t *target) leadsBack() (n int, found bool) {
	if t.linked == linker.LinkText(t.base(), 0) {
		return 0, true
	}
	if n = t.current; n > 0 && t.isOwned(n) && !t.suspect[n] && !t.isGone(n) {
		return n, true
	}
	n = t.spare()
	return n, n > 0
}

// mendPrivate puts right what somebody has done to the private directory or the private link, through which
// everybody goes who executes path.
func (t *target) mendPrivate(o observation) error {
	if o.shut != "" {
		if err := t.link.OpenUp(); err != nil {
			return err
		}
		t.warn(repair("private directory shut", ""), "%s %s, by which others could not execute what is below it: everybody can pass through it again", t.link.Private().Path(), o.shut)
	}
	if !o.strayed {
		return nil
	}
	was := fmt.Sprintf("was made to lead to %q", o.view.Private)
	if !o.view.Stray.ID.IsZero() {
		kept, err := t.link.KeepStray()
		if err != nil {
			return err
		}
		was = fmt.Sprintf("was replaced by what is no symbolic link, which is kept as %s", kept)
	} else if o.view.Private == "" {
		was = "was removed"
	}
	n, _ := t.leadsBack()
	if n == 0 {
		if err := t.moveLink(linker.LinkText(t.base(), 0), t.link.Bypass); err != nil {
			return err
		}
		t.warn(repair("private link changed", ""), "%s %s by somebody: it leads to the packaged file again", t.link.PrivateLink(), was)
		return nil
	}
	if err := t.point(n); err != nil {
		return err
	}
	name := pool.CopyName(t.base(), n)
	t.warn(repair("private link changed", name), "%s %s by somebody: it leads to %s again", t.link.PrivateLink(), was, name)
	return nil
}

// mendSteps is what mendPrivate does, in words.
func (t *target) mendSteps(o observation) (steps []string) {
	if o.shut != "" {
		steps = append(steps, fmt.Sprintf("let everybody pass through %s, which %s", t.link.Private().Path(), o.shut))
	}
	if !o.strayed {
		return steps
	}
	to := t.cfg.Path
	if n, _ := t.leadsBack(); n > 0 {
		to = pool.CopyName(t.base(), n)
	}
	return append(steps, fmt.Sprintf("point %s, which somebody has changed, at %s again", t.link.PrivateLink(), to))
}
