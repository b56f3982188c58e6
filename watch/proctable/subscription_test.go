package proctable

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/watch/procevents"
)

// needEvents skips a test where the kernel tells this process of no events.
func needEvents(t testing.TB) {
	t.Helper()
	conn, err := procevents.Subscribe(procevents.ReceiveBuffer)
	if err != nil {
		t.Skipf("left out: no process events here: %v", err)
	}
	conn.Close()
}

// running is a table that counts by events, with an hour between two censuses, so that what is counted
// was counted by events.
func running(t testing.TB, buffer int) *Table {
	t.Helper()
	needEvents(t)
	table, err := New(Options{Proc: "/proc", Interval: time.Hour, Events: EventsNetlink, ReceiveBuffer: buffer})
	if err != nil {
		t.Fatal(err)
	}
	run(t, table)
	return table
}

// run runs a table until the test ends, and waits until it is ready.
func run(t testing.TB, table *Table) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- table.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v after its context ended, want nil", err)
		}
		table.Close()
	})
	select {
	case <-table.Ready():
	case <-time.After(30 * time.Second):
		t.Fatalf("not ready for 30 s: %+v", table.Stats())
	}
}

// until waits until something is so, for half a minute.
func until(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not for 30 s: %s", what)
		}
	}
}

// settled waits until a follower has the counts of executables that are wanted, and a count by hand has
// them too.
func settled(t testing.TB, what string, f *Follower, paths []string, ids []fsys.ID, want ...int) {
	t.Helper()
	got := make([]int, len(ids))
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Microsecond) {
		c := f.Counts()
		for i, id := range ids {
			got[i] = c.Of(id)
		}
		if c.Fresh && slices.Equal(got, want) && slices.Equal(countByHand(t, paths...), want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: counted %v, and %v by hand, want %v", what, got, countByHand(t, paths...), want)
		}
	}
}

// Everything that can begin or end a process's use of an executable is counted when it happens, without
// a census.
func TestEvents(t *testing.T) {
	table := running(t, 0)
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(shell)
	if err != nil {
		t.Fatal(err)
	}
	exes := files(t, "", 3) // the last one becomes a shell
	replaceFile(t, exes[2], content)
	m := newMaster(t)
	before := m.start(exes[0])
	f, ids := follow(t, table, exes...)
	settled(t, "begun before they were followed", f, exes, ids, 1, 0, 0)
	censuses := table.Stats().Censuses

	pid := m.start(exes[1])
	settled(t, "executed", f, exes, ids, 1, 1, 0)
	m.stop(pid)
	settled(t, "ended", f, exes, ids, 1, 0, 0)
	m.stop(before)
	settled(t, "ended, of those before", f, exes, ids, 0, 0, 0)

	shells := m.start(exes[2], "-c", "(while read x; do :; done) | (while read x; do :; done)")
	settled(t, "forked without executing", f, exes, ids, 0, 0, 3)
	m.stop(shells)
	settled(t, "ended with what they forked", f, exes, ids, 0, 0, 0)
	m.start(exes[2], "-c", `exec "$0"`, exes[0])
	settled(t, "executed one file, then another", f, exes, ids, 1, 0, 0)
	m.start(exes[2], "-c", `while read x; do :; done; :`)
	m.start(exes[2], "-c", `exec "$0" -c 'while read x; do :; done; :'`, exes[2])
	settled(t, "executed its own file again", f, exes, ids, 1, 0, 2)
	m.stopAll()
	settled(t, "all ended", f, exes, ids, 0, 0, 0)

	s := table.Stats()
	if s.Accounting != "netlink" || s.AccountingReason != "" || s.Overflows != 0 || s.Subscriptions != 1 || s.Censuses != censuses {
		t.Errorf("%+v, want counts by events alone, after %d censuses", s, censuses)
	}
	if l := f.Latency(); l <= 0 || l > 10*time.Second {
		t.Errorf("the longest latency is %v", l)
	}
	if p := f.Counts().Peak(ids[2]); p != 3 {
		t.Errorf("the peak is %d, want 3", p)
	}
}

// An executable that was replaced while processes run it is counted by its inode as they end.
func TestEventsOfReplaced(t *testing.T) {
	table := running(t, 0)
	exes := files(t, "", 1)
	m := newMaster(t)
	old := idOf(t, exes[0])
	pids := []int{m.start(exes[0]), m.start(exes[0])}
	f, _ := follow(t, table, exes...)
	replaceFile(t, exes[0], mustRead(t, files(t, "", 2)[1]))
	ids := []fsys.ID{idOf(t, exes[0]), old}
	f.Set(ids)
	check := func(what string, now, before int) {
		t.Helper()
		until(t, what, func() bool {
			c := f.Counts()
			return c.Fresh && c.Of(ids[0]) == now && c.Of(old) == before
		})
	}
	check("replaced", 0, 2)
	m.start(exes[0])
	check("one of the new", 1, 2)
	m.stop(pids[0])
	check("one of the old ended", 1, 1)
	m.stop(pids[1])
	check("both ended", 1, 0)
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// Threads are no processes: neither their beginning nor their end counts, nor wakes anybody. A thread
// that executes takes its process over.
func TestThreads(t *testing.T) {
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skipf("left out, it needs a C compiler: %v", err)
	}
	table := running(t, 0)
	exes := files(t, "", 2)
	if out, err := exec.Command("cc", "-pthread", "-o", exes[0], "testdata/threads.c").CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	f, ids := follow(t, table, exes...)
	m := newMaster(t)
	m.start(exes[0], "wait")
	settled(t, "eight threads", f, exes, ids, 1, 0)
	m.start(exes[0], "leave") // the first thread ends, others go on: /proc shows no executable any more
	settled(t, "without its first thread", f, exes, ids, 1, 0)
	m.start(exes[0], "exec", exes[1])
	settled(t, "a thread has executed", f, exes, ids, 1, 1)
	m.stopAll()
	settled(t, "all ended", f, exes, ids, 0, 0)
}

