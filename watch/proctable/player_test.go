package proctable

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/pool"
	"relinkd/watch/procevents"
)

// player plays the kernel to a running Table: events come from a socket and at their pace, and what they
// tell of is in a procfs of its own by then. Its processes begin on the copy that a link leads to, which a
// follower of the table moves as the policy asks.
type player struct {
	t      *testing.T
	proc   *fakeProc
	socket int // what is written there is what the kernel tells
	policy pool.Policy
	copies []string
	link   atomic.Int64 // the copy that processes begin on, from 0

	began time.Time
	due   time.Time     // when the next event is to be told
	told  int           // events
	world map[int32]int // the copy that each process executes

	running []int // processes on each copy, in truth
	highest int
	starts  []int64 // when each execution was told, by the clock of events

	table     *Table
	follower  *Follower
	ids       []fsys.ID
	rotations atomic.Int64
	censuses  int // before the first event
}

func newPlayer(t *testing.T, threshold int) *player {
	t.Helper()
	p := &player{t: t, policy: replayPolicy(threshold), proc: memoryProc(t), copies: files(t, "", replayCopies), world: map[int32]int{}, running: make([]int, replayCopies)}
	table, err := New(Options{Proc: p.proc.dir, Interval: time.Hour, Events: EventsNetlink})
	if err != nil {
		t.Fatal(err)
	}
	p.table = table
	// No limit is set to how many datagrams wait in a connected pair but the sender's memory: it waits then.
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.socket = pair[0]
	if unix.SetsockoptInt(p.socket, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, procevents.ReceiveBuffer) != nil { // an ordinary user
		err := unix.SetsockoptInt(p.socket, unix.SOL_SOCKET, unix.SO_SNDBUF, procevents.ReceiveBuffer)
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { unix.Close(p.socket) })
	table.subscribe = func(int) (*procevents.Connector, error) {
		return procevents.Of(pair[1], true)
	}
	reached := make(chan struct{}, 1)
	p.follower = table.Follow(func() {
		select {
		case reached <- struct{}{}:
		default:
		}
	})
	for _, path := range p.copies {
		p.ids = append(p.ids, idOf(t, path))
	}
	p.follower.Set(p.ids)
	ended, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		p.steer(reached, ended)
	}()
	t.Cleanup(func() { close(ended); <-over })
	run(t, table)
	p.censuses = table.Stats().Censuses
	p.began = time.Now()
	p.due = p.began
	return p
}

// memoryProc is a procfs on no disk, where there is a place for it: a disk would slow everything down.
func memoryProc(t *testing.T) *fakeProc {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "proc-")
	if err != nil {
		t.Logf("processes are played on a disk: %v", err)
		return newFakeProc(t)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &fakeProc{t: t, dir: dir}
	p.mkdir("1")
	return p
}

// steer moves the link as a target does, until it has ended.
func (p *player) steer(reached, ended <-chan struct{}) {
	rotated := time.Now()
	for {
		select {
		case <-ended:
			return
		case <-reached:
		}
		counts := p.follower.Counts()
		if !counts.Fresh {
			continue
		}
		view := pool.View{Current: int(p.link.Load()) + 1, Latency: p.follower.Latency(), Rate: p.follower.Rate(), SinceRotation: time.Since(rotated), NoGrowth: true}
		view.Surge, _ = p.follower.Surge()
		for i, id := range p.ids {
			view.Loads = append(view.Loads, pool.Load{Number: i + 1, Processes: counts.Of(id)})
		}
		d := pool.Choose(p.policy, view)
		if d.Action == pool.Rotate {
			p.link.Store(int64(d.To) - 1)
			p.follower.Acted()
			rotated = time.Now()
			p.rotations.Add(1)
			view.Current, view.SinceRotation = d.To, 0
			d = pool.Choose(p.policy, view)
		}
		p.follower.Mark(p.ids[p.link.Load()], d.Next, d.Most)
	}
}

// executes reports whether a process executes a copy.
func (p *player) executes(pid int32) bool {
	_, does := p.world[pid]
	return does
}

