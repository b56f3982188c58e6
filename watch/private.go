package watch

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

// privates are the private directories that a Watcher's targets are at work in. Each is locked by flock(2)
// on the directory itself, which leaves nothing behind: two daemons with state directories of their own would
// otherwise undo each other's work. Targets of one directory share a lock, but no name in it.
type privates struct {
	mu   sync.Mutex // guards what follows
	held map[fsys.ID]*lockedDir
}

// lockedDir is a private directory whose lock is held.
type lockedDir struct {
	fd    int
	names map[string]bool // of the executables that targets manage there
}

// take locks a private directory for the executable called name and returns what gives that up. It fails,
// with ErrLocked, where another relinkd or another target is at work. On a file system that has no such
// locks for directories, NFS, it takes nothing.
func (p *privates) take(dir *fsys.Dir, name string) (release func(), err error) {
	info, err := dir.Stat()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.held[info.ID]
	if d == nil {
		d = &lockedDir{fd: -1, names: map[string]bool{}}
		if d.fd, err = flockDir(dir, info.ID); err != nil {
			return nil, err
		}
		p.held[info.ID] = d
	}
	if d.names[name] {
		return nil, fmt.Errorf("%w on %s, as another target of this configuration, whose path leads to the same place; try: remove one of the two targets",
			ErrLocked, dir.Join(name))
	}
	d.names[name] = true
	return func() { p.release(info.ID, d, name) }, nil
}

func (p *privates) release(id fsys.ID, d *lockedDir, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if delete(d.names, name); len(d.names) > 0 {
		return
	}
	delete(p.held, id)
	if d.fd >= 0 {
		_ = unix.Flock(d.fd, unix.LOCK_UN) // as in unlock; it cannot fail on what is locked
		unix.Close(d.fd)
	}
}

// alone reports whether no other executable is managed in dir.
func (p *privates) alone(dir *fsys.Dir) bool {
	info, err := dir.Stat()
	if err != nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.held[info.ID]
	return d != nil && len(d.names) == 1
}

// flockDir locks dir, whose identity is id, by a descriptor of its own; -1 where that cannot be.
func flockDir(dir *fsys.Dir, id fsys.ID) (int, error) {
	fd, err := unix.Openat(dir.Fd(), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("cannot open %s to lock it: %w", dir.Path(), err)
	}
	switch err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); {
	case err == nil:
		return fd, nil
	case errors.Is(err, unix.EWOULDBLOCK):
		unix.Close(fd)
		return -1, fmt.Errorf("%w: %s holds %s, and has another state directory; try: stop one of the two, or leave the target to one of them",
			ErrLocked, flockHolder(id), dir.Path())
	}
	unix.Close(fd)
	return -1, nil
}

// flockHolder names the process that holds a lock on the file id, as far as /proc/locks tells.
func flockHolder(id fsys.ID) string {
	f, err := os.Open("/proc/locks")
	if err != nil {
		return "another process"
	}
	defer f.Close()
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(id.Dev), unix.Minor(id.Dev), id.Ino)
	lines := bufio.NewScanner(f)
	for lines.Scan() { // 1: FLOCK ADVISORY WRITE 1234 08:02:131073 0 EOF
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[1] != "FLOCK" || fields[5] != file {
			continue
		}
		if pid, err := strconv.Atoi(fields[4]); err == nil && pid > 0 {
			return "process " + fields[4]
		}
	}
	return "another process"
}

// hold locks the private directory, and gives up the one before it.
func (t *target) hold(private *fsys.Dir) error {
	t.letGo()
	release, err := t.locks.take(private, t.base())
	if err != nil {
		return err
	}
	t.letGoOf = release
	return nil
}

// letGo gives the lock of the private directory up, if it is held.
func (t *target) letGo() {
	if t.letGoOf != nil {
		t.letGoOf()
		t.letGoOf = nil
	}
}
