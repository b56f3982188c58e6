package proctable

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/internal/fstest"
	"relinkd/internal/standin"
)

// checkCounts takes a census and compares it with want and with a count by hand.
func checkCounts(t *testing.T, what string, table *Table, f *Follower, paths []string, want []int) {
	t.Helper()
	take(t, table)
	c := f.Counts()
	got := make([]int, len(paths))
	for i, path := range paths {
		got[i] = c.Of(idOf(t, path))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: counted %v, want %v", what, got, want)
	}
	if hand := countByHand(t, paths...); fmt.Sprint(got) != fmt.Sprint(hand) {
		t.Errorf("%s: counted %v, but %v by hand", what, got, hand)
	}
	if !c.Fresh {
		t.Errorf("%s: the counts are not fresh", what)
	}
}

func TestRealProcesses(t *testing.T) {
	exes := files(t, "", 12)
	m := newMaster(t)
	want := make([]int, len(exes))
	var pids []int
	for i, exe := range exes {
		for range i * 3 { // the first has none
			pids = append(pids, m.start(exe))
			want[i]++
		}
	}
	table := newTable(t, "/proc")
	f, _ := follow(t, table, exes...)
	checkCounts(t, "all running", table, f, exes, want)

	for range want[11] { // the last ones started are of the last executable
		m.stop(pids[len(pids)-1])
		pids = pids[:len(pids)-1]
	}
	want[11] = 0
	checkCounts(t, "the last executable's ended", table, f, exes, want)

	m.stopAll()
	clear(want)
	checkCounts(t, "all ended", table, f, exes, want)
}

// The identity that a process shows is that of the file at its path: on overlayfs and btrfs, whose
// device numbers differ from those of the files below or beside them, as anywhere.
func TestIdentityOnFileSystems(t *testing.T) {
	fstest.Each(t, func(t *testing.T, dir string) {
		exes := files(t, dir, 3)
		m := newMaster(t)
		for range 4 {
			m.start(exes[1])
		}
		m.start(exes[2])
		table := newTable(t, "/proc")
		f, _ := follow(t, table, exes...)
		checkCounts(t, "from its path", table, f, exes, []int{0, 4, 1})

		// The packaged file does not run for long: it is caught before its first instruction.
		packaged := []string{filepath.Join(dir, fstest.Packaged)}
		held(t, packaged[0], func() {
			f, _ := follow(t, table, packaged...)
			checkCounts(t, "the packaged file", table, f, packaged, []int{1})
			if err := os.Chmod(packaged[0], 0o711); err != nil { // copies it up, on overlayfs
				t.Fatal(err)
			}
			checkCounts(t, "the packaged file, changed", table, f, packaged, []int{1})
		})
		m.stopAll() // before the file system goes
	})
}

// held calls fn while a process that has just executed path is stopped, and then ends it.
func held(t *testing.T, path string, fn func()) {
	t.Helper()
	runtime.LockOSThread() // a tracer is a thread
	defer runtime.UnlockOSThread()
	pid, err := syscall.ForkExec(path, []string{path}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Ptrace: true}})
	if err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	defer func() {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Errorf("kill %d: %v", pid, err)
		}
		for status := (unix.WaitStatus)(0); !status.Signaled(); {
			if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
				t.Errorf("wait for %d: %v", pid, err)
				return
			}
		}
	}()
	fn()
}

// An executable that was replaced is counted by its inode for as long as somebody runs it, and
// apart from the new one of its name.
func TestReplacedExecutable(t *testing.T) {
	exes := files(t, "", 1)
	m := newMaster(t)
	old := idOf(t, exes[0])
	for range 3 {
		m.start(exes[0])
	}
	if err := standin.Write(exes[0], "2"); err != nil {
		t.Fatal(err)
	}
	m.start(exes[0])
	table := newTable(t, "/proc")
	f, ids := follow(t, table, exes[0])
	f.Set(append(ids, old))
	check := func(what string, wantOld, wantNew int) {
		t.Helper()
		take(t, table)
		if c := f.Counts(); c.Of(old) != wantOld || c.Of(ids[0]) != wantNew {
			t.Errorf("%s: %d on the old and %d on the new, want %d and %d", what, c.Of(old), c.Of(ids[0]), wantOld, wantNew)
		}
	}
	check("replaced", 3, 1)
	if err := os.Remove(exes[0]); err != nil {
		t.Fatal(err)
	}
	check("removed", 3, 1)
	m.stopAll()
	check("ended", 0, 0)
}

