package packages_test

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// mute mounts over a directory of the machine a file system that never answers, as a network file system
// whose server is gone, and returns what takes it away again. It is a FUSE file system that nobody serves:
// who looks at it waits, and can be killed.
func (s *tale) mute(t *testing.T, dir string) (thaw func()) {
	t.Helper()
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	c := s.host.(*container)
	if err := c.inMounts(func() error {
		return unix.Mount("mute", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", device.Fd()))
	}); err != nil {
		device.Close()
		t.Fatalf("cannot mount a file system that does not answer: %v", err)
	}
	done := false
	thaw = func() {
		if done {
			return
		}
		done = true
		if err := c.inMounts(func() error { return unix.Unmount(dir, unix.MNT_DETACH) }); err != nil {
			t.Error(err)
		}
		device.Close() // who waits gets ENOTCONN
	}
	t.Cleanup(thaw)
	return thaw
}

// inMounts calls f in a thread that has entered the container's mounts.
func (c *container) inMounts(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this function
		mounts, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", c.leader))
		if err == nil {
			defer mounts.Close()
			err = unix.Unshare(unix.CLONE_FS)
		}
		if err == nil {
			err = unix.Setns(int(mounts.Fd()), unix.CLONE_NEWNS)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}
