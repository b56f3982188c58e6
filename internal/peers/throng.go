package main

import "context"

// throng is the many processes on all copies of one executable that the idle daemon and the census
// are measured with. They are started once in a run, and end with it.
type throng struct {
	*site
	crowd *crowd
}

// newThrong makes the site without copies, and no process yet. It is the bench's from then on.
func newThrong(b *bench) (*throng, error) {
	s, err := newSite(b.disk, "throng", 0)
	if err != nil {
		return nil, err
	}
	c, err := newCrowd()
	if err != nil {
		return nil, err
	}
	b.throng = &throng{s, c}
	return b.throng, nil
}

// fill starts processes on the copies in turn, until there are n.
func (t *throng) fill(ctx context.Context, n int) error {
	for len(t.crowd.pids) < n {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := t.crowd.start(t.copy(len(t.crowd.pids)%copies + 1)); err != nil {
			return err
		}
	}
	return nil
}

// churn starts n processes, of which each ends when the next one has been started, and leaves those
// that are there.
func (t *throng) churn(ctx context.Context, n int) error {
	passing, err := newCrowd()
	if err != nil {
		return err
	}
	defer passing.close()
	for i := range n {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := passing.start(t.copy(i%copies + 1)); err != nil {
			return err
		}
		passing.keep(1)
	}
	return nil
}

func (t *throng) close() { t.crowd.close() }
