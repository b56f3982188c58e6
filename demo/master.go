package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"relinkd/fsys"
)

// The pace of the load. A life of 4 s on average lets 60 of 240 processes end a second.
const (
	spawnsPerSecond = 70 // at most: the population is complete after some seconds
	shortestLife    = time.Second
	longestLife     = 7 * time.Second
)

// master does what the master of a mail server does: it starts service processes through one path,
// again and again, and reaps them. For every process it looks in /proc at what it really runs, so
// that what it tallies does not depend on relinkd's word.
type master struct {
	path       string
	population int // processes to keep alive

	mu      sync.Mutex
	state   state
	t       tally
	running map[fsys.ID]int      // living processes of each executable
	first   map[string]time.Time // when the first process of each content was seen running
}

// state is what the demonstration has done so far, as far as it decides what a spawn counts as.
type state struct {
	retired   string // the content that no process begun from now on may run
	deletions int    // of path, by the demonstration
	deleted   bool   // path is not back yet
}

// tally is what a master counted.
type tally struct {
	spawns       int   // processes started, and those that should have been
	failed       int   // spawns that failed, and processes that ended otherwise than with exit code 0
	firstFailure error // the first of these
	refused      int   // further spawns, which failed because the demonstration had deleted path
	outdated     int   // processes that were begun after their content had been retired
	alive        int
	highest      int // most processes on one executable at one time
}

func newMaster(path string, population int) *master {
	return &master{
		path:       path,
		population: population,
		running:    make(map[fsys.ID]int),
		first:      make(map[string]time.Time),
	}
}

// run keeps the population alive until ctx ends. It returns when every process has been reaped.
func (m *master) run(ctx context.Context) {
	var children sync.WaitGroup
	defer children.Wait()
	pace := time.NewTicker(time.Second / spawnsPerSecond)
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		if m.tally().alive >= m.population {
			continue
		}
		if c := m.spawn(); c != nil {
			life := shortestLife + rand.N(longestLife-shortestLife)
			children.Go(func() { m.attend(ctx, c, life) })
		}
	}
}

// child is one living service process. It ends when its input does, so it cannot outlive us.
type child struct {
	cmd   *exec.Cmd
	input io.Closer
	id    fsys.ID // what it runs
}

// spawn starts one process and tallies it; nil when it could not be started.
func (m *master) spawn() *child {
	m.mu.Lock()
	before := m.state
	m.mu.Unlock()

	c := &child{cmd: exec.Command(m.path)}
	// A process group of its own: a ^C at the terminal is for the demonstration alone.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	input, err := c.cmd.StdinPipe()
	if err == nil {
		c.input = input
		err = c.cmd.Start()
	}
	if err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		if errors.Is(err, fs.ErrNotExist) && (before.deleted || before.deletions != m.state.deletions) {
			m.t.refused++
			return nil
		}
		m.t.spawns++
		m.fail(err)
		return nil
	}
	// Start returns when the child has executed: what /proc shows is the service, no longer us.
	id, content, err := executable(c.cmd.Process.Pid)
	c.id = id

	m.mu.Lock()
	defer m.mu.Unlock()
	m.t.spawns++
	m.t.alive++
	m.running[id]++
	if err != nil {
		m.fail(err)
		return c
	}
	m.t.highest = max(m.t.highest, m.running[id])
	if _, known := m.first[content]; !known {
		m.first[content] = time.Now()
	}
	if content == before.retired {
		m.t.outdated++
	}
	return c
}

// attend lets a process live, ends it and reaps it.
func (m *master) attend(ctx context.Context, c *child, life time.Duration) {
	end := time.NewTimer(life)
	defer end.Stop()
	select {
	case <-ctx.Done():
	case <-end.C:
	}
	c.input.Close()
	deadline := time.AfterFunc(stopTimeout, func() { c.cmd.Process.Kill() })
	defer deadline.Stop()
	err := c.cmd.Wait()

	m.mu.Lock()
	defer m.mu.Unlock()
	m.t.alive--
	if m.running[c.id]--; m.running[c.id] == 0 {
		delete(m.running, c.id) // the inode may be given to another file now
	}
	if err != nil {
		m.fail(fmt.Errorf("process %d ended with %w", c.cmd.Process.Pid, err))
	}
}

// fail tallies a failure; m.mu is held.
func (m *master) fail(err error) {
	m.t.failed++
	if m.t.firstFailure == nil {
		m.t.firstFailure = err
	}
}

// tally returns the counts of this instant.
func (m *master) tally() tally {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.t
}

// retire says that a process which is begun from now on must not run this content.
func (m *master) retire(content []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.retired = string(content)
}

// firstRun is when the first process of this content was seen running; zero when none was.
func (m *master) firstRun(content []byte) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.first[string(content)]
}

// deleting says that the demonstration is about to delete path.
func (m *master) deleting() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.deletions++
	m.state.deleted = true
}

// back says that path has been seen again.
func (m *master) back() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.deleted = false
}

// executable looks at what a process runs, by the file itself and never by its name.
func executable(pid int) (fsys.ID, string, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return fsys.ID{}, "", fmt.Errorf("cannot see what process %d runs: %w", pid, err)
	}
	defer f.Close()
	info, err := fsys.Fstat(f)
	if err != nil {
		return fsys.ID{}, "", fmt.Errorf("cannot see what process %d runs: %w", pid, err)
	}
	content, err := io.ReadAll(io.LimitReader(f, 1<<16))
	return info.ID, string(content), err
}
