package cyrus_test

import (
	"bufio"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// patience is how long a client waits for one answer.
const patience = 30 * time.Second

// client is one IMAP connection.
type client struct {
	conn  net.Conn
	lines *bufio.Reader
	tag   int
	pid   process // the imapd that serves it, known after login
}

// dial connects and reads the greeting.
func dial(address string) (*client, error) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, lines: bufio.NewReader(conn)}
	greeting, err := c.line()
	if err == nil && !strings.HasPrefix(greeting, "* OK ") {
		err = fmt.Errorf("greeted with %q", greeting)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *client) line() (string, error) {
	c.conn.SetReadDeadline(time.Now().Add(patience))
	line, err := c.lines.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

// command sends one command and returns the server's closing line; any other answer than OK is an
// error.
func (c *client) command(text string) (string, error) {
	c.tag++
	tag := fmt.Sprintf("t%d ", c.tag)
	if _, err := fmt.Fprintf(c.conn, "%s%s\r\n", tag, text); err != nil {
		return "", err
	}
	for {
		line, err := c.line()
		if err != nil {
			return "", fmt.Errorf("%s: %w", text, err)
		}
		if answer, ok := strings.CutPrefix(line, tag); ok {
			if !strings.HasPrefix(answer, "OK") {
				return "", fmt.Errorf("%s: %s", text, answer)
			}
			return answer, nil
		}
	}
}

// Cyrus names the serving process in the answer to LOGIN: SESSIONID=<server-time-PID-…>.
var sessionID = regexp.MustCompile(`SESSIONID=<[^ >]*-\d+-(\d+)-\d+-\d+>`)

func (c *client) login(user string) error {
	answer, err := c.command("LOGIN " + user + " " + password)
	if err != nil {
		return err
	}
	m := sessionID.FindStringSubmatch(answer)
	if m == nil {
		return fmt.Errorf("no session id in %q", answer)
	}
	pid, err := strconv.Atoi(m[1])
	c.pid = process(pid)
	return err
}

// logout ends the session as a client should.
func (c *client) logout() error {
	_, err := c.command("LOGOUT")
	c.close()
	return err
}

func (c *client) close() { c.conn.Close() }

// visit is a whole short session: connect, log in, noop, log out.
func visit(address string, number int) error {
	c, err := dial(address)
	if err != nil {
		return fmt.Errorf("refused: %w", err)
	}
	defer c.close()
	if err := c.login(user(number)); err != nil {
		return err
	}
	if _, err := c.command("NOOP"); err != nil {
		return err
	}
	return c.logout()
}

// hold opens n logged-in sessions, at most atOnce at the same time, and closes those that are
// left with t.
func hold(t *testing.T, address string, n, atOnce int) []*client {
	t.Helper()
	held := make([]*client, n)
	t.Cleanup(func() { release(held) })
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i := range held {
		g.Go(func() error {
			c, err := dial(address)
			if err != nil {
				return err
			}
			held[i] = c
			return c.login(user(i))
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatalf("cannot hold %d sessions: %v", n, err)
	}
	return held
}

// release closes sessions; their processes then wait for another client or end.
func release(held []*client) {
	for _, c := range held {
		if c != nil {
			c.close()
		}
	}
}
