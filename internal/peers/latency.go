package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"relinkd/linker"
)

// The limits, in milliseconds.
const (
	latencyMedian = 0.2
	latencyP99    = 1.0
)

const (
	latencyRate  = 500 // execs a second, while the daemon's log is read
	latencyAlive = 30  // processes at most: half of the copies are free
)

// errNoField is a relinkd that does not log how late it was.
const errNoField = notMeasured("this relinkd does not log it")

// measureLatency has every process be one too many, so that the link moves after each, and takes
// the time from the daemon's log and, for fewer of them, from outside.
func measureLatency(ctx context.Context, b *bench) ([]row, error) {
	s, err := newSite(b.journal, "latency", 0)
	if err != nil {
		return nil, err
	}
	if err := s.configure("debug", map[string]any{"threshold": 2, "rotate_at": 0.5}); err != nil {
		return nil, err
	}
	d, err := startDaemon(ctx, b, s)
	if err != nil {
		return nil, err
	}
	defer d.stop()
	c, err := newCrowd()
	if err != nil {
		return nil, err
	}
	defer c.close()
	accounting := d.accounting(ctx)

	b.say("latency, from outside …")
	outside, err := watchRotations(ctx, b, s, c)
	if err != nil {
		return nil, err
	}
	rows := []row{{
		what:    fmt.Sprintf("exec to moved link (%s), seen from outside: exec returns to readlink differs, %d times", accounting, len(outside)),
		relinkd: quantiles(outside),
	}}

	b.say("latency, from the daemon's log …")
	what := fmt.Sprintf("exec event to moved link (%s), ", accounting)
	limits := []row{
		{what: what + "p50", limit: fmt.Sprintf("≤ %g ms", latencyMedian)},
		{what: what + "p99", limit: fmt.Sprintf("≤ %g ms", latencyP99)},
		{what: what + "the longest"},
		{what: what + "histogram"},
	}
	logged, err := logRotations(ctx, b, s, c)
	var not notMeasured
	if errors.As(err, &not) {
		for i := range limits {
			limits[i].met = not.Error()
		}
		return append(rows, limits...), nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w; the end of relinkd's log:\n%s", err, d.said())
	}
	for i := range limits {
		limits[i].what += fmt.Sprintf(" of %d at up to %d execs a second", len(logged), latencyRate)
	}
	limits[0].relinkd, limits[0].met = significant(logged.median())+" ms", verdict(logged.median() <= latencyMedian)
	limits[1].relinkd, limits[1].met = significant(logged.quantile(0.99))+" ms", verdict(logged.quantile(0.99) <= latencyP99)
	limits[2].relinkd = significant(logged.max()) + " ms"
	limits[3].relinkd = logged.histogram("ms", 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5, 10, 20)
	d.stop()
	c.keep(0)
	growing, err := measureGrowing(ctx, b)
	if err != nil {
		return nil, err
	}
	return append(append(rows, limits...), growing), nil
}

const (
	growingRate      = 250  // execs a second that stay
	growingThreshold = 20   // of which 18 go to a copy
	growingProcesses = 2500 // at most
)

// measureGrowing takes the time from event to moved link while nearly every rotation is to a copy that has
// just been made, the pool being three copies in the beginning and every process staying.
func measureGrowing(ctx context.Context, b *bench) (row, error) {
	s, err := newSite(b.journal, "growing", 0)
	if err != nil {
		return row{}, err
	}
	if err := s.configure("debug", map[string]any{"copies": 3, "max_copies": 240, "threshold": growingThreshold}); err != nil {
		return row{}, err
	}
	d, err := startDaemon(ctx, b, s)
	if err != nil {
		return row{}, err
	}
	defer d.stop()
	c, err := newCrowd()
	if err != nil {
		return row{}, err
	}
	defer c.close()
	b.say("latency while the pool grows …")
	processes := min(growingProcesses, growingThreshold*b.rotations)
	err = paced(ctx, processes, growingRate, func() error {
		_, err := c.start(s.path)
		return err
	})
	if err != nil {
		return row{}, err
	}
	text, err := os.ReadFile(s.log)
	if err != nil {
		return row{}, fmt.Errorf("cannot read relinkd's log: %v", err)
	}
	var l rotationLog
	l.read(text)
	r := row{what: fmt.Sprintf("exec event to moved link while the pool grows (%s), at %d execs a second that stay", d.accounting(ctx), growingRate)}
	if len(l.milliseconds) == 0 {
		r.met = errNoField.Error()
		return r, nil
	}
	r.what += fmt.Sprintf(", %d rotations", len(l.milliseconds))
	r.relinkd = quantiles(l.milliseconds)
	return r, nil
}

