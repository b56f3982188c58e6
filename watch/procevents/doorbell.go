package procevents

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// doorbell tells that something has arrived at a socket: once, and then not before it is waited for
// again, so that who reads at leisure is not woken by every message. One goroutine waits.
//
// It is an epoll instance within that of the runtime, with a timer of its own, and its calls, none of
// which blocks, are not announced to the runtime. Being woken is nearly all that an idle daemon costs:
// waiting in a system call, a timer of the runtime or an announced call after a rest would each wake
// further threads of the runtime, its monitor first (reentersyscall and wakeNetPoller, runtime/proc.go).
type doorbell struct {
	socket, timer int
	epoll         *os.File
	raw           syscall.RawConn
}

func newDoorbell(socket int) (_ *doorbell, err error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("no epoll instance: %w", err)
	}
	b := &doorbell{socket: socket}
	if b.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("no timer: %w", err)
	}
	err = errors.Join(
		unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, socket, &unix.EpollEvent{Events: unix.EPOLLONESHOT}),
		unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, b.timer, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: timerRang}),
		unix.SetNonblock(fd, true), // else the runtime does not take it
	)
	if err == nil {
		b.epoll = os.NewFile(uintptr(fd), "process events")
		b.raw, err = b.epoll.SyscallConn()
	}
	if err == nil {
		err = b.epoll.SetReadDeadline(time.Time{}) // fails where the runtime has not taken it after all
	}
	if err != nil {
		unix.Close(b.timer)
		unix.Close(fd)
		return nil, fmt.Errorf("cannot be told of what arrives: %w", err)
	}
	return b, nil
}

// timerRang marks what the timer tells.
const timerRang = 1

// Wait waits until something has arrived, stop was called, or d is over, which alone it is false for.
func (b *doorbell) Wait(d time.Duration) (rang bool, _ error) {
	return b.await(d, unix.EPOLLIN)
}

// Rest waits until stop was called or d is over, whatever arrives.
func (b *doorbell) Rest(d time.Duration) error {
	if d == 0 {
		return nil
	}
	_, err := b.await(d, 0)
	return err
}

// await waits for one of events, for stop, or for the timer, which alone it is false for.
func (b *doorbell) await(d time.Duration, events uint32) (rang bool, err error) {
	var errno syscall.Errno
	armed := false
	err = b.raw.Read(func(fd uintptr) bool {
		if !armed {
			armed = true
			errno = b.arm(fd, d, events)
		}
		if errno == 0 {
			rang, armed, errno = b.listen(fd)
		}
		return errno != 0 || !armed
	})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return true, nil // by stop
	case errno != 0:
		err = errno
	}
	if err != nil {
		return false, fmt.Errorf("cannot wait for process events: %w", err)
	}
	return rang, nil
}

// arm has the timer tell after d, and the socket once of events.
func (b *doorbell) arm(epoll uintptr, d time.Duration, events uint32) syscall.Errno {
	after := unix.ItimerSpec{Value: unix.NsecToTimespec(max(1, int64(d)))} // 0 would disarm it
	_, _, errno := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(b.timer), 0, uintptr(unsafe.Pointer(&after)), 0, 0, 0)
	if errno != 0 || events == 0 {
		return errno
	}
	event := unix.EpollEvent{Events: events | unix.EPOLLONESHOT}
	_, _, errno = unix.RawSyscall6(unix.SYS_EPOLL_CTL, epoll, unix.EPOLL_CTL_MOD, uintptr(b.socket), uintptr(unsafe.Pointer(&event)), 0, 0)
	return errno
}

// listen reports whether the socket has rung, and whether nothing has: to wait is in order then. What
// the socket tells is told no more from then on.
func (b *doorbell) listen(epoll uintptr) (rang, silent bool, errno syscall.Errno) {
	var set [2]unix.EpollEvent
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, epoll, uintptr(unsafe.Pointer(&set)), uintptr(len(set)), 0, 0, 0)
	if errno != 0 { // not EINTR, as it does not wait
		return false, false, errno
	}
	for _, e := range set[:n] {
		rang = rang || e.Fd != timerRang
	}
	return rang, n == 0, 0
}

// Stop ends all waiting, now and later. It may be called from any goroutine before close returns.
func (b *doorbell) Stop() {
	_ = b.epoll.SetReadDeadline(time.Unix(0, 1)) // newDoorbell has tried it
}

// Close releases the descriptors, but not the socket.
func (b *doorbell) Close() {
	b.epoll.Close()
	unix.Close(b.timer)
}
