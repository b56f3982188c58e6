package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"relinkd/api"
	"relinkd/fsys"
	"relinkd/pool"
)

// The mail site's clock was one minute, in which 200 processes came. Here a minute is two seconds,
// and a burst is three times as many: with a link that moves once a minute, three times as many land
// on a copy. relinkd's own times are not scaled, which makes it harder for relinkd alone.
const (
	burstThreshold = 200
	burstMinute    = 2 * time.Second
	burstRate      = 3 * burstThreshold / 2 // processes a second
)

// cronScript is the original scheme: the next number at every tick.
const cronScript = `while :; do for n in $(seq -f %03g 60); do sleep 2; ln -sfn "peersd_$n" peersd; done; done`

// measureBurst starts processes through path faster than the clock was made for, and looks at what
// each of them runs. None ends meanwhile.
func measureBurst(ctx context.Context, b *bench) ([]row, error) {
	s, err := newSite(b.disk, "burst", 0)
	if err != nil {
		return nil, err
	}
	if err := s.configure("info", map[string]any{"threshold": burstThreshold}); err != nil {
		return nil, err
	}
	d, err := startDaemon(ctx, b, s)
	if err != nil {
		return nil, err
	}
	defer d.stop()
	accounting := d.accounting(ctx)

	cron, err := newSite(b.disk, "burst-cron", 0)
	if err != nil {
		return nil, err
	}
	if err := cron.makeCopies(); err != nil {
		return nil, err
	}
	if err := os.Remove(cron.path); err != nil {
		return nil, fmt.Errorf("cannot link path: %v", err)
	}
	if err := os.Symlink(pool.CopyName(target, 1), cron.path); err != nil {
		return nil, fmt.Errorf("cannot link path: %v", err)
	}
	missing := b.tools.need("sh", "cp") // ln, seq and sleep come with cp
	if missing == nil {
		clock, err := startChild(cron.log, cron.bin, "sh", "-c", cronScript)
		if err != nil {
			return nil, err
		}
		defer clock.stop()
	}

	var ours, theirs series
	for round := range b.rounds {
		b.say("burst, round %d of %d …", round+1, b.rounds)
		highest, err := burst(ctx, b, s)
		if err != nil {
			return nil, err
		}
		ours.add(float64(highest))
		if err := d.await(ctx, "it counts no process", func(t *api.TargetStatus) bool { return t.Processes == 0 }); err != nil {
			return nil, err
		}
		if missing != nil {
			continue
		}
		if highest, err = burst(ctx, b, cron); err != nil {
			return nil, err
		}
		theirs.add(float64(highest))
	}
	r := row{
		what: fmt.Sprintf("most processes on one copy: threshold %d, a burst of %d processes at %d a second (the original's minute is %s here, so this is 3 × its %d a minute)",
			burstThreshold, b.burst, burstRate, burstMinute, burstThreshold),
		relinkd: fmt.Sprintf("%.0f (%s; highest of %d rounds %.0f)", ours.median(), accounting, b.rounds, ours.max()),
		peer:    "cron scheme, ln -sfn in a shell loop",
		limit:   fmt.Sprintf("≤ %d", burstThreshold),
		met:     verdict(ours.max() <= burstThreshold),
	}
	if missing != nil {
		r.ratio = missing.Error()
	} else {
		r.peer += fmt.Sprintf(" %.0f (%.0f)", theirs.median(), theirs.max())
		r.ratio = times(ours.over(theirs).median())
	}
	return []row{r}, nil
}

// burst starts processes through path and returns the most that run one file.
func burst(ctx context.Context, b *bench, s *site) (highest int, err error) {
	c, err := newCrowd()
	if err != nil {
		return 0, err
	}
	defer c.close()
	running := map[fsys.ID]int{}
	err = paced(ctx, b.burst, burstRate, func() error {
		pid, err := c.start(s.path)
		if err != nil {
			return err
		}
		id, err := identify(fmt.Sprintf("/proc/%d/exe", pid))
		if err != nil {
			return fmt.Errorf("cannot see what a process runs: %v", err)
		}
		running[id]++
		highest = max(highest, running[id])
		return nil
	})
	return highest, err
}
