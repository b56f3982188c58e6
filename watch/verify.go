package watch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/pool"
)

// errOvertaken ends a check of copies that are being replaced or removed.
var errOvertaken = fmt.Errorf("%w: the copies are being made anew or removed: try again", api.ErrRefused)

// verification is a check of every copy against the source, which runs off the loop.
type verification struct {
	src    *pool.Source
	copies map[int]fsys.ID // of its generation when the check began: any other is about to be made anew
	cancel func()
	done   []func(api.TargetVerification, error)
}

// verify checks every copy of the pool, and calls done on the loop with what was found. A check that
// is under way serves all who ask meanwhile.
func (t *target) verify(done func(api.TargetVerification, error)) {
	if t.verifying != nil {
		t.verifying.done = append(t.verifying.done, done)
		return
	}
	if t.src == nil || t.pool == nil {
		done(api.TargetVerification{Target: t.name, Copies: []api.CopyFinding{}}, nil)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	v := &verification{src: t.src, cancel: cancel, done: []func(api.TargetVerification, error){done}}
	t.verifying = v
	p, numbers, base := t.pool, t.numbers(), t.base()
	v.copies = map[int]fsys.ID{}
	for _, n := range numbers {
		if c := t.owned(n); c.SHA256 == v.src.SHA256() {
			v.copies[n] = c.Info.ID
		}
	}
	pristine := "" // which is mended if need be; what stands at path is not ours
	if t.cfg.Publish != config.PublishNone {
		pristine = t.link.PristineName()
	}
	found := api.TargetVerification{Target: t.name, SHA256: v.src.SHA256(), Copies: []api.CopyFinding{}}
	if t.cfg.Publish == config.PublishLauncher {
		at, err := t.link.Look()
		if err != nil {
			v.cancel()
			t.verifying = nil
			done(found, err)
			return
		}
		if problem := t.launcherProblem(at); problem != "" {
			found.Copies = append(found.Copies, api.CopyFinding{Name: base, Problem: problem})
		}
	}
	v.src.Share()
	t.off(func() func() {
		var err error
		for _, n := range numbers {
			var problem string
			if problem, err = p.Verify(ctx, v.src, n); err != nil {
				break
			}
			found.Copies = append(found.Copies, api.CopyFinding{Name: pool.CopyName(base, n), Problem: problem})
		}
		if err == nil && pristine != "" {
			var intact bool
			if intact, err = v.src.Intact(ctx); err == nil && !intact {
				found.Copies = append(found.Copies, api.CopyFinding{Name: pristine, Problem: "has another content than when the copies were made"})
			}
		}
		return func() { t.verified(v, found, err) }
	})
}

// look finds out what stands there without changing anything.
func (t *target) look() error {
	if t.released {
		return nil
	}
	err := t.open()
	if err == nil {
		err = t.load()
	}
	if isAbsent(err) {
		return nil
	}
	return err
}

// verified lets Ensure mend what a check found, and tells those who asked.
func (t *target) verified(v *verification, found api.TargetVerification, err error) {
	v.cancel()
	t.verifying = nil
	if errors.Is(err, context.Canceled) {
		err = errOvertaken
	}
	v.src.Close()
	if err == nil && v.src == t.src && t.active {
		for _, c := range found.Copies {
			switch n := pool.CopyNumber(t.base(), c.Name); {
			case c.Problem == "":
			case c.Name == t.base(): // decided upon by what stands there then
				t.wake()
			case n == 0:
				t.spoiled = true
				t.wake()
			case t.isOwned(n) && t.owned(n).Info.ID == v.copies[n]:
				t.convict(n, c.Problem)
			}
		}
	}
	for _, done := range v.done {
		done(found, err)
	}
}

// overtakenVerify is how soon a check that was overtaken by the making of copies is begun again.
const overtakenVerify = time.Minute

// verifyDue begins the check that census.verify asks for.
func (t *target) verifyDue(now time.Time) {
	if now.Before(t.nextVerify) || t.isMaking() {
		return
	}
	t.nextVerify = now.Add(t.verifyEvery)
	t.verify(func(found api.TargetVerification, err error) {
		if errors.Is(err, errOvertaken) {
			t.nextVerify = time.Now().Add(min(t.verifyEvery, overtakenVerify))
		} else if err != nil {
			t.wrong(zerolog.ErrorLevel, err.Error(), "the copies could not be checked")
		}
	})
}

// stopVerify ends a check that is under way.
func (t *target) stopVerify() {
	if t.stopResolve != nil {
		t.stopResolve()
	}
	if t.verifying != nil {
		t.verifying.cancel()
	}
}

// drop closes a source that is no longer in force, and ends what still reads it.
func (t *target) drop(src *pool.Source) {
	if t.verifying != nil && t.verifying.src == src {
		t.verifying.cancel()
	}
	src.Close()
}

// resolve has the copies that checkCopies doubts compared with the source, off the loop: they differ
// in something that stat(2) does not tell of, or in nothing.
func (t *target) resolve() {
	if len(t.doubted) == 0 || t.stopResolve != nil {
		return
	}
	numbers := slices.Sorted(maps.Keys(t.doubted))
	clear(t.doubted)
	ctx, cancel := context.WithCancel(context.Background())
	t.stopResolve = cancel
	p, src := t.pool, t.src.Share()
	t.off(func() func() {
		problems := map[int]string{}
		var err error
		for _, n := range numbers {
			if problems[n], err = p.Verify(ctx, src, n); err != nil {
				break
			}
		}
		return func() {
			cancel()
			src.Close()
			t.stopResolve = nil
			if p != t.pool {
				return // what was compared is no more
			}
			if src != t.src { // it is compared with what is in force now
				for _, n := range numbers {
					t.doubted[n] = true
				}
				t.wake()
				return
			}
			if err != nil && !errors.Is(err, context.Canceled) {
				t.wrong(zerolog.ErrorLevel, err.Error(), "a copy that was touched could not be checked")
			}
			for n, problem := range problems {
				if problem != "" {
					t.convict(n, problem)
				}
			}
		}
	})
}

// convict distrusts copy n because of what a comparison with the source has found.
func (t *target) convict(n int, problem string) {
	if t.suspect[n] {
		return
	}
	name := pool.CopyName(t.base(), n)
	again := "it is cloned again"
	if c := t.owned(n); pool.IsContent(problem) && c.Number != 0 {
		t.forgetContent(c)
		again = fmt.Sprintf("it is kept as %s/%s.drifted and cloned again", t.link.Private().Path(), name)
	}
	t.warn(repair(problem, name), "%s %s: %s", name, problem, again)
	t.distrust(n)
}
