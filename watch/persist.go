package watch

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/pool"
)

// What relinkd remembers in the state directory, beside the manifests of package pool:
//
//	lock             held by flock(2) for as long as a relinkd that may change things runs
//	NAME.released    the operator released the target
//	NAME.restart     the install directory for which a new start was asked for
const (
	lockName        = "lock"
	suffixReleased  = ".released"
	suffixRestart   = ".restart"
	ownerReadsWrite = 0o600
)

// openState opens the state directory, and makes it and those above it where they are missing.
func openState(path string, fs *fsys.FS) (*fsys.Dir, error) {
	dir, err := fsys.OwnDir(path, fs)
	if !fsys.NotExist(err) || filepath.Dir(path) == path {
		return dir, err
	}
	above, err := openState(filepath.Dir(path), fs)
	if err != nil {
		return nil, err
	}
	above.Close()
	return fsys.OwnDir(path, fs)
}

// lock takes the lock of the state directory, without which nothing may be changed. It lasts until unlock, or the
// end of the process.
func lock(dir *fsys.Dir) (*os.File, error) {
	path := dir.Join(lockName)
	fd, err := unix.Openat(dir.Fd(), lockName, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, ownerReadsWrite)
	if err != nil {
		return nil, fmt.Errorf("cannot open the lock %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	// It is written to below. A directory that was open to others once may hold a file of another name.
	if info, err := fsys.Fstat(f); err != nil || !info.IsRegular() || !info.Ours() || info.Nlink != 1 {
		f.Close()
		return nil, errors.Join(err, fmt.Errorf("%s was not made by relinkd: move it away", path))
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w (process %s holds %s)", ErrLocked, holder(f), path)
		}
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	// For the message above only: the lock itself is the kernel's.
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("cannot write %s: %w", path, err)
		}
	}
	return f, nil
}

// unlock gives up a lock. It does not leave that to the closing of the file: a process that is just being started
// has a descriptor of it, too, until it has executed its program.
func unlock(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}

// holder is what the holder of the lock wrote into it.
func holder(f *os.File) string {
	var buf [20]byte
	n, _ := f.ReadAt(buf[:], 0)
	if pid := strings.TrimSpace(string(buf[:n])); pid != "" {
		return pid
	}
	return "unknown"
}

// isReleased reads whether the target is released.
func (t *target) isReleased() (bool, error) {
	_, err := t.state.Lstat(t.name + suffixReleased)
	if fsys.NotExist(err) {
		return false, nil
	}
	return err == nil, err
}

// setReleased makes a release, or the end of one, durable.
func (t *target) setReleased(is bool) error {
	name := t.name + suffixReleased
	if is {
		f, err := t.state.Create("release: create", name, ownerReadsWrite)
		if err == nil {
			f.Close()
		} else if !fsys.Exist(err) {
			return err
		}
	} else if err := t.state.Unlink("manage: unlink", name); err != nil && !fsys.NotExist(err) {
		return err
	}
	return t.state.Sync("release: sync")
}

// forgetManifest removes the manifest: there are no copies any more.
func (t *target) forgetManifest() error {
	return pool.ForgetManifest(t.state, t.name)
}

// askedRestart is the install directory for which a new start was last asked for.
func (t *target) askedRestart() (fsys.ID, error) {
	f, err := t.state.Open(t.name + suffixRestart)
	if fsys.NotExist(err) {
		return fsys.ID{}, nil
	}
	var id fsys.ID
	if err == nil {
		defer f.Close()
		err = json.NewDecoder(f).Decode(&id)
	}
	return id, err
}

// forgetRestart is for when the install directory could be written to: should it be made again, a new start
// may be asked for again, even if the new directory gets the inode of the old one.
func (t *target) forgetRestart() error {
	if _, err := t.state.Lstat(t.name + suffixRestart); fsys.NotExist(err) {
		return nil
	}
	return t.state.Unlink("restart: forget", t.name+suffixRestart)
}

// askRestart remembers that a new start was asked for because of dir.
func (t *target) askRestart(dir fsys.ID) error {
	data, err := json.Marshal(dir)
	if err != nil {
		return err
	}
	name := t.name + suffixRestart
	if err := t.state.Unlink("restart: unlink", name); err != nil && !fsys.NotExist(err) {
		return err
	}
	f, err := t.state.Create("restart: create", name, ownerReadsWrite)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(data)
	return err
}
