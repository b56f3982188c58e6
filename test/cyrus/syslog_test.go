package cyrus_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// syslog receives what the processes of one Cyrus log: its socket is put over /dev/log in a mount
// namespace of theirs, so that the host's own log service, if any, is not disturbed.
type syslog struct {
	socket string
	conn   *net.UnixConn

	mu    sync.Mutex
	lines []string
}

// receiveLog listens in dir until the end of t; when t has failed, the end of the log is shown.
func receiveLog(t *testing.T, dir string) *syslog {
	t.Helper()
	s := &syslog{socket: filepath.Join(dir, "log")}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	s.conn = conn
	if err := os.Chmod(s.socket, 0o666); err != nil {
		t.Fatal(err)
	}
	if f, err := os.OpenFile("/dev/log", os.O_CREATE|os.O_EXCL, 0o644); err == nil { // to mount on
		f.Close()
		t.Cleanup(func() { os.Remove("/dev/log") })
	}
	done := make(chan struct{})
	go func() { defer close(done); s.receive() }()
	t.Cleanup(func() {
		conn.Close()
		<-done
		if t.Failed() {
			t.Logf("the end of Cyrus's log:\n%s", strings.Join(s.lines[max(0, len(s.lines)-40):], "\n"))
		}
	})
	return s
}

func (s *syslog) receive() {
	buf := make([]byte, 64<<10)
	for {
		n, err := s.conn.Read(buf)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.lines = append(s.lines, string(buf[:n]))
		s.mu.Unlock()
	}
}

// mark is the place that the log has reached. Everything that was logged before the call lies
// before it: a line of ours goes through the same socket and is waited for.
func (s *syslog) mark(t *testing.T) int {
	t.Helper()
	line := fmt.Sprintf("mark %d", time.Now().UnixNano())
	conn, err := net.Dial("unixgram", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(line)); err != nil {
		t.Fatal(err)
	}
	at := -1
	await(t, 10*time.Second, "the log's own mark", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i := len(s.lines) - 1; i >= 0; i-- {
			if s.lines[i] == line {
				at = i + 1
				return true
			}
		}
		return false
	})
	return at
}

// since returns the lines after a mark that contain text.
func (s *syslog) since(mark int, text string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	for _, line := range s.lines[mark:] {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// failures are the texts by which master reports that a spawn went wrong.
var failures = [...]string{"couldn't exec", "terminated abnormally", "too many failures"}

// noFailures fails t if master reported a failed spawn since the mark.
func (s *syslog) noFailures(t *testing.T, mark int) {
	t.Helper()
	s.mark(t)
	for _, text := range failures {
		if lines := s.since(mark, text); len(lines) > 0 {
			t.Errorf("Cyrus logged %q %d times, first: %s", text, len(lines), lines[0])
		}
	}
}
