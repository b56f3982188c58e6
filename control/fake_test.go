package control

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"relinkd/api"
)

// fake is a Service that notes what it was asked and answers what it was told to.
type fake struct {
	status   api.Status
	err      error          // what every call returns
	events   chan api.Event // what Follow tells of
	snapshot *api.Snapshot  // what Snapshot returns, where it is not made of status
	block    chan struct{}  // when set, every call waits for it or for its context

	mu    sync.Mutex
	calls []string
}

func (f *fake) call(ctx context.Context, format string, args ...any) error {
	f.mu.Lock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	f.mu.Unlock()
	if f.block != nil {
		select {
		case <-f.block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return f.err
}

func (f *fake) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.calls...)
}

// forget is asked, and begins anew.
func (f *fake) forget() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

func (f *fake) report(ctx context.Context, target, format string, args ...any) (*api.Report, error) {
	if err := f.call(ctx, format, args...); err != nil {
		return nil, err
	}
	return &api.Report{Target: target, Done: []string{"done"}}, nil
}

func (f *fake) Status(ctx context.Context) (*api.Status, error) {
	if err := f.call(ctx, "status"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	st := f.status
	return &st, nil
}

// setStatus changes what Status returns.
func (f *fake) setStatus(st api.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status = st
}

func (f *fake) Snapshot() *api.Snapshot {
	if f.snapshot != nil {
		return f.snapshot
	}
	return &api.Snapshot{Status: f.status, Measures: make([]api.Measures, len(f.status.Targets))}
}

func (f *fake) Plan(ctx context.Context) (*api.Plan, error) {
	if err := f.call(ctx, "plan"); err != nil {
		return nil, err
	}
	return &api.Plan{Targets: []api.TargetPlan{{Target: "imapd", Steps: []string{"publish"}}}}, nil
}

func (f *fake) Events(ctx context.Context, target string, after uint64) ([]api.Event, error) {
	if err := f.call(ctx, "events %q %d", target, after); err != nil {
		return nil, err
	}
	return []api.Event{{ID: after + 1, Target: target, Kind: api.EventRotation, Message: "rotated\nat once"}}, nil
}

// Follow tells of what Events returns, and then of what is sent to f.events.
func (f *fake) Follow(ctx context.Context, target string, after uint64, tell func(api.Event) error) error {
	events, err := f.Events(ctx, target, after)
	if err != nil {
		return err
	}
	for {
		for _, e := range events {
			if err := tell(e); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case e := <-f.events:
			events = []api.Event{e}
		}
	}
}

func (f *fake) PlanManage(ctx context.Context, target string) (*api.TargetPlan, error) {
	if err := f.call(ctx, "plan %q", target); err != nil {
		return nil, err
	}
	return &api.TargetPlan{Target: target, Steps: []string{"publish"}}, nil
}

func (f *fake) Verify(ctx context.Context, target string) (*api.Verification, error) {
	if err := f.call(ctx, "verify %q", target); err != nil {
		return nil, err
	}
	return &api.Verification{Targets: []api.TargetVerification{{Target: target, SHA256: "00"}}}, nil
}

func (f *fake) Manage(ctx context.Context, target string) (*api.Report, error) {
	return f.report(ctx, target, "manage %q", target)
}

func (f *fake) Restore(ctx context.Context, target string, force bool) (*api.Report, error) {
	return f.report(ctx, target, "restore %q %v", target, force)
}

func (f *fake) Rotate(ctx context.Context, target string, to int) (*api.Report, error) {
	return f.report(ctx, target, "rotate %q %d", target, to)
}

func (f *fake) AdoptGeneration(ctx context.Context, target, hash string) (*api.Report, error) {
	return f.report(ctx, target, "adopt generation %q %q", target, hash)
}

func (f *fake) Generations(ctx context.Context, target string) (*api.Generations, error) {
	if _, err := f.report(ctx, target, "generations %q", target); err != nil {
		return nil, err
	}
	return &api.Generations{Targets: []api.TargetGenerations{{Target: target, Generations: []api.KeptGeneration{}}}}, nil
}

func (f *fake) Reclone(ctx context.Context, target string) (*api.Report, error) {
	return f.report(ctx, target, "reclone %q", target)
}

func (f *fake) Adopt(ctx context.Context, target, file string) (*api.Report, error) {
	return f.report(ctx, target, "adopt %q %q", target, file)
}

func (f *fake) Reload(ctx context.Context) (*api.Report, error) {
	return f.report(ctx, "", "reload")
}

var errDisk = errors.New("cannot clone imapd_017: no space left on device")
