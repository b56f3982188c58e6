package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

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

func TestManagerHearsOfReadyAndStop(t *testing.T) {
	heard := listenAsManager(t)
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		manager{zerolog.Nop()}.follow(ctx, ready)
		close(done)
	}()
	close(ready)
	if got := heard(); got != "READY=1" {
		t.Errorf("heard %q", got)
	}
	cancel()
	if got := heard(); got != "STOPPING=1" {
		t.Errorf("heard %q", got)
	}
	<-done
}

func TestManagerHearsNoReadyBeforeItIsTrue(t *testing.T) {
	heard := listenAsManager(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	manager{zerolog.Nop()}.follow(ctx, make(chan struct{}))
	if got := heard(); got != "STOPPING=1" {
		t.Errorf("heard %q", got)
	}
}

func TestManagerHearsOfAReload(t *testing.T) {
	heard := listenAsManager(t)
	manager{zerolog.Nop()}.reloading()
	if got := heard(); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") || strings.HasSuffix(got, "=") {
		t.Errorf("heard %q", got)
	}
}

// The whole daemon, as a unit with Type=notify-reload sees it.
func TestDaemonTellsItsManager(t *testing.T) {
	dir := t.TempDir()
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
