package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// peerEnv makes the test binary a client of its own: it asks the socket that the variable names
// for the status and then for a rotation, and prints what came of each.
const peerEnv = "RELINKD_TEST_PEER_SOCKET"

// floodEnv makes that client one of many connections that mean no good.
const floodEnv = "RELINKD_TEST_FLOOD"

// promiseEnv makes it one that promises a body, sends none, and prints what comes of that.
const promiseEnv = "RELINKD_TEST_PROMISE"

func TestMain(m *testing.M) {
	if socket := os.Getenv(peerEnv); socket != "" {
		switch {
		case os.Getenv(floodEnv) != "":
			actAsFlood(socket)
		case os.Getenv(promiseEnv) != "":
			actAsPromise(socket)
		default:
			actAsPeer(socket)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func actAsPeer(socket string) {
	c := NewClient(socket)
	_, err := c.Status(context.Background())
	fmt.Println("status:", err)
	_, err = c.Rotate(context.Background(), "imapd", 0)
	fmt.Println("rotate:", err, errors.Is(err, ErrDenied))
}

// peerCommand is the client as uid and the groups.
func peerCommand(t *testing.T, socket string, cred *syscall.Credential, env ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(append(os.Environ(), peerEnv+"="+socket), env...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	return cmd
}

// runAsPeer runs the client and returns what it printed.
func runAsPeer(t *testing.T, socket string, cred *syscall.Credential) string {
	t.Helper()
	out, err := peerCommand(t, socket, cred).CombinedOutput()
	if err != nil {
		t.Fatalf("peer: %v\n%s", err, out)
	}
	return string(out)
}

// scratch is a directory that everybody may enter; t.TempDir is the test's user's alone.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "relinkd-control-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// serve serves svc on a new socket until the test ends, or stop is called, which returns what
// Serve returned.
func serve(t testing.TB, svc Daemon, group string) (socket string, stop func() error) {
	t.Helper()
	socket = filepath.Join(scratch(t), "run", "relinkd.sock")
	ln, err := Listen(socket, group)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- NewServer(svc, zerolog.Nop()).Serve(ctx, ln) }()
	var result error
	ended := false
	stop = func() error {
		if !ended {
			ended = true
			cancel()
			select {
			case result = <-done:
			case <-time.After(30 * time.Second):
				t.Fatal("Serve did not return")
			}
		}
		return result
	}
	t.Cleanup(func() { stop() })
	return socket, stop
}

// raw sends text as it is and returns everything that comes back.
func raw(t *testing.T, socket, text string) string {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String()
		}
	}
}
