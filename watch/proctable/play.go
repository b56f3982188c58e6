package proctable

import (
	"time"

	"golang.org/x/sys/unix"

	"relinkd/watch/procevents"
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
	conn, err := procevents.Of(pair[1], false)
	if err != nil {
		t.Close()
		return nil, err
	}
	t.attach(conn)
	return &Play{Table: t, socket: pair[0]}, nil
}

// Close releases what NewPlay has made.
func (p *Play) Close() error {
	unix.Close(p.socket)
	p.conn.Close()
	return p.Table.Close()
}

// Fork, Exec and Exit have the kernel tell at once of what has happened to a process. An error is that of
// writing: EAGAIN when Read is due.
func (p *Play) Fork(pid int32) error { return p.tell(procevents.Fork, pid) }

// Exec is as Fork.
func (p *Play) Exec(pid int32) error { return p.tell(procevents.Exec, pid) }

// Exit is as Fork.
func (p *Play) Exit(pid int32) error { return p.tell(procevents.Exit, pid) }

// Happened is what a message of the kernel tells.
type Happened struct {
	PID              int32
	Fork, Exec, Exit bool          // one of them, or none for what is not counted
	At               time.Duration // by the clock of whoever has recorded the message
}

// Understand reads a message that was recorded.
func Understand(message []byte) (Happened, error) {
	e, _, err := procevents.Cut(message)
	return Happened{e.PID, e.Kind == procevents.Fork, e.Kind == procevents.Exec, e.Kind == procevents.Exit, time.Duration(e.At)}, err
}

// Repeat has the kernel tell at once what a recorded message tells, of another process: its pid is higher by
// move. An error is as of Fork.
func (p *Play) Repeat(message []byte, move int32) error {
	m, err := procevents.Again(message, move, p.now())
	if err != nil {
		return err
	}
	return p.send(m)
}

// now is the time by the clock of events.
func (p *Play) now() int64 { return p.clock.mono + int64(time.Since(p.clock.base)) }

func (p *Play) tell(kind procevents.Kind, pid int32) error {
	return p.send(procevents.Message(procevents.Event{Kind: kind, PID: pid, At: p.now()}))
}

// send has the kernel tell m.
func (p *Play) send(m []byte) error {
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
