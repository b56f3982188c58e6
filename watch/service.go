package watch

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"relinkd/api"
	"relinkd/config"
	"relinkd/watch/proctable"
)

// Plan tells what Ensure would do now for each target.
func (w *Watcher) Plan(ctx context.Context) (*api.Plan, error) {
	loops, err := w.each("")
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	left := slices.Clone(w.left)
	w.mu.Unlock()
	for _, cfg := range left {
		if l, err := w.findIn(cfg.Name, true); err == nil {
			loops = append(loops, l)
		}
	}
	p := &api.Plan{Targets: []api.TargetPlan{}}
	var failed []error
	for _, l := range loops {
		var tp api.TargetPlan
		var perr error
		if err := l.do(ctx, l.gone, func() { tp, perr = l.plan() }); err != nil {
			return nil, err
		}
		p.Targets = append(p.Targets, tp)
		failed = append(failed, perr)
	}
	return p, errors.Join(failed...)
}

// PlanManage tells what Manage would do now.
func (w *Watcher) PlanManage(ctx context.Context, target string) (*api.TargetPlan, error) {
	l, err := w.find(target)
	if err != nil {
		return nil, err
	}
	var p api.TargetPlan
	var perr error
	if err := l.do(ctx, l.gone, func() { p, perr = l.planManage() }); err != nil {
		return nil, err
	}
	return &p, perr
}

// Verify checks every copy of one target, or of all, against its source.
func (w *Watcher) Verify(ctx context.Context, target string) (*api.Verification, error) {
	loops, err := w.each(target)
	if err != nil {
		return nil, err
	}
	v := &api.Verification{Targets: []api.TargetVerification{}}
	for _, l := range loops {
		type outcome struct {
			found api.TargetVerification
			err   error
		}
		done := make(chan outcome, 1)
		err := l.do(ctx, l.gone, func() {
			if err := l.look(); err != nil {
				done <- outcome{err: err}
				return
			}
			l.verify(func(found api.TargetVerification, err error) { done <- outcome{found, err} })
		})
		if err != nil {
			return nil, err
		}
		select {
		case o := <-done:
			if o.err != nil {
				return nil, fmt.Errorf("cannot verify %s: %w", l.name, o.err)
			}
			v.Targets = append(v.Targets, o.found)
		case <-l.gone:
			return nil, errStopped
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return v, nil
}

// Manage ends the release of a target and returns when the target has settled.
func (w *Watcher) Manage(ctx context.Context, target string) (*api.Report, error) {
	return w.settle(ctx, target, func(l *loop) (*waiter, error) { return l.manage() })
}

// Reclone makes all copies of a target again and returns when that is done.
func (w *Watcher) Reclone(ctx context.Context, target string) (*api.Report, error) {
	return w.settle(ctx, target, func(l *loop) (*waiter, error) { return l.reclone() })
}

// Adopt installs file as the new source of a target and returns when it is in force.
func (w *Watcher) Adopt(ctx context.Context, target, file string) (*api.Report, error) {
	return w.settle(ctx, target, func(l *loop) (*waiter, error) { return l.adopt(ctx, file) })
}

// AdoptGeneration puts an earlier generation of a target in force again and returns when it is.
func (w *Watcher) AdoptGeneration(ctx context.Context, target, hash string) (*api.Report, error) {
	return w.settle(ctx, target, func(l *loop) (*waiter, error) { return l.adoptGeneration(ctx, hash) })
}

// Generations lists what one target, or all, can go back to.
func (w *Watcher) Generations(ctx context.Context, target string) (*api.Generations, error) {
	loops, err := w.each(target)
	if err != nil {
		return nil, err
	}
	all := &api.Generations{Targets: []api.TargetGenerations{}}
	for _, l := range loops {
		var g api.TargetGenerations
		var gerr error
		if err := l.do(ctx, l.gone, func() { g, gerr = l.generations() }); err != nil {
			return nil, err
		}
		if gerr != nil {
			return nil, fmt.Errorf("cannot list the generations of %s: %w", l.name, gerr)
		}
		all.Targets = append(all.Targets, g)
	}
	return all, nil
}

// settle begins something on a target's loop and waits until the target has settled.
func (w *Watcher) settle(ctx context.Context, target string, begin func(*loop) (*waiter, error)) (*api.Report, error) {
	l, err := w.find(target)
	if err != nil {
		return nil, err
	}
	var wait *waiter
	var berr error
	if err := l.do(ctx, l.gone, func() { wait, berr = begin(l) }); err != nil {
		return nil, err
	}
	if berr != nil {
		return nil, berr
	}
	select {
	case err := <-wait.done:
		if err != nil {
			return nil, err
		}
		return wait.report, nil
	case <-ctx.Done():
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTime)
		defer cancel()
		_ = l.do(late, l.gone, func() { l.abandon(wait) }) // a loop that is gone does nothing any more
		return nil, ctx.Err()
	}
}

// abandonTime is how long who has given up waits for that to be known.
const abandonTime = 10 * time.Second

// Restore gives path back and makes the target released.
func (w *Watcher) Restore(ctx context.Context, target string, force bool) (*api.Report, error) {
	return w.direct(ctx, target, func(l *loop) (*api.Report, error) {
		if l.leaving {
			return l.leaveForGood()
		}
		return l.restore(ctx, force)
	})
}

// Rotate moves the private link by an operator's word.
func (w *Watcher) Rotate(ctx context.Context, target string, to int) (*api.Report, error) {
	return w.direct(ctx, target, func(l *loop) (*api.Report, error) {
		if l.leaving {
			return nil, fmt.Errorf("%w: %q: %s", api.ErrNoTarget, target, leaveReason(l.cfg.Path))
		}
		return l.rotateBy(to)
	})
}

// direct does something on a target's loop that is over when it returns.
func (w *Watcher) direct(ctx context.Context, target string, act func(*loop) (*api.Report, error)) (*api.Report, error) {
	l, err := w.findIn(target, true)
	if err != nil {
		return nil, err
	}
	var r *api.Report
	var aerr error
	if err := l.do(ctx, l.gone, func() { r, aerr = act(l); l.show() }); err != nil {
		return nil, err
	}
	return r, aerr
}

// Reload reads the configuration again and acts on what has changed. A bad one changes nothing and
// shows in the status.
func (w *Watcher) Reload(ctx context.Context) (*api.Report, error) {
	w.reloading.Lock()
	defer w.reloading.Unlock()
	began := time.Now()
	r, err := w.reload(ctx)
	w.tellReload(r, err, time.Since(began))
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.reloads.Failed++
		return nil, err
	}
	w.reloads.Succeeded++
	return r, nil
}

