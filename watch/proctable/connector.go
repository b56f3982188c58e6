package proctable

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// connector is a subscription to the process events of the kernel (CN_PROC,
// drivers/connector/cn_proc.c).
type connector struct {
	file *os.File // nonblocking, so that waiting for it is the runtime's affair
	fd   int      // the same
	raw  syscall.RawConn
	buf  [4 << 10]byte // one message is 76 bytes
	from unix.RawSockaddrNetlink
}

// receiveBuffer holds 8 MiB of events that were not read yet: some ten thousand, for the kernel
// reckons a kilobyte of its memory for each.
const receiveBuffer = 8 << 20

// ackWait is how long the kernel may take to acknowledge that we listen. It answers within the call.
const ackWait = time.Second

// errNoAck says that the kernel took the request to listen and did not answer.
var errNoAck = errors.New("the kernel does not acknowledge listening")

// subscribe listens to process events. The acknowledgement alone proves that they come: in a pid or
// user namespace of one's own the request is dropped without a word, and a kernel without
// CONFIG_PROC_EVENTS has nobody to read it. As the message may get lost it is asked for once more.
func subscribe(buffer int) (*connector, error) {
	c, err := listen(buffer)
	if errors.Is(err, errNoAck) {
		c, err = listen(buffer)
	}
	return c, err
}

// listen opens a connector whose receive buffer holds that many bytes.
func listen(buffer int) (*connector, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.NETLINK_CONNECTOR)
	if err != nil {
		return nil, fmt.Errorf("no netlink connector: %w", err)
	}
	c := &connector{file: os.NewFile(uintptr(fd), "process events"), fd: fd}
	if err := c.listen(buffer); err != nil {
		c.file.Close()
		return nil, err
	}
	return c, nil
}

func (c *connector) listen(buffer int) (err error) {
	fd := c.fd
	if c.raw, err = c.file.SyscallConn(); err != nil {
		return err
	}
	// Beyond net.core.rmem_max for who may administer the network.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer); err != nil {
			return fmt.Errorf("cannot set the receive buffer: %w", err)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: idxProc}); err != nil {
		return fmt.Errorf("cannot join the process events: %w", err)
	}
	if err := c.request(); err != nil {
		return err
	}
	program := filter()
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{
		Len:    uint16(len(program)),
		Filter: &program[0],
	}); err != nil {
		return fmt.Errorf("cannot filter the process events: %w", err)
	}
	return nil
}

// request asks for events and waits for the acknowledgement. Events that come before it are passed
// over: whoever subscribes takes a census afterwards.
func (c *connector) request() error {
	number := rand.Uint32()
	asked := monotonic()
	err := unix.Sendto(c.fd, message(opListen, number), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("no process connector in this network namespace: %w", err)
	}
	if err != nil {
		return fmt.Errorf("cannot ask for process events: %w", err)
	}
	if err := c.file.SetReadDeadline(time.Now().Add(ackWait)); err != nil {
		return err
	}
	var answer *event
	err = c.wait(func() bool {
		for {
			datagram, errno := c.receive()
			if errno == unix.EAGAIN {
				return false
			}
			if errno != 0 {
				continue // ENOBUFS: the acknowledgement may still be there
			}
			for len(datagram) > 0 {
				e, rest, err := cutEvent(datagram)
				if err != nil {
					break
				}
				if datagram = rest; e.kind == eventAck && e.ack.to == number+1 {
					answer = &e
					return true
				}
			}
		}
	})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errNoAck
	case err != nil:
		return err
	case answer.ack.errno != 0:
		return fmt.Errorf("the kernel refuses process events: %w", unix.Errno(answer.ack.errno))
	case answer.at < asked || answer.at > monotonic():
		return errors.New("process events bear the time of another clock than ours, as in a time namespace")
	}
	return c.file.SetReadDeadline(time.Time{})
}

// wait calls ready whenever something may have arrived, beginning at once, until it returns true. An
// error is one of the deadline, or of a file closed meanwhile.
func (c *connector) wait(ready func() bool) error {
	return c.raw.Read(func(uintptr) bool { return ready() })
}

// receive takes the next datagram, which is c.buf's until the next call. EAGAIN: there is none.
// ENOBUFS: some were lost. Only the kernel's own messages count; another's are returned as empty.
//
// The call is made here because unix.Recvfrom allocates an address each time.
func (c *connector) receive() ([]byte, unix.Errno) {
	size := uint32(unsafe.Sizeof(c.from))
	n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(c.fd), uintptr(unsafe.Pointer(&c.buf)), uintptr(len(c.buf)),
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&c.from)), uintptr(unsafe.Pointer(&size)))
	switch {
	case errno == unix.EINTR:
		return nil, 0
	case errno != 0:
		return nil, errno
	case c.from.Pid != 0: // root could have sent it, by mistake
		return nil, 0
	}
	return c.buf[:n], 0
}

// drop takes everything that has arrived and throws it away.
func (c *connector) drop() {
	for {
		if _, errno := c.receive(); errno == unix.EAGAIN {
			return
		}
	}
}

// close ends the subscription. The kernel is told: before Linux 6.6 it goes on making events for
// every process for as long as it runs, if the last listener ends without a word.
func (c *connector) close() {
	// Nobody waits for an answer, and nothing can be done when the request is lost.
	_ = unix.Sendto(c.fd, message(opIgnore, 0), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	c.file.Close()
}