// quantiles shows milliseconds.
func quantiles(s series) string {
	return fmt.Sprintf("p50 %s ms, p99 %s ms, longest %s ms",
		significant(s.median()), significant(s.quantile(0.99)), significant(s.max()))
}

// watchRotations executes path and looks without a break until the private link has moved. It ends
// early, with fewer, when the daemon takes long each time.
func watchRotations(ctx context.Context, b *bench, s *site, c *crowd) (series, error) {
	const patience = 5 * time.Second // for one rotation
	var all series                   // milliseconds
	private := linker.PrivateLink(s.path)
	for begun := time.Now(); len(all) < b.watched && time.Since(begun) < b.grace/6; {
		c.keep(latencyAlive)
		before, err := os.Readlink(private)
		if err != nil {
			return nil, err
		}
		if _, err := c.start(s.path); err != nil {
			return nil, err
		}
		executed := time.Now()
		for {
			now, err := os.Readlink(private)
			if err != nil {
				return nil, err
			}
			if now != before {
				break
			}
			if time.Since(executed) > patience {
				return nil, fmt.Errorf("the link has not moved %s after a process has passed the mark", patience)
			}
			if time.Since(executed) > 20*time.Millisecond { // it is not going to be quick
				time.Sleep(time.Millisecond)
			}
		}
		all.add(float64(time.Since(executed)) / float64(time.Millisecond))
		if err := wait(ctx, 2*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// logRotations executes path until the log tells of enough rotations. The milliseconds are those that
// it tells. errNoField means that it tells none.
func logRotations(ctx context.Context, b *bench, s *site, c *crowd) (series, error) {
	const enough = 20 // rotations without the field
	f, err := os.Open(s.log)
	if err != nil {
		return nil, fmt.Errorf("cannot read relinkd's log: %v", err)
	}
	defer f.Close()
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return nil, fmt.Errorf("cannot read relinkd's log: %v", err)
	}
	var l rotationLog
	for begun := time.Now(); len(l.milliseconds) < b.rotations; {
		err := paced(ctx, latencyRate/5, latencyRate, func() error {
			c.keep(latencyAlive)
			_, err := c.start(s.path)
			return err
		})
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(f)
		if err != nil {
			return nil, fmt.Errorf("cannot read relinkd's log: %v", err)
		}
		l.read(text)
		if len(l.milliseconds) == 0 && l.silent >= enough {
			return nil, errNoField
		}
		if time.Since(begun) > b.grace {
			return nil, fmt.Errorf("relinkd has logged %d rotations in %s, of %d", len(l.milliseconds), b.grace, b.rotations)
		}
	}
	return l.milliseconds, nil
}

// rotationLog reads what the daemon logs of rotations at the threshold.
type rotationLog struct {
	rest         []byte // the beginning of a line
	milliseconds series // from event to link
	silent       int    // rotations without that
}

// read takes the next part of the log. Lines that are no JSON are none of relinkd's.
func (l *rotationLog) read(text []byte) {
	l.rest = append(l.rest, text...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return
		}
		l.rest = rest
		var said struct {
			Message     string   `json:"message"`
			Reason      string   `json:"reason"`
			EventToLink *float64 `json:"event_to_link"`
		}
		if json.Unmarshal(line, &said) != nil || said.Message != "rotated" || said.Reason != "threshold" {
			continue
		}
		if said.EventToLink == nil {
			l.silent++
			continue
		}
		l.milliseconds.add(*said.EventToLink)
	}
}
