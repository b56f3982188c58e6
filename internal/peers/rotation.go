package main

import (
	"context"
	"fmt"
	"os/exec"
	"sync/atomic"
	"time"

	"relinkd/linker"
	"relinkd/pool"
)

// rotationLimit is rotations a second.
const rotationLimit = 10_000

// shellWays move a link between two copies "$1" times, as shell scripts do; $((…)) and test are part
// of the shell, so that nothing is started but what moves the link.
func shellWays() []struct{ name, script string } {
	const loop = `i=0; while [ $i -lt "$1" ]; do i=$((i + 2)); %s; %s; done`
	ln := func(n int) string { return fmt.Sprintf("ln -sfn ../%s %s", pool.CopyName(target, n), target) }
	mv := func(n int) string {
		return fmt.Sprintf("ln -s ../%s %s.new && mv -T %[2]s.new %[2]s", pool.CopyName(target, n), target)
	}
	return []struct{ name, script string }{
		{"ln -sfn in a shell loop", fmt.Sprintf(loop, ln(1), ln(2))},
		{"ln -s and mv -T in a shell loop", fmt.Sprintf(loop, mv(1), mv(2))},
	}
}

// measureRotation moves the private link flat out, and then executes what it leads to meanwhile.
func measureRotation(ctx context.Context, b *bench) ([]row, error) {
	s, err := newSite(b.journal, "rotation", 0)
	if err != nil {
		return nil, err
	}
	if err := s.makeCopies(); err != nil {
		return nil, err
	}
	link, err := openLink(s)
	if err != nil {
		return nil, err
	}
	defer link.Close()
	rows, err := rotationRows(ctx, b, link)
	if err != nil {
		return nil, err
	}
	executed, err := executeUnderRotation(ctx, b, s, link)
	if err != nil {
		return nil, err
	}
	return append(rows, executed), nil
}

// rotationRows is relinkd's rotation beside those of shell scripts.
func rotationRows(ctx context.Context, b *bench, link *linker.Link) ([]row, error) {
	ways := shellWays()
	missing := b.tools.need("sh", "cp") // ln and mv come with cp
	var ours series
	theirs := make([]series, len(ways))
	for range b.rounds {
		for i, way := range ways {
			begun := time.Now()
			for n := range b.points {
				if err := link.Rotate(n%copies + 1); err != nil {
					return nil, err
				}
			}
			ours.add(float64(b.points) / time.Since(begun).Seconds())
			if missing != nil {
				continue
			}
			begun = time.Now()
			cmd := exec.CommandContext(ctx, "sh", "-ec", way.script, "sh", fmt.Sprint(b.links))
			cmd.Dir = link.Private().Path()
			if out, err := cmd.CombinedOutput(); err != nil {
				return nil, fmt.Errorf("%s: %v: %s", way.name, err, out)
			}
			theirs[i].add(float64(b.links) / time.Since(begun).Seconds())
		}
	}
	var rows []row
	for i, way := range ways {
		r := row{
			what:    "rotations a second, in one thread",
			relinkd: fmt.Sprintf("%.0f", ours.median()),
			peer:    way.name,
			limit:   fmt.Sprintf("≥ %d", rotationLimit),
			met:     verdict(ours.median() >= rotationLimit),
		}
		if missing != nil {
			r.ratio = missing.Error() // relinkd alone is measured
		} else {
			var beside series // the rounds of ours that stood beside this way
			for n := i; n < len(ours); n += len(ways) {
				beside.add(ours[n])
			}
			r.peer += fmt.Sprintf(" %.0f", theirs[i].median())
			r.ratio = times(beside.over(theirs[i]).median())
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// executeUnderRotation executes the private link while it is moved flat out.
func executeUnderRotation(ctx context.Context, b *bench, s *site, link *linker.Link) (row, error) {
	c, err := newCrowd()
	if err != nil {
		return row{}, err
	}
	defer c.close()
	if err := link.Rotate(1); err != nil {
		return row{}, err
	}
	var rotations int
	var over atomic.Bool
	stopped := make(chan error)
	go func() {
		for n := 0; !over.Load(); n++ {
			if err := link.Rotate(n%copies + 1); err != nil {
				stopped <- err
				return
			}
			rotations++
		}
		stopped <- nil
	}()
	failed := 0
	var first error
	for range b.execs {
		if ctx.Err() != nil {
			break
		}
		if _, err := c.start(linker.PrivateLink(s.path)); err != nil {
			failed++
			if first == nil {
				first = err
			}
		}
		c.keep(copies)
	}
	over.Store(true)
	if err := <-stopped; err != nil {
		return row{}, err
	}
	if ctx.Err() != nil {
		return row{}, ctx.Err()
	}
	r := row{
		what:    fmt.Sprintf("failed of %d execs during %d rotations", b.execs, rotations),
		relinkd: fmt.Sprint(failed),
		limit:   "0 (of 1,000,000: LONG_TESTS=1 go test ./linker)",
		met:     verdict(failed == 0),
	}
	if first != nil {
		r.relinkd += fmt.Sprintf(", the first: %v", first)
	}
	return r, nil
}
