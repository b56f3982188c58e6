package procevents

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestDoorbell(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	arrive := func() {
		if _, err := unix.Write(pair[1], []byte("news")); err != nil {
			t.Error(err)
		}
	}
	b, err := newDoorbell(pair[0])
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	const long = time.Minute
	wait := func(what string, d time.Duration, want bool) {
		t.Helper()
		began := time.Now()
		rang, err := b.Wait(d)
		if err != nil || rang != want {
			t.Fatalf("%s: %v, %v", what, rang, err)
		}
		if took := time.Since(began); rang == (took >= d) {
			t.Errorf("%s: waited for %v of %v", what, took, d)
		}
	}
	rest := func(what string) {
		t.Helper()
		began := time.Now()
		const d = 20 * time.Millisecond
		if err := b.Rest(d); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if took := time.Since(began); took < d {
			t.Errorf("%s: it was woken after %v", what, took)
		}
	}

	wait("nothing", 10*time.Millisecond, false)
	arrive()
	wait("one message", long, true)
	rest("that message is still there")
	more := make(chan struct{})
	go func() {
		defer close(more)
		for range 20 {
			arrive()
			time.Sleep(time.Millisecond) // they come one by one, as long as the rest may last
		}
	}()
	rest("more come")
	<-more
	wait("not read yet", long, true)
	wait("not read yet, either", long, true)
	var buf [16]byte
	for err == nil {
		_, err = unix.Read(pair[0], buf[:])
	}
	wait("all read", 10*time.Millisecond, false)
	go arrive()
	wait("it comes later", long, true)
	if err := b.Rest(0); err != nil {
		t.Error(err)
	}

	stopped := make(chan struct{})
	_, err = unix.Read(pair[0], buf[:])
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(stopped)
		b.Stop()
	}()
	wait("stopped meanwhile", long, true)
	<-stopped
	wait("stopped before", long, true)
	if err := b.Rest(long); err != nil {
		t.Error(err)
	}
}
