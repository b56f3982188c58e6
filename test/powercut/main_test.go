// Package powercut has a real relinkd publish, rotate, upgrade, restore and manage on a disk whose
// writes are recorded, and looks at what a power cut at any instant would have left: the file system
// is mounted, path is executed, and relinkd is started again.
//
// What is recorded is what the block layer sends to a loop device, in order, with its flushes. The
// device's backing file is a FUSE file of this test's, which neither NBD, dm-log-writes nor a virtual
// machine is needed for: it works on any kernel with loop and FUSE. A write is durable when a flush
// was asked for after it. Of the writes since the last flush any selection may be on the disk, in
// units of 4 KiB, for a disk reorders what it is not told to flush.
//
// All mounts are made in a mount namespace of the tests' own, and loop devices clear themselves: when
// the tests end, in whatever way, nothing is left.
package powercut

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// roleVariable says what the test binary is to be. relinkd refuses variables of its own prefix that it
// does not know.
const roleVariable = "POWERCUT_ROLE"

// The roles.
const (
	roleTests   = "tests"   // runs the tests, in a mount namespace of its own
	roleDisk    = "disk"    // serves a recorded disk
	roleNoSyncs = "nosyncs" // executes its arguments, for which fsync(2) and its like do nothing
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case roleDisk:
		exitWith(serveDisk())
	case roleNoSyncs:
		exitWith(executeWithoutSyncs(os.Args[1:]))
	case roleTests:
		os.Exit(m.Run())
	}
	if os.Geteuid() != 0 {
		os.Exit(m.Run()) // each test says what it leaves out
	}
	runtime.LockOSThread() // the tests are killed when the thread that has started them ends
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), roleVariable+"="+roleTests)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	err := cmd.Run()
	if errors.Is(err, unix.EPERM) { // a container's root
		os.Exit(m.Run())
	}
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		os.Exit(max(ended.ExitCode(), 1))
	}
	exitWith(err)
}

func exitWith(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
