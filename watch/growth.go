package watch

import (
	"context"
	"time"

	"relinkd/pool"
)

// unknownGrowth is how long making a copy is reckoned to take while no copy of the target was made.
const unknownGrowth = time.Second

// growthTime is how long making further copies takes, until they have their names for good: the longest that
// it took lately or, if none was made lately, the last time.
func (t *target) growthTime(now time.Time) time.Duration {
	if lately := t.growths.Most(now); lately > 0 {
		return lately
	}
	if t.growth > 0 {
		return t.growth
	}
	return unknownGrowth
}

// grow makes more copies of the generation in force.
func (t *target) grow(ctx context.Context, numbers []int) {
	j := &job{origin: fromPristine, info: t.src.Info(), grow: true, began: time.Now()}
	j.ctx, j.cancel = context.WithCancel(ctx)
	if err := t.pool.Check(numbers); err != nil {
		t.endJob(j, err)
		return
	}
	t.job = j
	t.clone(j, t.src, numbers)
}

// grown takes copies into the pool. The policy moves on to them.
func (t *target) grown(j *job, copies []pool.Copy) {
	for _, c := range copies {
		t.wanted = max(t.wanted, c.Number)
		t.measures.Grown++
		t.did(Event{Kind: EventGrowth, To: pool.CopyName(t.base(), c.Number), Seconds: time.Since(j.began).Seconds()}, "grew the pool to %d copies", t.wanted)
	}
}

// tookToMake takes note of how long the copies of a job took.
func (t *target) tookToMake(j *job) {
	t.growth = time.Since(j.cloning)
	if j.grow {
		t.growths.Add(t.growth, time.Now())
	}
}
