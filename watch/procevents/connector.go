package procevents

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Connector is a subscription to the process events of the kernel (CN_PROC,
// drivers/connector/cn_proc.c). One goroutine waits for them and reads them.
type Connector struct {
	*doorbell
	fd   int
	mail mail
}

// ReceiveBuffer holds 8 MiB of events that were not read yet: some ten thousand, for the kernel
// reckons a kilobyte of its memory for each.
const ReceiveBuffer = 8 << 20

// ackWait is how long the kernel may take to acknowledge that we listen. It answers within the call.
const ackWait = time.Second

// errNoAck says that the kernel took the request to listen and did not answer.
var errNoAck = errors.New("the kernel does not acknowledge listening")

// Subscribe listens to process events. The acknowledgement alone proves that they come: in a pid or
// user namespace of one's own the request is dropped without a word, and a kernel without
// CONFIG_PROC_EVENTS has nobody to read it. As the message may get lost it is asked for once more.
func Subscribe(buffer int) (*Connector, error) {
	c, err := listen(buffer)
	if errors.Is(err, errNoAck) {
		c, err = listen(buffer)
	}
	return c, err
}

// listen opens a connector whose receive buffer holds that many bytes.
func listen(buffer int) (*Connector, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.NETLINK_CONNECTOR)
	if err != nil {
		return nil, fmt.Errorf("no netlink connector: %w", err)
	}
	bell, err := newDoorbell(fd)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	c := &Connector{doorbell: bell, fd: fd}
	if err := c.listen(buffer); err != nil {
		c.release()
		return nil, err
	}
	return c, nil
}

func (c *Connector) listen(buffer int) error {
	// Beyond net.core.rmem_max for who may administer the network.
	if unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) != nil {
		if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer); err != nil {
			return fmt.Errorf("cannot set the receive buffer: %w", err)
		}
	}
	if err := unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: idxProc}); err != nil {
		return fmt.Errorf("cannot join the process events: %w", err)
	}
	if err := c.request(); err != nil {
		return err
	}
	return c.SetFilter(filter())
}

// SetFilter has the kernel pass on what program, a classic BPF program, lets through.
func (c *Connector) SetFilter(program []unix.SockFilter) error {
	if err := unix.SetsockoptSockFprog(c.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{
		Len:    uint16(len(program)),
		Filter: &program[0],
	}); err != nil {
		return fmt.Errorf("cannot filter the process events: %w", err)
	}
	return nil
}

// request asks for events and waits for the acknowledgement. Events that come before it are passed
// over: whoever subscribes takes a census afterwards.
func (c *Connector) request() error {
	number := rand.Uint32()
	asked := Monotonic()
	err := unix.Sendto(c.fd, message(opListen, number), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("no process connector in this network namespace: %w", err)
	}
	if err != nil {
		return fmt.Errorf("cannot ask for process events: %w", err)
	}
	answer, err := c.answer(number, time.Now().Add(ackWait))
	switch {
	case err != nil:
		return err
	case answer.ack.errno != 0:
		return fmt.Errorf("the kernel refuses process events: %w", unix.Errno(answer.ack.errno))
	case answer.At < asked || answer.At > Monotonic():
		return errors.New("process events bear the time of another clock than ours, as in a time namespace")
	}
	return nil
}

// answer is the acknowledgement of request number, errNoAck when none comes in time.
func (c *Connector) answer(number uint32, deadline time.Time) (Event, error) {
	for {
		n, errno := c.Receive()
		switch errno {
		case 0, unix.ENOBUFS: // of what was lost it may be no part
		case unix.EAGAIN:
			left := time.Until(deadline)
			if left <= 0 {
				return Event{}, errNoAck
			}
			if _, err := c.Wait(left); err != nil {
				return Event{}, err
			}
		default:
			return Event{}, fmt.Errorf("cannot read process events: %w", errno)
		}
		for i := range n {
			for datagram := c.mail.datagram(i); len(datagram) > 0; {
				e, rest, err := Cut(datagram)
				if err != nil {
					break
				}
				if datagram = rest; e.Kind == acknowledged && e.ack.to == number+1 {
					return e, nil
				}
			}
		}
	}
}

// Receive takes the next datagrams and returns how many there are. EAGAIN: there is none.
// ENOBUFS: some were lost.
func (c *Connector) Receive() (n int, _ unix.Errno) {
	c.mail.prepare()
	got, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&c.mail.headers)), Batch,
		unix.MSG_DONTWAIT, 0, 0)
	if errno == unix.EINTR {
		return 0, 0
	}
	return int(got), errno
}

// Drop takes everything that has arrived and throws it away.
func (c *Connector) Drop() {
	for {
		if _, errno := c.Receive(); errno == unix.EAGAIN {
			return
		}
	}
}

// Close ends the subscription. The kernel is told: before Linux 6.6 it goes on making events for
// every process for as long as it runs, if the last listener ends without a word.
func (c *Connector) Close() {
	// Nobody waits for an answer, and nothing can be done when the request is lost.
	_ = unix.Sendto(c.fd, message(opIgnore, 0), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	c.release()
}

// Of returns a Connector that reads from socket, which it owns from then on, what somebody writes there who plays
// the kernel. Wait, Rest and Stop are to be called only where it is awaited.
func Of(socket int, awaited bool) (*Connector, error) {
	c := &Connector{fd: socket}
	if !awaited {
		return c, nil
	}
	bell, err := newDoorbell(socket)
	if err != nil {
		return nil, err
	}
	c.doorbell = bell
	return c, unix.SetNonblock(socket, true)
}

// Datagram returns the i-th datagram that was received, until the next Receive. It is empty where it is not the
// kernel's own, and malformed where it was cut off.
func (c *Connector) Datagram(i int) []byte { return c.mail.datagram(i) }

func (c *Connector) release() {
	if c.doorbell != nil {
		c.doorbell.Close()
	}
	unix.Close(c.fd)
}
