package control

import (
	"net"
	"slices"
	"sync"
)

// How many connections there may be at a time: on the socket, of those who may change things, and of all
// others together, so that the others cannot keep the first out; and on the TCP port.
const (
	maxTrusted = 256
	maxOthers  = 64
	maxWeb     = 128
)

// limited is a listener that accepts no more connections than it may. Where there are as many, the
// oldest one whose request is still to come has to go, for a client that means well sends its request
// at once; where all are being worked on, the new one.
type limited struct {
	net.Listener
	classify func(*conn) // sets peer, known and of; net.Conn is set

	mu sync.Mutex
}

// class is the connections of those who have the same rights.
type class struct {
	most  int
	conns []*conn // the oldest first
}

// limitSocket limits the connections of a unix socket.
func limitSocket(ln net.Listener) *limited {
	trusted, others := &class{most: maxTrusted}, &class{most: maxOthers}
	return &limited{Listener: ln, classify: func(c *conn) {
		c.of = others
		if uc, ok := c.Conn.(*net.UnixConn); ok {
			c.peer, c.known = peerOf(uc)
		}
		if c.known && c.peer.mayChange() {
			c.of = trusted
		}
	}}
}

// limitWeb limits the connections of a TCP port, where all have the same rights.
func limitWeb(ln net.Listener) *limited {
	all := &class{most: maxWeb}
	return &limited{Listener: ln, classify: func(c *conn) { c.of = all }}
}

// conn is one accepted connection.
type conn struct {
	net.Conn
	peer  peer
	known bool // peer was to be told

	ln   *limited
	of   *class
	busy bool // under ln.mu: its request is being worked on
	open bool // under ln.mu: it is answered by a stream, which may last for ever
}

// Accept waits for a connection that there is room for.
func (l *limited) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: accepted, ln: l}
		l.classify(c)
		unwanted := l.admit(c)
		if unwanted != nil {
			unwanted.Close()
		}
		if unwanted != c {
			return c, nil
		}
	}
}

// admit makes room for c, if there is none, and returns the connection that has to go for that.
func (l *limited) admit(c *conn) (unwanted *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(c.of.conns) >= c.of.most {
		i := slices.IndexFunc(c.of.conns, func(c *conn) bool { return !c.busy })
		if i < 0 {
			return c
		}
		unwanted = c.of.conns[i]
		c.of.conns = slices.Delete(c.of.conns, i, i+1)
	}
	c.of.conns = append(c.of.conns, c)
	return unwanted
}

// work notes that the request is there, so that the connection need not go for another.
func (c *conn) work() {
	c.ln.mu.Lock()
	defer c.ln.mu.Unlock()
	c.busy = true
}

// rest notes that the request was answered, and another one may come.
func (c *conn) rest() {
	c.ln.mu.Lock()
	defer c.ln.mu.Unlock()
	c.busy, c.open = false, false
}

// stream notes that the answer is a stream, if that may be: of each class half of the connections are for
// what is answered at once.
func (c *conn) stream() bool {
	c.ln.mu.Lock()
	defer c.ln.mu.Unlock()
	streams := 0
	for _, other := range c.of.conns {
		if other.open {
			streams++
		}
	}
	c.open = streams < c.of.most/2
	return c.open
}

// Close makes room for another connection.
func (c *conn) Close() error {
	c.ln.mu.Lock()
	if i := slices.Index(c.of.conns, c); i >= 0 {
		c.of.conns = slices.Delete(c.of.conns, i, i+1)
	}
	c.ln.mu.Unlock()
	return c.Conn.Close()
}
