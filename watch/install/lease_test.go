package install

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLease(t *testing.T) {
	path := filepath.Join(t.TempDir(), "imapd")
	place(t, path, image(t, 0))
	f, err := os.Open(path)
	check(t, err)
	defer f.Close()

	leased, err := lease(f)
	check(t, err)
	if !leased {
		t.Skip("left out: the file system of the temporary directory has no leases")
	}
	if kind, err := unix.FcntlInt(f.Fd(), unix.F_GETLEASE, 0); err != nil || kind != unix.F_UNLCK {
		t.Errorf("the lease was kept: %d, %v", kind, err)
	}

	t.Run("writer", func(t *testing.T) {
		writer, err := os.OpenFile(path, os.O_WRONLY, 0)
		check(t, err)
		_, err = lease(f)
		if !errors.Is(err, ErrWriting) || !errors.Is(err, ErrIncomplete) {
			t.Errorf("with a writer: %v", err)
		}
		writer.Close()
		if _, err := lease(f); err != nil {
			t.Errorf("after the writer: %v", err)
		}
	})
	t.Run("mapping", func(t *testing.T) {
		writer, err := os.OpenFile(path, os.O_RDWR, 0)
		check(t, err)
		mapped, err := unix.Mmap(int(writer.Fd()), 0, 64, unix.PROT_WRITE, unix.MAP_SHARED)
		check(t, err)
		writer.Close()
		if _, err := lease(f); !errors.Is(err, ErrWriting) {
			t.Errorf("with a writable mapping: %v", err)
		}
		check(t, unix.Munmap(mapped))
		if _, err := lease(f); err != nil {
			t.Errorf("after the mapping: %v", err)
		}
	})
	t.Run("running", func(t *testing.T) {
		bin, err := os.ReadFile("/proc/self/exe")
		check(t, err)
		path := filepath.Join(t.TempDir(), "program")
		place(t, path, bin)
		lock := filepath.Join(t.TempDir(), "lock")
		check(t, os.WriteFile(lock, nil, 0o644))
		cmd := play(path, "lock", lock, "write")
		in, err := cmd.StdinPipe()
		check(t, err)
		check(t, cmd.Start())
		defer cmd.Wait()
		defer in.Close()
		f, err := os.Open(path)
		check(t, err)
		defer f.Close()
		if _, err := lease(f); err != nil {
			t.Errorf("of a running program: %v", err)
		}
	})
}

// TestLeaseBreak proves that a writer who comes while the lease is held does not end us: the
// kernel sends SIGIO, whose default is to terminate.
func TestLeaseBreak(t *testing.T) {
	path := filepath.Join(t.TempDir(), "imapd")
	place(t, path, image(t, 0))
	cmd := play("/proc/self/exe", "lease", path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("a lease break ended the process: %v\n%s", err, out)
	}
	if want := "alive\n"; string(out) != want {
		t.Errorf("output %q, want %q", out, want)
	}
}

// playLeaseBreaker holds a lease on path, breaks it by an attempt to write, and goes on. The
// kernel has sent the signal by the time the attempt is refused.
func playLeaseBreaker(path string) {
	f, err := os.Open(path)
	if err != nil {
		panic(err)
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK); err != nil {
		panic(err)
	}
	if _, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK, 0); err != unix.EWOULDBLOCK {
		panic(fmt.Sprintf("the lease was not in the way of a writer: %v", err))
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK); err != nil {
		panic(err)
	}
	fmt.Println("alive")
}
