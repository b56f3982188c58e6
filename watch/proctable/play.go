package proctable

import (
	"encoding/binary"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Play is a Table to which somebody plays the kernel: tests of what is decided by counts, in their own time.
// It goes through all that a running Table does, from the message of an event on, but nothing happens by
// itself. One goroutine uses it, and Run of its Table is not called.
type Play struct {
	*Table
	socket int // what is written there is what the kernel tells
}

// NewPlay is a Table that listens to events, and is to take its first census.
func NewPlay(o Options) (*Play, error) {
	t, err := New(o)
	if err != nil {
		return nil, err
	}
	// No limit is set to how many datagrams wait in a connected pair but the sender's memory.
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Close()
		return nil, err
	}
	// As the processor time of a census is real, and the clock perhaps not, a census costs what it takes by that.
	t.spend = func(work func() error) (time.Duration, error) {
		began := time.Now()
		err := work()
		return time.Since(began), err
	}
	t.attach(&connector{fd: pair[1]})
	return &Play{Table: t, socket: pair[0]}, nil
}

// Close releases what NewPlay has made.
func (p *Play) Close() error {
	unix.Close(p.socket)
	unix.Close(p.conn.fd)
	return p.Table.Close()
}

// Fork, Exec and Exit have the kernel tell at once of what has happened to a process. An error is that of
// writing: EAGAIN when Read is due.
func (p *Play) Fork(pid int32) error { return p.tell(whatFork, forkThread, pid) }

// Exec is as Fork.
func (p *Play) Exec(pid int32) error { return p.tell(whatExec, processThread, pid) }

// Exit is as Fork.
func (p *Play) Exit(pid int32) error { return p.tell(whatExit, processThread, pid) }

// Happened is what a message of the kernel tells.
type Happened struct {
	PID              int32
	Fork, Exec, Exit bool          // one of them, or none for what is not counted
	At               time.Duration // by the clock of whoever has recorded the message
}

// Understand reads a message that was recorded.
func Understand(message []byte) (Happened, error) {
	e, _, err := cutEvent(message)
	return Happened{e.pid, e.kind == eventFork, e.kind == eventExec, e.kind == eventExit, time.Duration(e.at)}, err
}

// Repeat has the kernel tell at once what a recorded message tells, of another process: its pid is higher by
// move. An error is as of Fork.
func (p *Play) Repeat(message []byte, move int32) error {
	e, _, err := cutEvent(message)
	if err != nil {
		return err
	}
	at := processThread
	if e.kind == eventFork {
		at = forkThread
	}
	m := slices.Clone(message)
	order := binary.NativeEndian
	order.PutUint32(m[at:], uint32(e.pid+move))
	order.PutUint32(m[at+4:], uint32(e.pid+move))
	return p.send(m)
}

// tell writes the message of an event about a process, whose pid stands twice from at on.
func (p *Play) tell(what uint32, at int, pid int32) error {
	m := make([]byte, minMessage)
	order := binary.NativeEndian
	order.PutUint32(m[msgLength:], uint32(len(m)))
	order.PutUint16(m[msgType:], netlinkDone)
	order.PutUint32(m[connectorIdx:], idxProc)
	order.PutUint32(m[connectorVal:], valProc)
	order.PutUint32(m[eventWhat:], what)
	order.PutUint32(m[at:], uint32(pid))
	order.PutUint32(m[at+4:], uint32(pid))
	return p.send(m)
}

// send writes a message of just now.
func (p *Play) send(m []byte) error {
	binary.NativeEndian.PutUint64(m[eventAt:], uint64(p.clock.mono+int64(time.Since(p.clock.base))))
	_, err := unix.Write(p.socket, m)
	return err
}

// Lose has the kernel lose what it has told since the last Read, and say so.
func (p *Play) Lose() {
	p.counting.Lock()
	defer p.counting.Unlock()
	p.lost()
}

// Read does what the reader of a running Table does when it gets its turn.
func (p *Play) Read() error { return p.read() }

// Due is when Step has something to do: a census, or to tell followers what has changed.
func (p *Play) Due() time.Time { return p.next() }

// Step does what is due. during is called while a census goes through the processes, and read takes the events
// that have come meanwhile, as a census does now and then.
func (p *Play) Step(during func(read func())) error {
	if !time.Now().Before(p.nextCensus()) {
		spend := p.spend
		p.spend = func(work func() error) (time.Duration, error) {
			return spend(func() error {
				during(func() { _, _ = p.drain() }) // an error would show in the counts
				return work()
			})
		}
		err := p.Take()
		if p.spend = spend; err != nil {
			return err
		}
	}
	p.Table.tell()
	return nil
}
