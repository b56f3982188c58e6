package pool

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// atExecveCheck is AT_EXECVE_CHECK of linux/fcntl.h: execveat asks everyone whose word counts
// whether the file may be executed, and returns without executing it. Since Linux 6.14; an older
// kernel refuses the unknown flag with EINVAL.
const atExecveCheck = 0x10000

// stNosymfollow is ST_NOSYMFOLLOW of linux/statfs.h, of a file system on which no symbolic link is
// followed; since Linux 5.10.
const stNosymfollow = 0x2000

// Executable asks whether the kernel would execute the staged copies (DESIGN.md §5, step 4); nil
// when it would. They are alike in all that matters for the answer, so the first one is asked for.
// It never executes anything.
func (s *Staged) Executable() error {
	if len(s.copies) == 0 {
		return nil
	}
	f, err := s.p.private.Open(s.p.newName(s.copies[0].Number))
	if err != nil {
		return err
	}
	defer f.Close()
	return Executable(f)
}

// Executable asks whether the kernel would execute f, which nobody may have open for writing; nil
// when it would. A kernel before 6.14 can only be asked whether the file system is mounted noexec.
func Executable(f *os.File) error {
	err := execveCheck(f)
	switch {
	case mounted(f, stNosymfollow):
		return fmt.Errorf("cannot execute %s by a link: its file system is mounted nosymfollow; mount it without that option", f.Name())
	case err == nil:
		return nil
	case (err == unix.EACCES || err == unix.EINVAL) && mounted(f, unix.ST_NOEXEC):
		return fmt.Errorf("cannot execute %s: its file system is mounted noexec; mount it without that option", f.Name())
	case err == unix.EINVAL:
		return nil
	case err == unix.EACCES || err == unix.EPERM:
		return fmt.Errorf("cannot execute %s: %v: its mode or a security module (SELinux, AppArmor, fapolicyd, IMA) refuses it; the audit log may say which", f.Name(), err)
	default:
		return fmt.Errorf("cannot execute %s: %v", f.Name(), err)
	}
}

// ExecveCheck reports whether this kernel can be asked by AT_EXECVE_CHECK. It asks about this very program.
func ExecveCheck() bool {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return false
	}
	defer f.Close()
	return execveCheck(f) == nil
}

// mounted reports whether the file system of f is mounted with the option flag of statfs(2).
func mounted(f *os.File, flag int64) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(int(f.Fd()), &st) == nil && int64(st.Flags)&flag != 0
}

// execveCheck is execveat(f, "", {name}, {}, AT_EMPTY_PATH | AT_EXECVE_CHECK).
func execveCheck(f *os.File) error {
	var empty [1]byte
	name, err := unix.BytePtrFromString(f.Name())
	if err != nil {
		return err
	}
	argv := [2]*byte{name}
	var envp [1]*byte
	_, _, errno := unix.Syscall6(unix.SYS_EXECVEAT, f.Fd(), uintptr(unsafe.Pointer(&empty)),
		uintptr(unsafe.Pointer(&argv)), uintptr(unsafe.Pointer(&envp)), unix.AT_EMPTY_PATH|atExecveCheck, 0)
	runtime.KeepAlive(f)
	if errno != 0 {
		return errno
	}
	return nil
}
