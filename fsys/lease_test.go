package fsys

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/internal/fstest"
)

const envOpener = "RELINKD_TEST_OPENER" // a file that a helper opens for writing over and over

// TestMain is also the helper of TestHasWriterStorm.
func TestMain(m *testing.M) {
	if path := os.Getenv(envOpener); path != "" {
		if err := openAndClose(path); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// openAndClose opens path for writing over and over until its input ends. Each open waits for the
// lease that it breaks.
func openAndClose(path string) error {
	over := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(over)
	}()
	fmt.Println("started")
	for {
		select {
		case <-over:
			return nil
		default:
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		f.Close()
	}
}

func TestHasWriter(t *testing.T) {
	fstest.Each(t, func(t *testing.T, dir string) {
		for _, name := range []string{fstest.Packaged, "new"} { // on overlayfs in the lower, in the upper layer
			d := open(t, dir, nil)
			if name == "new" {
				write(t, d, name, "content")
			}
			f, err := d.Open(name)
			must(t, err)
			defer f.Close()
			has := func(want bool, when string) {
				t.Helper()
				if got, known, err := HasWriter(f); got != want || !known || err != nil {
					t.Errorf("%s %s: %v, %v, want %v", name, when, got, err, want)
				}
			}
			has(false, "at rest")
			reader, err := os.Open(d.Join(name))
			must(t, err)
			has(false, "with a reader")
			must(t, reader.Close())
			// A lease that had stayed would make this EAGAIN.
			for _, flags := range []int{os.O_WRONLY, os.O_RDWR} {
				w, err := os.OpenFile(d.Join(name), flags|unix.O_NONBLOCK, 0)
				must(t, err)
				// On overlayfs a file of the lower layer is copied up by this: the name is another file.
				g, err := d.Open(name)
				must(t, err)
				defer g.Close()
				f = g
				has(true, "with a writer")
				must(t, w.Close())
				has(false, "after the writer")
			}
		}
	})
}

// TestHasWriterStorm asks while another process opens the file for writing all the time: its opens
// break leases, for which the kernel sends SIGIO, whose default is to end the process.
func TestHasWriterStorm(t *testing.T) {
	fstest.Each(t, func(t *testing.T, dir string) {
		d := open(t, dir, nil)
		write(t, d, "file", "content")
		f, err := d.Open("file")
		must(t, err)
		defer f.Close()

		self, err := os.Executable()
		must(t, err)
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), envOpener+"="+d.Join("file"))
		in, err := cmd.StdinPipe()
		must(t, err)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatalf("the opener does not start: %v", err)
		}
		seen := map[bool]int{}
		for range 2000 {
			has, _, err := HasWriter(f)
			must(t, err)
			seen[has]++
		}
		must(t, in.Close())
		must(t, cmd.Wait())
		t.Logf("a writer %d times, none %d times", seen[true], seen[false])
	})
}

// TestLeaseBroken holds a lease for as long as it takes somebody to break it: the signal that comes
// then does not end the process.
func TestLeaseBroken(t *testing.T) {
	d := open(t, t.TempDir(), nil)
	write(t, d, "file", "content")
	f, err := d.Open("file")
	must(t, err)
	defer f.Close()
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	must(t, err)
	if w, err := os.OpenFile(d.Join("file"), os.O_WRONLY|unix.O_NONBLOCK, 0); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("%v, %v, want that the opener has to wait", w, err)
	}
	// The lease is being broken: the signal is on its way or was there.
	if now, err := unix.FcntlInt(f.Fd(), unix.F_GETLEASE, 0); now != unix.F_UNLCK || err != nil {
		t.Errorf("lease %d, %v, want it broken", now, err)
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	must(t, err)
	if has, _, err := HasWriter(f); has || err != nil {
		t.Errorf("%v, %v, want no writer", has, err)
	}
}

// TestNoLease: what cannot have a lease is told from what has a writer.
func TestNoLease(t *testing.T) {
	f, err := os.Open(t.TempDir())
	must(t, err)
	defer f.Close()
	if has, known, err := HasWriter(f); has || known || err != nil {
		t.Errorf("%v, %v, %v: want that it cannot be known", has, known, err)
	}
}

func TestIsRemote(t *testing.T) {
	if !isRemote(unix.NFS_SUPER_MAGIC) || isRemote(unix.EXT4_SUPER_MAGIC) {
		t.Error("NFS must be remote, ext4 not")
	}
}
