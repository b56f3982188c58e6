package packages_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a client waits for one answer.
const patience = 30 * time.Second

// client is one IMAP session.
type client struct {
	conn  net.Conn
	lines *bufio.Reader
}

// login opens a session of user1.
func (m *machine) login() (*client, error) {
	conn, err := m.dial()
	if err != nil {
		return nil, err
	}
	c := &client{conn, bufio.NewReader(conn)}
	if greeting, err := c.line(); err != nil || !strings.HasPrefix(greeting, "* OK ") {
		conn.Close()
		return nil, fmt.Errorf("greeted with %q: %v", greeting, err)
	}
	if err := c.command("LOGIN user1 secret"); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *client) line() (string, error) {
	c.conn.SetReadDeadline(time.Now().Add(patience))
	line, err := c.lines.ReadString('\n')
	return strings.TrimSpace(line), err
}

// command sends one command; any other answer than OK is an error.
func (c *client) command(text string) error {
	if _, err := fmt.Fprintf(c.conn, "t %s\r\n", text); err != nil {
		return err
	}
	for {
		line, err := c.line()
		if err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		if answer, found := strings.CutPrefix(line, "t "); found {
			if !strings.HasPrefix(answer, "OK") {
				return fmt.Errorf("%s: %s", text, answer)
			}
			return nil
		}
	}
}

// hold opens n sessions that end with t.
func (m *machine) hold(t *testing.T, n int) []*client {
	t.Helper()
	var held []*client
	for range n {
		c, err := m.login()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.conn.Close() })
		held = append(held, c)
	}
	return held
}

// alive checks that held sessions are still served.
func alive(t *testing.T, held []*client) {
	t.Helper()
	for i, c := range held {
		if err := c.command("NOOP"); err != nil {
			t.Errorf("session %d of %d ended: %v", i+1, len(held), err)
		}
	}
}

// load is a number of users who log in and out in turn.
type load struct {
	stopped chan struct{}
	users   sync.WaitGroup

	mu       sync.Mutex
	logins   int
	failures []string
}

// logins starts a load, which ends with t at the latest.
func (m *machine) logins(t *testing.T, users int) *load {
	l := &load{stopped: make(chan struct{})}
	for range users {
		l.users.Go(func() {
			pace := time.NewTicker(20 * time.Millisecond)
			defer pace.Stop()
			for {
				select {
				case <-l.stopped:
					return
				case <-pace.C:
				}
				c, err := m.login()
				if err == nil {
					err = c.command("LOGOUT")
					c.conn.Close()
				}
				l.mu.Lock()
				l.logins++
				if err != nil {
					l.failures = append(l.failures, fmt.Sprintf("%s: %v", time.Now().Format("15:04:05.000"), err))
				}
				l.mu.Unlock()
			}
		})
	}
	t.Cleanup(func() { l.stop() })
	return l
}

// stop ends the load and returns how many logins there were and which failed.
func (l *load) stop() (logins int, failures []string) {
	select {
	case <-l.stopped:
	default:
		close(l.stopped)
	}
	l.users.Wait()
	return l.logins, l.failures
}

// unharmed ends the load and checks that no login failed, of at least a few.
func (l *load) unharmed(t *testing.T, what string) int {
	t.Helper()
	logins, failures := l.stop()
	if len(failures) > 0 {
		t.Errorf("%s: %d of %d logins failed, first: %s", what, len(failures), logins, failures[0])
	}
	if logins < 10 {
		t.Errorf("%s: only %d logins were tried", what, logins)
	}
	return logins
}