// tellReload tells the log and the history what came of a reload.
func (w *Watcher) tellReload(r *api.Report, err error, took time.Duration) {
	e := api.Event{Kind: api.EventReload, Reason: "failure", Seconds: took.Seconds()}
	if err != nil {
		e.Message = fmt.Sprintf("the configuration is not reloaded: %v", err)
		w.happened(zerolog.ErrorLevel, e)
		return
	}
	e.Reason, e.Message = "success", "the configuration is reloaded"
	if len(r.Done) > 0 {
		e.Message += ": " + strings.Join(r.Done, "; ")
	}
	w.happened(zerolog.InfoLevel, e)
	for _, warning := range r.Warnings {
		w.happened(zerolog.WarnLevel, api.Event{Kind: api.EventReload, Reason: "warning", Message: warning})
	}
}

// reload is Reload. w.reloading is held.
func (w *Watcher) reload(ctx context.Context) (*api.Report, error) {
	cfg, err := w.load()
	if err != nil {
		w.mu.Lock()
		w.cfgError = err.Error()
		w.mu.Unlock()
		return nil, fmt.Errorf("%w: nothing has changed: %w", api.ErrRefused, err)
	}
	r := &api.Report{Done: []string{}, Warnings: []string{}}
	w.mu.Lock()
	old := w.cfg
	w.cfgError = ""
	w.mu.Unlock()
	r.Warnings = append(append(r.Warnings, cfg.Warnings...), config.RestartNeeded(old, cfg)...)
	if err := w.dropTargets(ctx, old, cfg, r); err != nil {
		for _, t := range old.Targets { // what was dropped before that is managed as it was
			l := w.ensureLoop(t)
			err = errors.Join(err, l.do(ctx, l.gone, func() { l.configure(t, old.Census) }))
		}
		w.mu.Lock()
		w.cfgError = err.Error()
		w.mu.Unlock()
		return nil, err
	}
	w.takeBack(cfg)
	w.mu.Lock()
	w.cfg, w.cfgLoadedAt = cfg, time.Now()
	w.mu.Unlock()
	w.table.SetInterval(cfg.Census.Interval)
	w.table.SetEvents(proctable.Events(cfg.Census.Events))
	for _, t := range cfg.Targets {
		before, had := old.Target(t.Name)
		l := w.ensureLoop(t)
		if !had {
			r.Done = append(r.Done, "added "+t.Name)
		}
		if err := l.do(ctx, l.gone, func() { l.configure(t, cfg.Census) }); err != nil {
			return nil, err
		}
		if had && !reflect.DeepEqual(before, t) {
			r.Done = append(r.Done, "changed "+t.Name)
		}
	}
	if w.apply != nil {
		if err := w.apply(cfg); err != nil {
			r.Warnings = append(r.Warnings, err.Error())
		}
	}
	return r, nil
}

// dropTargets restores the targets that are gone from the configuration, and those whose path has changed
// or whose publish has in a way that is not possible in place, which are published anew.
func (w *Watcher) dropTargets(ctx context.Context, old, cfg *config.Config, r *api.Report) error {
	for _, t := range old.Targets {
		now, stays := cfg.Target(t.Name)
		if stays && now.Path == t.Path && inPlace(t.Publish, now.Publish) {
			continue
		}
		w.mu.Lock()
		l := w.loops[t.Name]
		w.mu.Unlock()
		if l == nil {
			continue
		}
		leave := l.leaveTarget
		sidecar := stays && now.Path == t.Path && now.Publish == config.PublishNone
		if sidecar {
			leave = l.toSidecar
		}
		var undone *api.Report
		var uerr error
		if err := l.do(ctx, l.gone, func() { undone, uerr = leave() }); err != nil {
			return err
		}
		if uerr != nil {
			return fmt.Errorf("nothing has changed: cannot restore %s: %w", t.Path, uerr)
		}
		r.Done = append(r.Done, undone.Done...)
		r.Warnings = append(r.Warnings, undone.Warnings...)
		if sidecar {
			continue
		}
		l.end()
		w.mu.Lock()
		delete(w.loops, t.Name)
		w.mu.Unlock()
		if !stays {
			r.Done = append(r.Done, "removed "+t.Name)
		}
	}
	return nil
}
