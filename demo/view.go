package demo

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"relinkd/api"
)

// refresh is the time between two looks at relinkd's status.
const refresh = 100 * time.Millisecond

// frame is what there is to see at one instant.
type frame struct {
	elapsed, length time.Duration
	path            string
	target          api.TargetStatus
	tally           tally
	events          []event // all so far
}

// screen shows frames. Errors in writing are left to whoever writes the summary.
type screen interface {
	draw(f frame)
	end()
}

// show draws until ctx ends. The last frame stays when relinkd does not answer, and when it has
// restored and there are no copies to show.
func (p *play) show(ctx context.Context, to screen) {
	defer to.end()
	tick := time.NewTicker(refresh)
	defer tick.Stop()
	for {
		if t, err := p.status(ctx); err == nil && t.State != api.Released {
			to.draw(p.frame(*t))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// frame is the present instant.
func (p *play) frame(t api.TargetStatus) frame {
	p.mu.Lock()
	events := p.events[:len(p.events):len(p.events)]
	p.mu.Unlock()
	return frame{time.Since(p.begun), p.length, p.path, t, p.master.tally(), events}
}

// numbers is a frame's one-line account.
func (f frame) numbers() string {
	return fmt.Sprintf("%d processes, %.0f new a second, %d of an older version, %d spawns, %d failed, %d rotations, highest %d of %d",
		f.tally.alive, f.target.ExecRate, f.target.StaleProcesses, f.tally.spawns, f.tally.failed,
		f.target.Rotations, f.tally.highest, f.target.Threshold)
}

// silent shows nothing: standard output is for the JSON document alone.
type silent struct{}

func (silent) draw(frame) {}
func (silent) end()       {}

// plain writes a line a second, and every event.
type plain struct {
	out  io.Writer
	next time.Duration // when the next line is due
	said int           // events written so far
}

func (s *plain) draw(f frame) {
	var b strings.Builder
	for _, e := range f.events[s.said:] {
		fmt.Fprintf(&b, "%5.1f s  %s\n", e.at.Seconds(), e.text)
	}
	s.said = len(f.events)
	if f.elapsed >= s.next {
		fmt.Fprintf(&b, "%5.1f s  %s -> %s: %s\n", f.elapsed.Seconds(), target, f.target.Current, f.numbers())
		s.next = f.elapsed.Truncate(time.Second) + time.Second
	}
	io.WriteString(s.out, b.String())
}

func (s *plain) end() {}
