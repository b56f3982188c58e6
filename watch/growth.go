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
	"relinkd/fsys"
	"relinkd/pool"
	"relinkd/watch/gauge"
)

// growth is what is known of the making of further copies. The zero growth knows nothing.
type growth struct {
	disk   disk
	last   time.Duration               // how long making copies took the last time; 0 for never
	lately gauge.Window[time.Duration] // how long making further copies took
	retry  backoff

	failed   string    // why no further copy could be made the last time; "" when one could
	failedAt time.Time // when
}

// disk is what room there is for further copies on the file system of the install directory.
type disk struct {
	seen time.Time // when that was looked at
	fits int       // copies
	full string    // why none fits; "" when one does
}

const (
	// diskGlance is how often the room on the disk is looked at.
	diskGlance = time.Second
	// growFailureLasts is how long a failure to grow tells that the next attempt would fail. It is longer than the
	// longest wait before that.
	growFailureLasts = 2 * time.Minute
	// unknownGrowth is how long making a copy is reckoned to take while no copy of the target was made.
	unknownGrowth = time.Second
)

// look finds out how many further copies of size bytes fit on the disk of dir, if keepFree of it stays free for
// others. A copy is reckoned as if it shared no block with its source.
func (g *growth) look(dir *fsys.Dir, size int64, keepFree config.Bytes, now time.Time) {
	g.disk = disk{seen: now}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(dir.Fd(), &fs); err != nil {
		g.disk.full = fmt.Sprintf("it cannot be told how much of the file system of %s is free: %v", dir.Path(), err)
		return
	}
	block := int64(fs.Bsize)
	free := int64(fs.Bavail) * block // what root alone may use stays free as well
	size = max(1, (size+block-1)/block) * block
	if left := free - int64(keepFree); left >= size {
		g.disk.fits = int(min(left/size, pool.MaxCopies))
		return
	}
	g.disk.full = fmt.Sprintf("%d KiB are free on the file system of %s: a copy takes %d KiB, and %s are to stay free (keep_free)", free>>10, dir.Path(), size>>10, keepFree)
}

// hindered returns why no further copy can be made, as far as is known; "" when one can.
func (g *growth) hindered(now time.Time) string {
	switch {
	case g.disk.full != "":
		return g.disk.full
	case now.Sub(g.failedAt) < growFailureLasts:
		return g.failed
	}
	return ""
}

// takes returns how long making further copies takes, until they have their names for good: the longest that it
// took lately or, if none was made lately, the last time.
func (g *growth) takes(now time.Time) time.Duration {
	if lately := g.lately.Most(now); lately > 0 {
		return lately
	}
	if g.last > 0 {
		return g.last
	}
	return unknownGrowth
}

// took notes how long the copies of a job took: further ones from when they were asked for.
func (g *growth) took(j *job, now time.Time) {
	g.last = now.Sub(j.cloning)
	if j.grow {
		g.last = now.Sub(j.began)
		g.lately.Add(g.last, now)
	}
}

// fail notes why no further copy can be made now.
func (g *growth) fail(why string, now time.Time) {
	g.failed, g.failedAt = why, now
	g.retry.next(now)
}

// succeed notes that copies can be made.
func (g *growth) succeed() {
	g.failed = ""
	g.retry.reset()
}

// lookForRoom finds out once in a while what room the disk has for further copies.
func (t *target) lookForRoom(now time.Time) {
	if t.src != nil && t.link != nil && now.Sub(t.growth.disk.seen) >= diskGlance {
		t.growth.look(t.link.Dir(), t.src.Info().Size, t.cfg.KeepFree, now)
	}
}

// growable returns how many further copies can be made where there are so many.
func (t *target) growable(copies int, now time.Time) int {
	if t.growth.hindered(now) != "" || t.cfg.Rotation == config.RotationInterval || t.src == nil {
		return 0
	}
	return max(0, min(t.cfg.MaxCopies-copies, t.growth.disk.fits))
}

// grow makes more copies of the generation in force.
func (t *target) grow(ctx context.Context, numbers []int) {
	t.growth.look(t.link.Dir(), t.src.Info().Size, t.cfg.KeepFree, time.Now())
	if full := t.growth.disk.full; full != "" {
		t.growthFailed(errors.New(full))
		return
	}
	numbers = numbers[:min(len(numbers), t.growth.disk.fits)]
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

// growthFailed tells why no further copy can be made now.
func (t *target) growthFailed(err error) {
	why := advise(err)
	t.growth.fail(why, time.Now())
	t.wrong(zerolog.ErrorLevel, "cannot grow the pool: "+why, fmt.Sprintf("there are %d copies and no more", t.wanted))
}

// grown takes the copies of a job into the pool, and moves on to them if the policy says so: a process may be
// waiting for the room.
func (t *target) grown(j *job) {
	t.growth.took(j, time.Now())
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
