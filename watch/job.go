package watch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

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

// job is the making of copies, which runs off the loop. There is one at a time.
type job struct {
	origin  origin
	info    fsys.Info // of the source when the job began
	path    linker.Standing
	grow    bool        // one more copy of the generation in force
	staged  []pool.Copy // those that are about to get their names
	mends   []int       // copies that are made anew or were found to be right after all
	blocked int         // how many numbers were passed over when it began
	began   time.Time
	cloning time.Time // when the making of its copies began; zero for not yet
	file    string    // of fromAdopted: what the operator named
	asked   *waiter   // of fromAdopted: the operator
	ctx     context.Context
	cancel  func()
}

// off runs work off the loop, and on the loop what work returns. cancelWork waits for it.
func (t *target) off(work func() func()) {
	t.working++
	go func() {
		result := work()
		t.results <- func() { t.working--; result() }
	}()
}

// failJob ends a job, and the use of its source, where a step of it has failed.
func (t *target) failJob(j *job, src *pool.Source, err error) {
	if err == nil {
		return
	}
	if !j.grow {
		src.Close()
	}
	t.endJob(j, err)
}

// endJob is called on the loop with a job's outcome.
func (t *target) endJob(j *job, err error) {
	j.cancel()
	if t.job == j {
		t.job = nil
	}
	if err != nil && j.origin == fromAdopted {
		t.notAdopted(j, err)
		return
	}
	switch {
	case err == nil:
		t.retry.reset()
		t.growRetry.reset()
		t.growFailed = ""
	case errors.Is(err, context.Canceled):
	case errors.Is(err, errPassed) && len(t.blocked) > j.blocked:
		t.wake()
	case errors.Is(err, linker.ErrSuperseded), errors.Is(err, pool.ErrChanged):
		t.log.Info().Err(err).Msg("the source was replaced meanwhile: starting over with what stands at path now")
	case t.mustRestart(err):
	case j.grow:
		t.cleaned = false // a call that removes something may be what failed
		t.growFailed, t.growFailedAt = advise(err), time.Now()
		t.wrong(zerolog.ErrorLevel, "cannot grow the pool: "+t.growFailed, fmt.Sprintf("there are %d copies and no more", t.wanted))
		t.growRetry.next(time.Now())
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
	gone := t.job.origin == fromPath && !o.view.Path.Info.SameContent(t.job.info)
	if news || gone {
		t.job.cancel()
	}
}

// cancelWork ends what goes on off the loop and waits until it has cleaned up.
func (t *target) cancelWork() {
	if t.job != nil {
		t.job.cancel()
	}
	t.stopVerify()
	for t.working > 0 {
		(<-t.results)()
	}
}