// A pid that is used again at once is the new process's.
func TestPIDReuse(t *testing.T) {
	const last = "/proc/sys/kernel/ns_last_pid"
	if os.Geteuid() != 0 {
		t.Skip("left out, it needs root: choosing the pid of the next process")
	}
	table := running(t, 0)
	exes := files(t, "", 2)
	f, ids := follow(t, table, exes...)
	m := newMaster(t)
	pid := m.start(exes[0])
	settled(t, "the first", f, exes, ids, 1, 0)
	m.stop(pid)
	reused := 0
	for range 200 { // others take pids, too
		if err := os.WriteFile(last, []byte(fmt.Sprint(pid-1)), 0); err != nil {
			t.Skipf("left out: the next pid cannot be chosen here: %v", err)
		}
		got := m.start(exes[1])
		if got == pid {
			reused++
			settled(t, "the second, with the first one's pid", f, exes, ids, 0, 1)
		}
		m.stop(got)
	}
	if reused == 0 {
		t.Error("no pid was used again: this test proves nothing")
	}
	settled(t, "all ended", f, exes, ids, 0, 0)
}

// Whoever has asked for it hears at once of the process that reaches a mark, once, and how long that
// took; and of other changes some time later.
func TestMark(t *testing.T) {
	table := running(t, 0)
	exes := files(t, "", 2)
	ids := []fsys.ID{idOf(t, exes[0]), idOf(t, exes[1])}
	var told atomic.Int64
	f := table.Follow(func() { told.Add(1) })
	f.Set(ids)
	until(t, "fresh", func() bool { return f.Counts().Fresh && told.Load() > 0 })
	m := newMaster(t)

	if _, ok := f.Acted(); ok {
		t.Error("acted upon a mark that nobody has set")
	}
	f.Mark(ids[0], 3, 0)
	for range 2 {
		m.start(exes[0])
	}
	for range 5 {
		m.start(exes[1])
	}
	settled(t, "below the mark", f, exes, ids, 2, 5)
	if _, ok := f.Acted(); ok {
		t.Error("acted upon a mark that was not reached")
	}
	m.start(exes[0])
	settled(t, "at the mark", f, exes, ids, 3, 5)
	if d, ok := f.Acted(); !ok || d <= 0 || d > f.Latency() {
		t.Errorf("acted after %v, %v; the longest latency is %v", d, ok, f.Latency())
	}
	if _, ok := f.Acted(); ok {
		t.Error("acted twice upon one mark")
	}
	m.start(exes[0])
	settled(t, "above the mark", f, exes, ids, 4, 5)
	if _, ok := f.Acted(); ok {
		t.Error("a mark was reached twice")
	}
	until(t, "told of the last change, too", func() bool { n := told.Load(); return n > 1 })

	// A mark that is below what there is already is reached as it is set.
	before := told.Load()
	f.Mark(ids[1], 5, 0)
	if told.Load() == before {
		t.Error("not told of a mark that was reached before it was set")
	}
}