// The pace of events. To wait for each would take longer than all else.
const (
	atOnce      = time.Millisecond     // events of so long a time are told one after the other
	mostCatchUp = 5 * time.Millisecond // how late an event may be for those after it to make up for that
)

// tell has happen what the event e tells of, after which its process executes a copy or not, and tells it
// when it is its turn.
func (p *player) tell(message []byte, e procevents.Event, executes bool) {
	p.t.Helper()
	if early := time.Until(p.due); early > atOnce {
		time.Sleep(early) // the pace of the events, no synchronisation
	} else if early < -mostCatchUp { // a busy machine makes fewer events a second, and then not more
		p.due = time.Now().Add(-mostCatchUp)
	}
	p.due = p.due.Add(time.Second / eventsASecond)
	p.told++
	switch {
	case executes && !p.executes(e.PID):
		p.begin(e.PID)
	case !executes && p.executes(e.PID):
		p.end(e.PID)
	}
	message = slices.Clone(message)
	// The time stands behind what has happened, in all kernels (linux/cn_proc.h).
	binary.NativeEndian.PutUint64(message[44:], uint64(procevents.Monotonic()))
	for {
		_, err := unix.Write(p.socket, message)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			p.t.Fatal(err)
		}
		return
	}
}

// exe is the name of a process's link to its executable.
func (p *player) exe(pid int32) string {
	return filepath.Join(p.proc.dir, strconv.Itoa(int(pid)), "exe")
}

// begin has a process execute the copy that the link leads to.
func (p *player) begin(pid int32) {
	at := int(p.link.Load())
	name := p.exe(pid)
	if err := os.Mkdir(filepath.Dir(name), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		p.t.Fatal(err)
	}
	if err := os.Symlink(p.copies[at], name); err != nil {
		p.t.Fatal(err)
	}
	p.world[pid] = at
	p.running[at]++
	p.highest = max(p.highest, p.running[at])
	p.starts = append(p.starts, procevents.Monotonic())
}

func (p *player) end(pid int32) {
	if err := os.Remove(p.exe(pid)); err != nil {
		p.t.Fatal(err)
	}
	p.running[p.world[pid]]--
	delete(p.world, pid)
}

// most is the most executions that there were within so long a time.
func (p *player) most(within time.Duration) (most int) {
	first := 0
	for i, at := range p.starts {
		for at-p.starts[first] > int64(within) {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// check checks that the threshold has held as well as it can, and that the table has it right in the end.
func (p *player) check() {
	p.t.Helper()
	took := time.Since(p.began)
	counted := func() []int {
		counts, n := p.follower.Counts(), make([]int, len(p.ids))
		for i, id := range p.ids {
			n[i] = counts.Of(id)
		}
		return n
	}
	until(p.t, "all events are read", func() bool { return slices.Equal(counted(), p.running) })
	late := p.follower.Latency()
	unseen, mark := p.most(late), pool.Mark(p.policy, pool.View{})
	p.t.Logf("%d events in %v, %.0f a second; %d executions, %d within the longest latency, %v; %d rotations; most on a copy: %d",
		p.told, took, float64(p.told)/took.Seconds(), len(p.starts), unseen, late, p.rotations.Load(), p.highest)
	if p.highest > mark+unseen+1 {
		p.t.Errorf("%d on one copy: more than the mark, %d, and the %d that began in %v", p.highest, mark, unseen, late)
	}
	if p.highest > p.policy.Threshold && mark+unseen < p.policy.Threshold {
		p.t.Errorf("%d on one copy, the threshold is %d", p.highest, p.policy.Threshold)
	}
	if n := p.rotations.Load(); n < 20 {
		p.t.Errorf("%d rotations: this proves nothing", n)
	}
	if s := p.table.Stats(); s.Accounting != accountingEvents || s.Overflows != 0 || s.Subscriptions != 1 || s.Censuses != p.censuses {
		p.t.Errorf("%+v, want counts by events alone, after %d censuses", s, p.censuses)
	}
	take(p.t, p.table)
	if !slices.Equal(counted(), p.running) {
		p.t.Errorf("a census finds %v, there are %v", counted(), p.running)
	}
}
