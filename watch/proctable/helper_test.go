package proctable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/internal/standin"
)

// fakeProc is a directory in which a census finds what it would find in procfs: processes that are
// a directory each, with a symbolic link to the executable.
type fakeProc struct {
	t   testing.TB
	dir string
}

// newFakeProc has process 1, as any procfs has, executing nothing.
func newFakeProc(t testing.TB) *fakeProc {
	t.Helper()
	p := &fakeProc{t: t, dir: t.TempDir()}
	p.mkdir("1")
	return p
}

func (p *fakeProc) mkdir(name string) string {
	p.t.Helper()
	dir := filepath.Join(p.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		p.t.Fatal(err)
	}
	return dir
}

// exec makes the process pid execute path, whether or not there was such a process.
func (p *fakeProc) exec(pid int, path string) {
	p.t.Helper()
	dir := p.mkdir(strconv.Itoa(pid))
	if err := os.Symlink(path, filepath.Join(dir, "new")); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "exe")); err != nil {
		p.t.Fatal(err)
	}
}

// exit ends the process pid.
func (p *fakeProc) exit(pid int) {
	p.t.Helper()
	if err := os.RemoveAll(filepath.Join(p.dir, strconv.Itoa(pid))); err != nil {
		p.t.Fatal(err)
	}
}

// newTable counts in proc, at the interval of one second.
func newTable(t testing.TB, proc string) *Table {
	t.Helper()
	table, err := New(Options{Proc: proc, Interval: maxInterval})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	return table
}

// take takes a census that must succeed.
func take(t testing.TB, table *Table) {
	t.Helper()
	if err := table.Take(); err != nil {
		t.Fatal(err)
	}
}

// follow is a follower of the executables at paths, and their identities in that order.
func follow(t testing.TB, table *Table, paths ...string) (*Follower, []fsys.ID) {
	t.Helper()
	ids := make([]fsys.ID, len(paths))
	for i, path := range paths {
		ids[i] = idOf(t, path)
	}
	f := table.Follow(nil)
	f.Set(ids)
	return f, ids
}

// idOf identifies what path leads to.
func idOf(t testing.TB, path string) fsys.ID {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatalf("stat %s: %v", path, err)
	}
	return fsys.InfoOf(&st).ID
}

// files makes n different executables in dir, or in a scratch directory when dir is "".
func files(t testing.TB, dir string, n int) []string {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	paths := make([]string, n)
	for i := range paths {
		paths[i] = filepath.Join(dir, fmt.Sprintf("imapd_%03d", i+1))
		if err := standin.Write(paths[i], strconv.Itoa(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	return paths
}

// master starts real processes that run until they are stopped, or until the test ends in whatever
// way: they read a pipe whose other end the test holds.
type master struct {
	t       testing.TB
	stdin   *os.File
	hold    *os.File
	null    *os.File
	running map[int]bool
}

func newMaster(t testing.TB) *master {
	t.Helper()
	stdin, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	m := &master{t: t, stdin: stdin, hold: hold, null: null, running: map[int]bool{}}
	t.Cleanup(func() {
		m.stopAll()
		for _, f := range []*os.File{stdin, hold, null} {
			f.Close()
		}
	})
	return m
}

// start returns the pid of a process that executes path already. It forks by hand: os/exec would
// hold a descriptor a process.
func (m *master) start(path string, args ...string) int {
	m.t.Helper()
	pid, err := syscall.ForkExec(path, append([]string{"imapd"}, args...), &syscall.ProcAttr{
		Files: []uintptr{m.stdin.Fd(), m.null.Fd(), m.null.Fd()},
		Sys:   &syscall.SysProcAttr{Setpgid: true}, // so that what it forks ends with it
	})
	if err != nil {
		m.t.Fatalf("start %s: %v", path, err)
	}
	m.running[pid] = true
	return pid
}

// stop ends a process that start has started, and all that it forked, and reaps it.
func (m *master) stop(pid int) {
	m.t.Helper()
	delete(m.running, pid)
	if err := unix.Kill(-pid, unix.SIGKILL); err != nil {
		m.t.Errorf("kill %d: %v", pid, err)
	}
	for {
		_, err := unix.Wait4(pid, nil, 0, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			m.t.Errorf("wait for %d: %v", pid, err)
		}
		return
	}
}

func (m *master) stopAll() {
	for pid := range m.running {
		m.stop(pid)
	}
}

// countByHand counts the processes that execute each path, in another way than the census does: by
// the text of the link, and by what is behind it. The two must agree.
func countByHand(t testing.TB, paths ...string) []int {
	t.Helper()
	byText, byFile := make([]int, len(paths)), make([]int, len(paths))
	want := make([]os.FileInfo, len(paths))
	for i, path := range paths {
		var err error
		if want[i], err = os.Stat(path); err != nil {
			t.Fatal(err)
		}
	}
	exes, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, exe := range exes {
		text, err := os.Readlink(exe)
		if err != nil {
			continue // a kernel thread, gone, or not ours
		}
		is, err := os.Stat(exe)
		if errors.Is(err, os.ErrNotExist) {
			continue // gone since
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, path := range paths {
			if text == path {
				byText[i]++
			}
			if os.SameFile(is, want[i]) {
				byFile[i]++
			}
		}
	}
	if fmt.Sprint(byText) != fmt.Sprint(byFile) {
		t.Fatalf("counting by hand: %v by the link's text, %v by the file", byText, byFile)
	}
	return byFile
}

// nobody is a user that owns no process.
const nobody = 65534

// asNobody calls fn with the rights of an ordinary user who owns no process, on a thread of its own
// that ends with it: credentials belong to the thread, as far as the kernel is concerned. It takes
// root to do so.
func asNobody(t *testing.T, fn func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is not used again
		_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0)
		if errno == 0 {
			_, _, errno = unix.RawSyscall(unix.SYS_SETRESGID, nobody, nobody, nobody)
		}
		if errno == 0 {
			_, _, errno = unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody)
		}
		if errno != 0 {
			done <- errno
			return
		}
		fn()
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Fatalf("becoming nobody: %v", err)
	}
}

// mustContain checks that err is one that says all of parts.
func mustContain(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}