// Processes by the thousand, from several lanes, short-lived ones among them, end as what a census says.
func TestEventStorm(t *testing.T) {
	storm := func(t *testing.T, buffer int) *Table {
		const lanes = 4
		spawns := 1500
		table := running(t, buffer)
		exes := files(t, "", lanes)
		m := newMaster(t)
		for _, exe := range exes {
			m.start(exe)
		}
		f, ids := follow(t, table, exes...)
		settled(t, "before", f, exes, ids, 1, 1, 1, 1)
		storms := make([]storm, lanes)
		var lane sync.WaitGroup
		for i := range storms {
			lane.Go(func() { storms[i].run(t, exes[i], 20*i+1, spawns) })
		}
		lane.Wait()
		settled(t, "after the storm", f, exes, ids, 1, 1, 1, 1)
		peak := f.Counts().Peak(ids[3])
		t.Logf("%+v, rate %.0f, latency %v, peak %d of 62", table.Stats(), f.Rate(), f.Latency(), peak)
		if peak > 62 {
			t.Errorf("peak %d, there were at most 62", peak)
		}
		return table
	}
	t.Run("all read", func(t *testing.T) {
		table := storm(t, 0)
		if s := table.Stats(); s.Overflows != 0 || s.Subscriptions != 1 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("overflow", func(t *testing.T) {
		table := storm(t, 1) // the kernel makes it about 2 KiB: two events
		if s := table.Stats(); s.Overflows == 0 || s.Subscriptions != 1 {
			t.Errorf("%+v, want overflows", s)
		}
		until(t, "counting by events again", func() bool { return table.Stats().AccountingReason == "" })
	})
}

// A kernel that goes silent is found out by the next census, and asked anew.
func TestSilentKernel(t *testing.T) {
	table := running(t, 0)
	exes := files(t, "", 1)
	f, ids := follow(t, table, exes...)
	settled(t, "none", f, exes, ids, 0)
	table.counting.Lock()
	deaf := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	err := table.conn.SetFilter(deaf)
	table.counting.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	m := newMaster(t)
	m.start(exes[0])
	take(t, table)
	settled(t, "by the census", f, exes, ids, 1)
	until(t, "subscribed anew", func() bool { s := table.Stats(); return s.Subscriptions == 2 && s.AccountingReason == "" })
	m.start(exes[0])
	settled(t, "by events again", f, exes, ids, 2)
}

// Events can be switched off and on while the table runs.
func TestSetEvents(t *testing.T) {
	table := running(t, 0)
	exes := files(t, "", 1)
	f, ids := follow(t, table, exes...)
	settled(t, "none", f, exes, ids, 0)
	m := newMaster(t)
	table.SetEvents(EventsOff)
	until(t, "off", func() bool { return table.Stats().Accounting == "census" })
	if s := table.Stats(); !strings.Contains(s.AccountingReason, `census.events is "off"`) || s.EventsMissing {
		t.Errorf("%+v", s)
	}
	m.start(exes[0])
	settled(t, "by a census", f, exes, ids, 1)
	table.SetEvents(EventsAuto)
	until(t, "on", func() bool { s := table.Stats(); return s.Accounting == "netlink" && s.AccountingReason == "" })
	censuses := table.Stats().Censuses
	m.start(exes[0])
	settled(t, "by an event", f, exes, ids, 2)
	if got := table.Stats().Censuses; got != censuses {
		t.Errorf("%d censuses, want %d", got, censuses)
	}
}

// Where the kernel gives no events, counts come from censuses, and the reason is told. The test runs
// itself in a namespace of each kind that keeps events away.
func TestNamespaces(t *testing.T) {
	const inside = "RELINKD_TEST_NAMESPACE"
	if os.Getenv(inside) != "" {
		table, err := New(Options{Proc: "/proc", Interval: time.Hour, Events: EventsNetlink})
		if err != nil {
			t.Fatal(err)
		}
		run(t, table)
		exes := files(t, "", 1)
		f, ids := follow(t, table, exes...)
		m := newMaster(t)
		m.start(exes[0])
		until(t, "counted", func() bool { return f.Counts().Of(ids[0]) == 1 })
		fmt.Printf("stats: %+v\n", table.Stats())
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("left out, it needs root: namespaces without process events")
	}
	for name, c := range map[string]struct {
		flags  uintptr
		script string
		reason string
	}{
		"pid":     {unix.CLONE_NEWPID | unix.CLONE_NEWNS, `mount --make-rprivate / && mount -t proc proc /proc && exec "$0" "$@"`, "does not acknowledge"},
		"network": {unix.CLONE_NEWNET, `exec "$0" "$@"`, "network namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("sh", "-c", c.script, os.Args[0], "-test.run=^TestNamespaces$", "-test.v")
			cmd.Env = append(os.Environ(), inside+"="+name)
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: c.flags, Pdeathsig: unix.SIGKILL}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range []string{"Accounting:census", c.reason, "EventsMissing:true"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("want %q in\n%s", want, out)
				}
			}
		})
	}
}

// What nobody counts does not even reach this process: threads, and changes of credentials or names.
func TestFilter(t *testing.T) {
	needEvents(t)
	conn, err := procevents.Subscribe(procevents.ReceiveBuffer)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	threads := make(chan struct{})
	for range 8 { // goroutines that end with their thread
		go func() {
			runtime.LockOSThread()
			threads <- struct{}{}
		}()
		<-threads
	}
	m := newMaster(t)
	pid := int32(m.start(files(t, "", 1)[0]))
	m.stop(int(pid))
	var seen []procevents.Kind
	until(t, "the process has begun and ended", func() bool {
		n, errno := conn.Receive()
		if errno != 0 && errno != unix.EAGAIN {
			t.Fatal(errno)
		}
		for i := range n {
			e, rest, err := procevents.Cut(conn.Datagram(i))
			if err != nil || len(rest) > 0 {
				t.Fatalf("%v, %d bytes left", err, len(rest))
			}
			if e.Kind < procevents.Fork {
				t.Errorf("passed the filter: % x", conn.Datagram(i))
			}
			if e.PID == pid {
				seen = append(seen, e.Kind)
			}
		}
		return len(seen) == 3
	})
	if !slices.Equal(seen, []procevents.Kind{procevents.Fork, procevents.Exec, procevents.Exit}) {
		t.Errorf("the process's events were %v", seen)
	}
}
