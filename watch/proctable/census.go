package proctable

import (
	"errors"
	"fmt"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

// index gives each executable that is counted its place in tally.counts. It never changes once a
// census has used it.
type index map[fsys.ID]int

// tally is what one census found.
type tally struct {
	counts     []int // processes an executable, in the places that the index says
	processes  int   // listed in /proc, kernel threads included
	unreadable int   // of those, how many would not say what they execute
}

// census counts the processes of one procfs. It keeps nothing a process, neither while it counts
// nor afterwards, and is for one goroutine at a time.
type census struct {
	proc *fsys.Dir
	buf  [64 << 10]byte // of directory entries: 2,700 processes a call
	path [maxPIDDigits + len(exeSuffix)]byte
	stat unix.Stat_t
}

// exeSuffix makes a process's name in /proc the path of its executable, as the kernel wants it.
const exeSuffix = "/exe\x00"

// initPID is a process that every pid namespace has, for as long as anything runs in it.
const initPID = "1"

// take counts into t, whose counts are reused when they are large enough, and notes in pids, unless
// that is nil, which process executes what. Every censusPause processes it calls pause, which may
// look at processes itself. An error means that the processes could not be listed; t is then of no
// use.
//
// A process is counted once, by the executable that it had at the instant it was looked at: a fork
// that has not executed anything yet by that of its parent, and one whose executable has been
// replaced or removed by the inode that it still runs. A census is no single instant: a process that
// began or ended meanwhile may or may not be among them, so that one which took another's place may
// be counted besides it. One whose first thread has ended while others run has no exe any more
// (the kernel gives ENOENT, as for a zombie), so it is not counted.
//
// Where /proc is mounted with hidepid=2, processes of other users are not even listed. Their
// number is not to be had, but init must be there: when it is missing it counts as unreadable.
func (c *census) take(in index, t *tally, pids *processes, pause func()) error {
	t.counts = append(t.counts[:0], make([]int, len(in))...)
	t.processes, t.unreadable = 0, 0
	initSeen := false

	fd := c.proc.Fd()
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		return c.listError(err)
	}
	for {
		n, err := unix.Getdents(fd, c.buf[:])
		if err != nil {
			return c.listError(err)
		}
		if n == 0 {
			break
		}
		for rest := c.buf[:n]; len(rest) > 0; {
			name, more, ok := cutDirent(rest)
			if !ok {
				return c.listError(errors.New("the kernel wrote a malformed directory entry"))
			}
			rest = more
			if !isPID(name) {
				continue
			}
			if t.processes++; t.processes%censusPause == 0 {
				pause()
			}
			initSeen = initSeen || string(name) == initPID
			switch errno := c.statExe(fd, name); errno {
			case 0:
				if place, ok := in[fsys.InfoOf(&c.stat).ID]; ok {
					t.counts[place]++
					if pids != nil {
						pids.put(parsePID(name), place)
					}
				}
			case unix.ENOENT, unix.ESRCH: // a kernel thread, a zombie, or gone by now
			default: // EACCES most of all: somebody else's process, and we are not root
				t.unreadable++
			}
		}
	}
	if !initSeen {
		t.unreadable++
	}
	return nil
}

// censusPause is how many processes a census looks at between two pauses: a tenth of a millisecond.
const censusPause = 64

// executable is what process pid executes now.
func (c *census) executable(pid int32) (fsys.ID, bool) {
	var digits [maxPIDDigits]byte
	if c.statExe(c.proc.Fd(), strconv.AppendInt(digits[:0], int64(pid), 10)) != 0 {
		return fsys.ID{}, false
	}
	return fsys.InfoOf(&c.stat).ID, true
}

// statExe fills in c.stat for the executable of the process pid. It makes the call itself because
// unix.Fstatat allocates a copy of the path each time.
func (c *census) statExe(fd int, pid []byte) unix.Errno {
	n := copy(c.path[:], pid)
	copy(c.path[n:], exeSuffix)
	for {
		_, _, errno := unix.Syscall6(sysFstatat, uintptr(fd), uintptr(unsafe.Pointer(&c.path[0])),
			uintptr(unsafe.Pointer(&c.stat)), 0, 0, 0)
		if errno != unix.EINTR { // a FUSE file system may say so
			return errno
		}
	}
}

func (c *census) listError(err error) error {
	return fmt.Errorf("cannot list the processes in %s: %v", c.proc.Path(), err)
}