// A process that has forked and not executed anything runs its parent's file; one that executes
// another file leaves the first, under the same pid.
func TestForkAndExec(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(shell)
	if err != nil {
		t.Fatal(err)
	}
	exes := files(t, "", 2) // the first becomes a shell
	replaceFile(t, exes[0], content)
	m := newMaster(t)
	table := newTable(t, "/proc")
	f, ids := follow(t, table, exes...)

	// Two subshells that execute nothing, and the shell that waits for them.
	m.start(exes[0], "-c", "(while read x; do :; done) | (while read x; do :; done)")
	waitCounts(t, table, f, func(c Counts) bool { return c.Of(ids[0]) == 3 })
	checkCounts(t, "forked", table, f, exes, []int{3, 0})
	m.stopAll()
	waitCounts(t, table, f, func(c Counts) bool { return c.Of(ids[0]) == 0 })

	m.start(exes[0], "-c", `exec "$0"`, exes[1])
	waitCounts(t, table, f, func(c Counts) bool { return c.Of(ids[1]) == 1 })
	checkCounts(t, "executed", table, f, exes, []int{0, 1})
}

// replaceFile puts an executable at path, as standin.Write does.
func replaceFile(t *testing.T, path string, content []byte) {
	t.Helper()
	syscall.ForkLock.RLock() // so that no child inherits the descriptor: ETXTBSY
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path+".new", content, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// waitCounts takes censuses until one satisfies done.
func waitCounts(t *testing.T, table *Table, f *Follower, done func(Counts) bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		take(t, table)
		if done(f.Counts()) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the processes have not come to where they should be for 10 s")
		}
	}
}

// Processes that begin and end while they are being looked at are no error, and no count is ever
// below what is certainly there or above what could be.
func TestStorm(t *testing.T) {
	const lanes, alive, spawns = 4, 20, 1500
	exes := files(t, "", lanes)
	m := newMaster(t)
	for _, exe := range exes { // one that stays, each
		m.start(exe)
	}
	table := newTable(t, "/proc")
	f, ids := follow(t, table, exes...)
	take(t, table)
	before := table.Stats().Unreadable

	storms := make([]storm, lanes)
	var running sync.WaitGroup
	defer running.Wait()
	for i := range storms {
		running.Go(func() { storms[i].run(t, exes[i], alive, spawns) })
	}
	ended := make(chan struct{})
	go func() { running.Wait(); close(ended) }()
	censuses, moving := 0, 0
	for more := true; more; censuses++ {
		select {
		case <-ended:
			more = false
		default:
		}
		var endedBefore [lanes]int64
		for i := range storms {
			endedBefore[i] = storms[i].ended.Load()
		}
		take(t, table)
		c := f.Counts()
		for i, id := range ids {
			// A census takes its time, so it may see one that ends and then the next.
			most := 1 + int(storms[i].begun.Load()-endedBefore[i])
			n := c.Of(id)
			if n < 1 || n > most {
				t.Fatalf("counted %d processes of executable %d, of which there were 1 to %d", n, i+1, most)
			}
			if n > 1 {
				moving++
			}
		}
		if s := table.Stats(); os.Geteuid() == 0 && s.Unreadable != before {
			t.Fatalf("%d processes unreadable in the storm, %d before", s.Unreadable, before)
		}
	}
	t.Logf("%d censuses during %d spawns; %d counts saw more than the one that stays", censuses, spawns*lanes, moving)
	if moving == 0 {
		t.Error("the storm was never seen: this test proves nothing")
	}
	checkCounts(t, "after the storm", table, f, exes, []int{1, 1, 1, 1})
}

// storm is one executable's part of TestStorm.
type storm struct {
	begun atomic.Int64 // processes, each before it is started
	ended atomic.Int64 // processes, each after it is reaped
}

// run starts exe many times over, with at most alive at a time, each killed in its turn.
func (s *storm) run(t *testing.T, exe string, alive, spawns int) {
	stdin, hold, err := os.Pipe()
	if err != nil {
		t.Error(err)
		return
	}
	defer stdin.Close()
	defer hold.Close()
	var pids []int
	end := func() {
		pid := pids[0]
		pids = pids[1:]
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Errorf("kill %d: %v", pid, err)
		}
		if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
			t.Errorf("wait for %d: %v", pid, err)
		}
		s.ended.Add(1)
	}
	defer func() {
		for len(pids) > 0 {
			end()
		}
	}()
	for range spawns {
		if len(pids) == alive {
			end()
		}
		s.begun.Add(1)
		pid, err := syscall.ForkExec(exe, []string{"imapd"}, &syscall.ProcAttr{Files: []uintptr{stdin.Fd()}})
		if err != nil {
			t.Errorf("start %s: %v", exe, err)
			return
		}
		pids = append(pids, pid)
	}
}

// A census allocates nothing for a process, nor for itself.
func TestCensusAllocatesNothing(t *testing.T) {
	exes := files(t, "", 2)
	m := newMaster(t)
	const n = 200
	for range n {
		m.start(exes[1])
	}
	table := newTable(t, "/proc")
	_, ids := follow(t, table, exes...)
	in := index{ids[0]: 0, ids[1]: 1}
	var found tally
	allocs := testing.AllocsPerRun(20, func() {
		if err := table.census.take(in, &found, nil, func() {}); err != nil {
			t.Error(err)
		}
	})
	if found.counts[1] != n {
		t.Errorf("counted %d, want %d", found.counts[1], n)
	}
	if allocs != 0 {
		t.Errorf("%v allocations a census of %d processes, want none", allocs, found.processes)
	}
}
