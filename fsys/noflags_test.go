package fsys

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

const envNoFlags = "RELINKD_TEST_NO_RENAME_FLAGS" // the errno that renameat2 with flags gives

// TestNoRenameFlags runs itself again in a process in which renameat2(2) knows no flags, as on NFS
// (EINVAL) and before Linux 3.15 (ENOSYS): a seccomp filter answers in the kernel's place.
func TestNoRenameFlags(t *testing.T) {
	if text := os.Getenv(envNoFlags); text != "" {
		errno, err := strconv.Atoi(text)
		must(t, err)
		must(t, refuseRenameFlags(unix.Errno(errno)))
		withoutRenameFlags(t, unix.Errno(errno))
		return
	}
	self, err := os.Executable()
	must(t, err)
	for _, errno := range []unix.Errno{unix.EINVAL, unix.ENOSYS} {
		cmd := exec.Command(self, "-test.run=^TestNoRenameFlags$", "-test.count=1")
		cmd.Env = append(os.Environ(), envNoFlags+"="+strconv.Itoa(int(errno)))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("with %v: %v\n%s", errno, err, out)
		}
	}
}

// withoutRenameFlags holds what Move and Exchange promise where the kernel does not help.
func withoutRenameFlags(t *testing.T, errno unix.Errno) {
	d := filled(t, t.TempDir(), nil)
	sub, err := d.OpenDir("sub")
	must(t, err)
	defer sub.Close()
	a, link := lstat(t, d, "a"), lstat(t, d, "link")

	if err := d.Exchange("x: exchange", "a", d, "b"); !errors.Is(err, errno) || !NoExchange(err) {
		t.Errorf("exchange: %v, want %v", err, errno)
	}
	if err := d.Move("x: move", "a", d, "b"); !Exist(err) {
		t.Errorf("move over a file: %v, want EEXIST", err)
	}
	if err := d.Move("x: move", "a", d, "link"); !Exist(err) {
		t.Errorf("move over a link: %v, want EEXIST", err)
	}
	if err := d.Move("x: move", "none", d, "new"); !NotExist(err) {
		t.Errorf("move of nothing: %v, want ENOENT", err)
	}
	must(t, d.Move("x: move", "a", sub, "moved"))
	must(t, d.Move("x: move", "link", sub, "link"))
	if got := lstat(t, sub, "moved"); got.ID != a.ID || got.Nlink != 1 {
		t.Errorf("moved %+v, want %+v", got, a)
	}
	if got := lstat(t, sub, "link"); got.ID != link.ID {
		t.Errorf("moved %+v, want the link itself %+v", got, link)
	}
	if got := names(t, d); !slices.Equal(got, []string{"b", "sub"}) {
		t.Errorf("left %q", got)
	}
	must(t, sub.Replace("x: rename", "moved", d, "b")) // without flags all is well
}

// refuseRenameFlags makes renameat2 with any flag fail with errno in this process, for good.
func refuseRenameFlags(errno unix.Errno) error {
	// Offsets in struct seccomp_data, linux/seccomp.h: nr at 0, the low half of args[4], the flags.
	const flags = 16 + 4*8
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_RENAMEAT2, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: flags},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// Without it an ordinary user may install no filter. TSYNC gives both to all threads.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	stuck, _, err := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
	if err != 0 {
		return err
	}
	if stuck != 0 {
		return errors.New("a thread has another filter")
	}
	return nil
}
