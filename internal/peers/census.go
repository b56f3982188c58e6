package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/watch/proctable"
)

// cost is what one count took.
type cost struct{ processor, wall series } // seconds

// measureCensus counts the processes of one executable among many: with relinkd's census, which
// counts those of all executables at once, with the same system calls in C, and with the usual tools.
func measureCensus(ctx context.Context, b *bench) ([]row, error) {
	if b.throng == nil {
		if _, err := newThrong(b); err != nil {
			return nil, err
		}
	}
	if _, err := os.Lstat(b.throng.copy(1)); err != nil { // relinkd has made none
		if err := b.throng.makeCopies(); err != nil {
			return nil, err
		}
	}
	b.say("starting processes up to %d …", b.many)
	if err := b.throng.fill(ctx, b.many); err != nil {
		return nil, err
	}
	return censusRows(ctx, b, b.throng.site)
}

// censusRows measures beside the processes that run on the copies of s.
func censusRows(ctx context.Context, b *bench, s *site) ([]row, error) {
	ids, err := s.identities()
	if err != nil {
		return nil, err
	}
	table, err := proctable.New(proctable.Options{Proc: "/proc", Interval: time.Second})
	if err != nil {
		return nil, err
	}
	defer table.Close()
	follower := table.Follow(nil)
	defer follower.Close()
	follower.Set(ids)
	if err := table.Take(); err != nil {
		return nil, err
	}
	if sum := sum(follower, ids); sum != b.many {
		return nil, fmt.Errorf("relinkd's census finds %d processes, of %d", sum, b.many)
	}

	peers := append([]censusPeer{cLoop(ctx, b)}, censusTools(b, s.copy(1), b.many/copies)...)
	var ours cost
	theirs := make([]cost, len(peers))
	allocations := series{}
	for round := range b.rounds {
		b.say("census, round %d of %d …", round+1, b.rounds)
		for i, peer := range peers {
			allocated, err := takeCensuses(table, b.censuses, &ours)
			if err != nil {
				return nil, err
			}
			allocations.add(allocated)
			if peer.missing != nil {
				continue
			}
			if err := peer.count(ctx, &theirs[i]); err != nil {
				return nil, err
			}
		}
	}

	what := fmt.Sprintf("census of %d processes on %d executables", b.many, copies)
	var rows []row
	for i, peer := range peers {
		rows = append(rows, peer.rows(what, slice(ours, i, len(peers)), theirs[i])...)
	}
	each := allocations.median() / float64(b.many)
	return append(rows, row{
		what:    what + ", allocations a process",
		relinkd: fmt.Sprintf("%s (%.0f a census)", significant(each), allocations.median()),
		limit:   "0",
		met:     verdict(each < 1e-3),
	}), nil
}

// slice is the part of all our censuses that stood beside peer i of n.
func slice(all cost, i, n int) cost {
	var part cost
	for ; i < len(all.processor); i += n {
		part.processor.add(all.processor[i])
		part.wall.add(all.wall[i])
	}
	return part
}

// sum is all processes that the follower counts.
func sum(f *proctable.Follower, ids []fsys.ID) (n int) {
	counts := f.Counts()
	for _, id := range ids {
		n += counts.Of(id)
	}
	return n
}

// takeCensuses takes n censuses, notes what one of them cost and returns the allocations in one.
func takeCensuses(table *proctable.Table, n int, c *cost) (allocations float64, err error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begun, spent := time.Now(), ownTime()
	for range n {
		if err := table.Take(); err != nil {
			return 0, err
		}
	}
	c.processor.addTime((ownTime() - spent) / time.Duration(n))
	c.wall.addTime(time.Since(begun) / time.Duration(n))
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n), nil
}

// ownTime is the processor time that this process has used.
func ownTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err) // the arguments are constants
	}
	return time.Duration(unix.TimevalToNsec(u.Utime) + unix.TimevalToNsec(u.Stime))
}

// censusPeer is something else that counts processes.
type censusPeer struct {
	name    string
	missing error
	atMost  float64 // relinkd's processor time over the peer's may be so much; 0 for no such limit
	atLeast float64 // relinkd must be so many times faster; 0 for no such limit
	count   func(context.Context, *cost) error
}

