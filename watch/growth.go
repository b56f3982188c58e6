package watch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/pool"
)

// disk is what room there is for further copies on the file system of the install directory.
type disk struct {
	seen time.Time // when that was looked at
	fits int       // copies
	full string    // why none fits; "" when one does
}

// diskGlance is how often that is looked at.
const diskGlance = time.Second

// lookForRoom finds out how many further copies fit on the disk if keep_free of it stays free for others. A
// copy is reckoned as if it shared no block with its source.
func (t *target) lookForRoom(now time.Time) {
	if t.src == nil || t.link == nil || now.Sub(t.disk.seen) < diskGlance {
		return
	}
	t.disk = disk{seen: now}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(t.link.Dir().Fd(), &fs); err != nil {
		t.disk.full = fmt.Sprintf("it cannot be told how much of the file system of %s is free: %v", t.dirPath(), err)
		return
	}
	block := int64(fs.Bsize)
	free := int64(fs.Bavail) * block // what root alone may use stays free as well
	size := max(1, (t.src.Info().Size+block-1)/block) * block
	if left := free - int64(t.cfg.KeepFree); left >= size {
		t.disk.fits = int(min(left/size, pool.MaxCopies))
		return
	}
	t.disk.full = fmt.Sprintf("%d KiB are free on the file system of %s: a copy takes %d KiB, and %s are to stay free (keep_free)", free>>10, t.dirPath(), size>>10, t.cfg.KeepFree)
}

// growFailureLasts is how long a failure to grow tells that the next attempt would fail. It is longer than the
// longest wait before that.
const growFailureLasts = 2 * time.Minute

// cannotGrow is why no further copy can be made, as far as is known; "" when one can.
func (t *target) cannotGrow(now time.Time) string {
	switch {
	case t.disk.full != "":
		return t.disk.full
	case now.Sub(t.growFailedAt) < growFailureLasts:
		return t.growFailed
	}
	return ""
}

// growable is how many further copies can be made where there are so many.
func (t *target) growable(copies int, now time.Time) int {
	if t.cannotGrow(now) != "" || t.cfg.Rotation == config.RotationInterval || t.src == nil {
		return 0
	}
	return max(0, min(t.cfg.MaxCopies-copies, t.disk.fits))
}

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
	t.disk.seen = time.Time{}
	t.lookForRoom(time.Now())
	if t.disk.full != "" {
		t.growthFailed(errors.New(t.disk.full))
		return
	}
	numbers = numbers[:min(len(numbers), t.disk.fits)]
	if t.job != nil { // what is missing among the pool's own numbers is for that to make
		first := t.following()
		for i := range numbers {
			numbers[i] = first + i
		}
	}
	if numbers = t.allFree(numbers); len(numbers) == 0 {
		t.growthFailed(errNoNumber)
		return
	}
	t.start(ctx, &job{origin: fromPristine, grow: true, src: t.src.Share(), numbers: numbers}, nil)
}

// growthFailed notes why no further copy can be made now.
func (t *target) growthFailed(err error) {
	t.growFailed, t.growFailedAt = advise(err), time.Now()
	t.wrong(zerolog.ErrorLevel, "cannot grow the pool: "+t.growFailed, fmt.Sprintf("there are %d copies and no more", t.wanted))
	t.growRetry.next(time.Now())
}

// grown takes the copies of a job into the pool, and moves on to them if the policy says so: a process may be
// waiting for the room.
func (t *target) grown(j *job) {
	t.tookToMake(j)
	for _, c := range j.committed {
		t.wanted = max(t.wanted, t.rank(c.Number))
		t.measures.Grown++
		t.did(api.Event{Kind: api.EventGrowth, To: pool.CopyName(t.base(), c.Number), Seconds: time.Since(j.began).Seconds()}, "grew the pool to %d copies", t.wanted)
	}
	if err := t.save(); err != nil {
		t.growthFailed(err)
	}
	if t.atRest {
		t.steer(time.Now())
	}
}

// tookToMake takes note of how long the copies of a job took: further ones from when they were asked for.
func (t *target) tookToMake(j *job) {
	t.growth = time.Since(j.cloning)
	if j.grow {
		t.growth = time.Since(j.began)
		t.growths.Add(t.growth, time.Now())
	}
}
