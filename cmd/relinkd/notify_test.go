package main

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
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
