package proctable

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// An ordinary user cannot see what the processes of others execute. That is a number to show, and
// not a count of zero.
func TestOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		table := newTable(t, "/proc")
		take(t, table)
		if s := table.Stats(); s.Unreadable == 0 {
			t.Errorf("none of %d processes was unreadable, but init is not ours", s.Processes)
		}
		return
	}
	exes := files(t, "", 1)
	m := newMaster(t)
	const n = 7
	for range n {
		m.start(exes[0])
	}
	table := newTable(t, "/proc")
	f, ids := follow(t, table, exes...)
	take(t, table)
	if s, hand := table.Stats(), unreadableByHand(t); s.Unreadable != hand {
		t.Errorf("%d of %d processes unreadable for root, but %d by hand", s.Unreadable, s.Processes, hand)
	}
	var err error
	asNobody(t, func() { err = table.Take() })
	if err != nil {
		t.Fatal(err)
	}
	c, s := f.Counts(), table.Stats()
	if c.Of(ids[0]) != 0 || s.Unreadable < n || s.Unreadable > s.Processes {
		t.Errorf("as nobody: counted %d, %d of %d unreadable; want 0 and at least %d", c.Of(ids[0]), s.Unreadable, s.Processes, n)
	}
}

// unreadableByHand counts the processes whose executable this process cannot look at: none for a
// root that lacks nothing, but one in a sandbox whose init has more rights than its root.
func unreadableByHand(t *testing.T) int {
	t.Helper()
	exes, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, exe := range exes {
		if _, err := os.Stat(exe); err != nil && !errors.Is(err, os.ErrNotExist) {
			n++
		}
	}
	return n
}

// hidepid=2 hides the processes of others even from the list.
func TestHiddenProcesses(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: left out the test on a procfs with hidepid=2, which has to be mounted")
	}
	dir := filepath.Join(t.TempDir(), "proc")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("proc", dir, "proc", 0, "hidepid=2"); err != nil {
		t.Fatalf("mount procfs with hidepid=2: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	table := newTable(t, dir)
	take(t, table)
	all := table.Stats()
	var err error
	asNobody(t, func() { err = table.Take() })
	if err != nil {
		t.Fatal(err)
	}
	s := table.Stats()
	if s.Processes >= all.Processes {
		t.Fatalf("nobody sees %d processes, root %d: hidepid=2 hides nothing, so this proves nothing", s.Processes, all.Processes)
	}
	if s.Unreadable == 0 {
		t.Errorf("nothing unreadable in a procfs that shows %d of %d processes", s.Processes, all.Processes)
	}
}
