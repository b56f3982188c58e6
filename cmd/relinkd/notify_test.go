package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/internal/fstest"
	"relinkd/internal/standin"
)

// listenAsManager is systemd's end of the notification socket.
func listenAsManager(t *testing.T) func() string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", socket)
	return func() string {
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		buf := make([]byte, 4096)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
}

// fakeWork is a daemon that is ready when it is told so, and answers what it is told to.
type fakeWork struct {
	isReady chan struct{}
	answers chan error
	status  api.Status
}

func newFakeWork() *fakeWork {
	return &fakeWork{isReady: make(chan struct{}), answers: make(chan error)}
}

func (w *fakeWork) Ready() <-chan struct{} { return w.isReady }

func (w *fakeWork) Answer(ctx context.Context) error {
	select {
	case err := <-w.answers:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the loop of imapd does not answer: %w", context.Cause(ctx))
	}
}

func (w *fakeWork) Status(context.Context) (*api.Status, error) { return &w.status, nil }

const looking = "STATUS=looking at what stands, and counting processes for the first time"

// follow is a manager that follows w until the returned function is called.
func follow(w work) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		newManager(zerolog.Nop()).follow(ctx, w)
		close(done)
	}()
	return func() { cancel(); <-done }
}

func TestManagerHearsOfReadyAndStop(t *testing.T) {
	heard := listenAsManager(t)
	w := newFakeWork()
	w.status.Targets = []api.TargetStatus{
		{Name: "imapd", State: api.Steady, Processes: 7, Current: "imapd_002", Copies: make([]api.CopyStatus, 3)},
		{Name: "pop3d", State: api.Degraded, Reason: "cannot clone:\nno room"},
	}
	stop := follow(w)
	hears := func(want string) {
		t.Helper()
		if got := heard(); got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
	hears(looking)
	close(w.isReady)
	hears("STATUS=imapd: 7 processes on 3 copies, imapd_002 is current; pop3d: degraded, cannot clone: no room")
	hears("READY=1")
	stop()
	hears("STOPPING=1")
}

func TestManagerHearsNoReadyBeforeItIsTrue(t *testing.T) {
	heard := listenAsManager(t)
	stop := follow(newFakeWork())
	if got := heard(); got != looking {
		t.Errorf("heard %q", got)
	}
	stop()
	if got := heard(); got != "STOPPING=1" {
		t.Errorf("heard %q", got)
	}
}

// A watchdog is fed after an answer, and only then.
func TestWatchdogIsFedByAnswers(t *testing.T) {
	heard := listenAsManager(t)
	t.Setenv("WATCHDOG_USEC", "60000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	w := newFakeWork()
	defer follow(w)()
	close(w.isReady)
	for _, want := range []string{looking, "STATUS=", "READY=1"} {
		if got := heard(); got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
	for range 3 {
		w.answers <- nil
		if got := heard(); got != "WATCHDOG=1" {
			t.Fatalf("after an answer heard %q", got)
		}
	}
	// What hangs is told, and nothing follows that: the next is for the answer that comes at last.
	if got := heard(); got != "STATUS=the loop of imapd does not answer: not within 20ms" {
		t.Fatalf("without an answer heard %q", got)
	}
	w.answers <- nil
	for _, want := range []string{"STATUS=", "WATCHDOG=1"} {
		if got := heard(); got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
}

func TestManagerHearsOfAReload(t *testing.T) {
	heard := listenAsManager(t)
	newManager(zerolog.Nop()).reloading()
	if got := heard(); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") || strings.HasSuffix(got, "=") {
		t.Errorf("heard %q", got)
	}
}

// The whole daemon, as a unit with Type=notify-reload sees it.
func TestDaemonTellsItsManager(t *testing.T) {
	dir := fstest.Passable(t, t.TempDir())
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := standin.Write(filepath.Join(bin, "imapd"), "1"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "relinkd.toml")
	text := fmt.Sprintf("[target.imapd]\npath = %q\ncopies = 2\n[control]\nsocket = %q\n[state]\ndir = %q\n",
		filepath.Join(bin, "imapd"), filepath.Join(dir, "s"), filepath.Join(dir, "state"))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}

	heard := listenAsManager(t)
	cmd := exec.Command("relinkd", "--config", file, "run")
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	ended := false
	defer func() {
		if !ended {
			cmd.Process.Kill()
			<-done
			t.Logf("the daemon's log:\n%s", &log)
		}
	}()
	expect := func(want string) {
		t.Helper()
		if got := heard(); !strings.HasPrefix(got, want) {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
	expect(looking)
	expect("STATUS=imapd: ")
	expect("READY=1")
	cmd.Process.Signal(unix.SIGHUP)
	expect("RELOADING=1\nMONOTONIC_USEC=")
	expect("READY=1")
	cmd.Process.Signal(unix.SIGTERM)
	expect("STOPPING=1")
	err := <-done
	ended = true
	if err != nil {
		t.Errorf("the daemon ended with %v:\n%s", err, &log)
	}
}