// cLoop is the census as plainly as C can say it, which the benchmark of proctable has too.
func cLoop(ctx context.Context, b *bench) censusPeer {
	p := censusPeer{name: "C loop of getdents64 and fstatat", atMost: 1.3, missing: b.tools.need("cc")}
	if p.missing != nil {
		return p
	}
	program := filepath.Join(b.disk, "census-c")
	source := filepath.Join(b.root, "watch/proctable/testdata/census.c")
	if out, err := exec.CommandContext(ctx, b.tools["cc"], "-O2", "-o", program, source).CombinedOutput(); err != nil {
		p.missing = notMeasured(fmt.Sprintf("the C loop cannot be compiled: %v: %s", err, out))
		return p
	}
	p.count = func(ctx context.Context, c *cost) error {
		begun := time.Now()
		out, err := exec.CommandContext(ctx, program, strconv.Itoa(b.censuses)).Output()
		wall := time.Since(begun)
		if err != nil {
			return fmt.Errorf("the C loop: %v", err)
		}
		nanoseconds, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
		if err != nil {
			return fmt.Errorf("the C loop prints %q", out)
		}
		c.processor.add(nanoseconds / 1e9)
		c.wall.addTime(wall / time.Duration(b.censuses))
		return nil
	}
	return p
}

// censusTools are the tools that an administrator has. Each must find all of the processes that run
// the one file.
func censusTools(b *bench, file string, processes int) []censusPeer {
	var all []censusPeer
	for _, tool := range []struct {
		args  []string
		found func(out []byte) int
	}{
		{[]string{"pgrep", "-c", filepath.Base(file)}, func(out []byte) int {
			n, _ := strconv.Atoi(string(bytes.TrimSpace(out))) // 0 is wrong too
			return n
		}},
		{[]string{"fuser", file}, func(out []byte) int { return len(bytes.Fields(out)) }},
		{[]string{"lsof", "-t", file}, func(out []byte) int { return len(bytes.Fields(out)) }},
	} {
		name := tool.args[0]
		p := censusPeer{name: name, atLeast: 8, missing: b.tools.need(name)}
		if name == "pgrep" {
			p.name = "pgrep -c"
		}
		p.count = func(ctx context.Context, c *cost) error {
			cmd := exec.CommandContext(ctx, b.tools[name], tool.args[1:]...)
			begun := time.Now()
			out, err := cmd.Output()
			c.wall.addTime(time.Since(begun))
			if err != nil {
				return fmt.Errorf("%s: %v", strings.Join(tool.args, " "), err)
			}
			if n := tool.found(out); n != processes {
				return fmt.Errorf("%s finds %d processes, of %d", strings.Join(tool.args, " "), n, processes)
			}
			c.processor.addTime(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime())
			return nil
		}
		all = append(all, p)
	}
	return all
}

// rows is processor time, which the limits are about, and time by the clock.
func (p *censusPeer) rows(what string, ours, theirs cost) []row {
	limit := fmt.Sprintf("≤ %s", times(p.atMost))
	if p.atLeast > 0 {
		limit = fmt.Sprintf("≥ %g × faster", p.atLeast)
	}
	if p.missing != nil {
		return []row{{what: what + ", processor time", peer: p.name, limit: limit, met: p.missing.Error()}}
	}
	processor := row{
		what:    what + ", processor time",
		relinkd: duration(ours.processor.median()),
		peer:    p.name + " " + duration(theirs.processor.median()),
		limit:   limit,
	}
	wall := row{
		what:    what + ", by the clock",
		relinkd: duration(ours.wall.median()),
		peer:    p.name + " " + duration(theirs.wall.median()),
	}
	if p.atLeast > 0 {
		faster := theirs.processor.over(ours.processor).median()
		processor.ratio, processor.met = times(faster)+" faster", verdict(faster >= p.atLeast)
		wall.ratio = times(theirs.wall.over(ours.wall).median()) + " faster"
	} else {
		ratio := ours.processor.over(theirs.processor).median()
		processor.ratio, processor.met = times(ratio), verdict(ratio <= p.atMost)
		wall.ratio = times(ours.wall.over(theirs.wall).median())
	}
	return []row{processor, wall}
}
