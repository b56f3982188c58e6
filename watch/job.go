package watch

import (
	"context"
	"errors"
	"time"

	"relinkd/fsys"
	"relinkd/linker"
	"relinkd/pool"
)

// origin is where a source stands while copies are made from it.
type origin int

const (
	fromPath     origin = iota // a new source at path, to be published
	fromPristine               // the pristine: path is ours already
	fromLinked                 // the copy that a hand-made link at path leads to
	fromAdopted                // a file that an operator puts in force, while path stays ours
)

// job is the making of copies, which runs beside the loop. There is one at a time that makes a generation, and
// beside it one that makes more copies of the generation in force. Its goroutine touches what is below the line
// on the loop alone.
type job struct {
	t       *target
	link    *linker.Link
	origin  origin
	path    linker.Standing // of fromLinked: what stood at path when it began
	file    string          // of fromAdopted: what the operator named
	asked   *waiter         // of fromAdopted: the operator
	grow    bool            // more copies of the generation in force
	src     *pool.Source    // of grow: what they are made of, with a use of its own
	numbers []int           // of grow: theirs
	began   time.Time
	blocked int // how many numbers were passed over when it began
	ctx     context.Context
	cancel  func()
	// ---
	info      fsys.Info   // of the source, once it is open
	staged    []pool.Copy // those that are about to get their names
	written   bool        // the manifest names them
	committed []pool.Copy // those that have got their names
	mends     []int       // copies that are made anew or were found to be right after all
	cloning   time.Time   // when the making of its copies began; zero for not yet
	inForce   bool        // its source is
}

// off runs work beside the loop, and on the loop what work returns. cancelWork waits for it.
func (t *target) off(work func() func()) {
	t.working++
	go func() {
		result := work()
		t.results <- func() { t.working--; result() }
	}()
}

// onLoop, called from work beside the loop, runs fn on it and waits for that.
func (t *target) onLoop(fn func()) {
	done := make(chan struct{})
	t.results <- func() { defer close(done); fn() }
	<-done
}

// jobs returns those that go on.
func (t *target) jobs() (all []*job) {
	for _, j := range []*job{t.job, t.growing} {
		if j != nil {
			all = append(all, j)
		}
	}
	return all
}

// isMaking reports whether copies are being made.
func (t *target) isMaking() bool { return t.job != nil || t.growing != nil }

// syncManifest makes durable what was saved last. It is called beside the loop.
func (t *target) syncManifest() error {
	t.syncing.Lock()
	defer t.syncing.Unlock()
	return pool.SyncManifest(t.state, t.name)
}

// endJob is called on the loop with a job's outcome.
func (t *target) endJob(j *job, err error) {
	j.cancel()
	switch j {
	case t.job:
		t.job = nil
	case t.growing:
		t.growing = nil
		j.src.Close()
	}
	j.staged = nil
	if err != nil && j.origin == fromAdopted {
		t.notAdopted(j, err)
		return
	}
	if err != nil && j.written {
		err = errors.Join(err, t.save())
	}
	switch {
	case err == nil:
		t.retry.reset()
		t.growth.succeed()
		if j.grow {
			t.grown(j)
		}
	case errors.Is(err, context.Canceled):
		t.leaveNoTrace()
	case errors.Is(err, errReplaced):
		t.spoiled = true
		t.wake()
	case errors.Is(err, errPassed) && len(t.blocked) > j.blocked:
		t.wake()
	case errors.Is(err, linker.ErrSuperseded), errors.Is(err, pool.ErrChanged):
		t.log.Info().Err(err).Msg("the source was replaced meanwhile: starting over with what stands at path now")
	case t.mustRestart(err):
	case j.grow:
		t.cleaned = false // a call that removes something may be what failed
		t.growthFailed(err)
	default:
		t.cleaned = false
		t.failed(err)
		t.leaveNoTrace()
	}
}

// leaveNoTrace removes the private directory again where nothing could be put into it.
func (t *target) leaveNoTrace() {
	if t.src != nil || t.link == nil || t.pool != nil && len(t.pool.Owned()) > 0 {
		return
	}
	if err := t.link.DropPrivate(); err != nil {
		t.log.Warn().Err(err).Msg("an empty directory is left")
	}
	if t.link.Private() == nil {
		t.pool = nil
	}
}

// superviseJob ends a job whose source is no longer what should be made.
func (t *target) superviseJob(o observation) {
	news := o.view.Path.Kind == linker.File && t.job.origin != fromPath || o.view.Path.Kind != linker.Ours && t.job.origin == fromAdopted
	gone := t.job.origin == fromPath && !t.job.info.ID.IsZero() && !o.view.Path.Info.SameContent(t.job.info)
	if news || gone {
		t.job.cancel()
	}
}

// cancelWork ends what goes on off the loop and waits until it has cleaned up.
func (t *target) cancelWork() {
	for _, j := range t.jobs() {
		j.cancel()
	}
	t.stopVerify()
	for t.working > 0 {
		(<-t.results)()
	}
}
