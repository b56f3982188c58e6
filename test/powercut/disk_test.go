package powercut

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// disk is a mounted file system whose writes are recorded.
type disk struct {
	fsType string
	point  string // where it is mounted
	base   content
	size   int64 // bytes
	image  *os.File
	record *os.File
	file   string // the FUSE file
	server *exec.Cmd
}

// fsKind is a sort of file system.
type fsKind struct {
	name string
	size int64 // bytes; the least that its mkfs accepts, about
	mkfs []string
}

// newMemory makes a file without a name, which ends with its last descriptor.
func newMemory(name string, size int64) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if err := f.Truncate(size); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// attach returns a loop device on the file. The device is gone when it is closed and not mounted.
func attach(fd int) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	for {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("no free loop device: %w", err)
		}
		device, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		err = unix.IoctlLoopConfigure(int(device.Fd()), &unix.LoopConfig{
			Fd:   uint32(fd),
			Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR},
		})
		if err == nil {
			return device, nil
		}
		device.Close()
		if err != unix.EBUSY { // EBUSY: somebody else was quicker
			return nil, fmt.Errorf("cannot set %s up: %w", device.Name(), err)
		}
	}
}

// mount mounts the file system in the file at point.
func mount(fd int, fsType, point string) error {
	device, err := attach(fd)
	if err != nil {
		return err
	}
	defer device.Close()
	if err := unix.Mount(device.Name(), point, fsType, 0, ""); err != nil {
		return fmt.Errorf("cannot mount %s: %w", fsType, err)
	}
	return nil
}

// unmount waits for those who still have something open: a child of another test has all descriptors
// until it executes something.
func unmount(point string) error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		err := unix.Unmount(point, 0)
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return err
		}
	}
}

// needDisks skips the test where a disk cannot be recorded.
func needDisks(t *testing.T) {
	t.Helper()
	if os.Getenv(roleVariable) != roleTests {
		t.Skip("left out: power cuts need root, and one that may mount the file systems that they hit")
	}
	for _, device := range []string{"/dev/loop-control", "/dev/fuse"} {
		f, err := os.OpenFile(device, os.O_RDWR, 0)
		if err != nil {
			t.Skipf("left out: a disk is recorded by a loop device on a FUSE file, and there is none here: %v", err)
		}
		f.Close()
	}
}

// newDisk makes a file system with prepare's content, and mounts it recorded at point.
func newDisk(t *testing.T, kind fsKind, point string, prepare func()) *disk {
	t.Helper()
	d := &disk{fsType: kind.name, point: point, size: kind.size, file: filepath.Join(t.TempDir(), "disk")}
	var err error
	d.image, err = newMemory("image", kind.size)
	must(t, err)
	t.Cleanup(func() { d.image.Close() })
	d.make(t, kind)
	must(t, mount(int(d.image.Fd()), kind.name, point))
	prepare()
	must(t, unmount(point))
	d.base, err = readContent(d.image)
	must(t, err)

	d.record, err = newMemory("record", 0)
	must(t, err)
	t.Cleanup(func() { d.record.Close() })
	d.serve(t)
	fd, err := unix.Open(d.file, unix.O_RDWR|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	must(t, mount(fd, kind.name, point))
	return d
}

// make runs mkfs.
func (d *disk) make(t *testing.T, kind fsKind) {
	t.Helper()
	device, err := attach(int(d.image.Fd()))
	must(t, err)
	defer device.Close()
	args := append(kind.mkfs, device.Name())
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// serve starts the process that is the disk. It must be another one than this: a fork waits for the
// program that is executed to be read, and nothing else runs in a Go process that must stop
// meanwhile, to collect garbage for instance.
func (d *disk) serve(t *testing.T) {
	t.Helper()
	must(t, os.WriteFile(d.file, nil, 0o600))
	fuse, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	must(t, err)
	connection := os.NewFile(uintptr(fuse), "/dev/fuse")
	defer connection.Close()
	must(t, unix.Mount("relinkd-test", d.file, "fuse", unix.MS_NODEV|unix.MS_NOSUID,
		fmt.Sprintf("fd=%d,rootmode=100600,user_id=0,group_id=0", fuse)))
	d.server = exec.Command("/proc/self/exe")
	d.server.Env = append(os.Environ(), roleVariable+"="+roleDisk)
	d.server.Stderr = os.Stderr
	d.server.ExtraFiles = []*os.File{fdFuse - 3: connection, fdImage - 3: d.image, fdRecord - 3: d.record}
	d.server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	must(t, d.server.Start())
	// Without its server every access to the disk fails, so that nothing waits for it in vain.
	t.Cleanup(func() {
		_ = d.server.Process.Kill()
		_ = d.server.Wait()
		_ = unix.Unmount(d.point, unix.MNT_DETACH) // none of these is there after eject
		_ = unix.Unmount(d.file, unix.MNT_DETACH)
	})
}

// now is how much has been recorded, in bytes.
func (d *disk) now() int64 {
	info, err := d.record.Stat()
	if err != nil {
		return -1 // an open file in memory can always be described
	}
	return info.Size()
}

// eject ends the recording and returns it. All that is written by the unmounting is cut off.
func (d *disk) eject(t *testing.T) (events []event, ends []int64) {
	t.Helper()
	record := make([]byte, d.now())
	must(t, unmount(d.point))
	must(t, unmount(d.file))
	must(t, d.server.Wait())
	_, err := d.record.ReadAt(record, 0)
	must(t, err)
	events, ends, err = parseRecord(record)
	must(t, err)
	return events, ends
}

// insert mounts at point a disk that holds c.
func (d *disk) insert(c content) error {
	image, err := newMemory("cut", d.size)
	if err != nil {
		return err
	}
	defer image.Close() // the mount keeps it
	memory, err := unix.Mmap(int(image.Fd()), 0, int(d.size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	for number, block := range c {
		copy(memory[number*blockSize:], block)
	}
	if err := unix.Munmap(memory); err != nil {
		return err
	}
	return mount(int(image.Fd()), d.fsType, d.point)
}

// must ends the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
