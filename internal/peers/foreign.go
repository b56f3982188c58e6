package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// What happens on the machine that is none of relinkd's business. Each runs twice at a time.
var foreignLoads = []struct{ what, tool, script string }{
	{"/bin/true as fast as two shells fork", "sh", "while :; do /bin/true; done"},
	{"a compiler without a break in two shells", "cc", "while :; do cc -O2 -c foreign.c -o /dev/null; done"},
}

// foreignSource is what is compiled: the shortest program that keeps a compiler busy for a moment.
const foreignSource = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nint main(void) { return puts(getenv(\"PATH\")); }\n"

const (
	foreignOurs = 100 // processes of the executable at one time
	foreignRate = 20  // of them a second that begin, as many end
)

// measureForeign has others start processes without a break, and measures what the daemon needs while it
// counts its own, which come and go, among them.
func measureForeign(ctx context.Context, b *bench) ([]row, error) {
	s, err := newSite(b.disk, "foreign", 0)
	if err != nil {
		return nil, err
	}
	s.interval = time.Hour // so that no census counts what an event should have told of
	if err := s.configure("info", map[string]any{"threshold": idleThreshold}); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(s.root, "foreign.c"), []byte(foreignSource), 0o644); err != nil {
		return nil, fmt.Errorf("cannot write what is to be compiled: %v", err)
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
	var rows []row
	for _, l := range foreignLoads {
		b.say("foreign processes: %s …", l.what)
		r := row{what: fmt.Sprintf("daemon (%s) beside foreign processes, %s, share of one core", accounting, l.what)}
		if missing := b.tools.need("sh", l.tool); missing != nil {
			r.met = missing.Error()
		} else if r.relinkd, err = foreign(ctx, b, s, d, c, l.script); err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// foreign runs the script twice at a time for a while, and says what the daemon needed for that.
func foreign(ctx context.Context, b *bench, s *site, d *daemon, c *crowd, script string) (string, error) {
	before, err := started()
	if err != nil {
		return "", err
	}
	used, err := d.processorTime()
	if err != nil {
		return "", err
	}
	begun := time.Now()
	for i := range 2 {
		load, err := startChild(fmt.Sprintf("%s-load-%d", s.log, i), s.root, "sh", "-c", script)
		if err != nil {
			return "", err
		}
		defer load.stop()
	}
	ours := int(foreignRate * b.foreign.Seconds())
	err = paced(ctx, ours, foreignRate, func() error {
		_, err := c.start(s.path)
		c.keep(foreignOurs)
		return err
	})
	if err != nil {
		return "", err
	}
	took := time.Since(begun)
	cpu, err := d.processorTime()
	if err != nil {
		return "", err
	}
	after, err := started()
	if err != nil {
		return "", err
	}
	if err := d.awaitProcesses(ctx, len(c.pids)); err != nil { // while the load goes on
		return "", err
	}
	st, err := d.client.Status(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %% with %.0f a second; %d of its own that came and went meanwhile are counted right without a census, events lost: %d times",
		significant(100*(cpu-used).Seconds()/took.Seconds()), float64(after-before-ours)/took.Seconds(), ours, st.Overflows), nil
}
