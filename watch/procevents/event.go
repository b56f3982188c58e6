package procevents

import (
	"encoding/binary"
	"errors"
	"slices"
)

// Event is what the kernel's process connector tells: that something happened to a process.
type Event struct {
	Kind Kind
	PID  int32 // of the process that it happened to; a fork's child
	At   int64 // nanoseconds of CLOCK_MONOTONIC, when the kernel wrote it
	ack  ack   // of an acknowledgement
}

// ack answers a request to listen.
type ack struct {
	to    uint32 // the number of the request
	errno uint32 // why it was refused; 0 for granted
}

// Kind is what happened.
type Kind uint8

const (
	other Kind = iota // of no interest: what happened to a thread, or a change of credentials
	acknowledged
	Fork
	Exec
	Exit
)

// Where things are in a message: struct nlmsghdr (linux/netlink.h), struct cn_msg (linux/connector.h),
// struct proc_event (linux/cn_proc.h) one after the other. They have had this layout since Linux 2.6.15
// and cannot change it.
const (
	msgLength = 0 // 32 bits: of the whole message
	msgType   = 4 // 16 bits

	connectorIdx    = 16 // 32 bits
	connectorVal    = 20 // 32 bits
	connectorAck    = 28 // 32 bits
	connectorLength = 32 // 16 bits: of what follows

	eventWhat = 36 // 32 bits
	eventAt   = 44 // 64 bits
	eventData = 52

	ackErrno = eventData

	forkThread = eventData + 8 // the new thread or process
	forkGroup  = eventData + 12

	processThread = eventData
	processGroup  = eventData + 4

	minMessage = eventData + 16 // an event of any kind that is looked at is at least so long
)

// What these words can be.
const (
	netlinkDone = 3 // NLMSG_DONE: what every connector message is

	idxProc = 1 // CN_IDX_PROC, also the multicast group
	valProc = 1 // CN_VAL_PROC

	whatNone = 0 // PROC_EVENT_NONE: an acknowledgement
	whatFork = 1
	whatExec = 2
	whatExit = 0x80000000
)

// errMessage says that the kernel's messages are not what they are known to be.
var errMessage = errors.New("malformed netlink message")

// Cut decodes the first message of a datagram; rest is the messages after it, which alias buf.
func Cut(buf []byte) (e Event, rest []byte, err error) {
	if len(buf) < minMessage {
		return Event{}, nil, errMessage
	}
	word := binary.NativeEndian.Uint32
	n := int64(word(buf[msgLength:]))
	if n < minMessage || n > int64(len(buf)) {
		return Event{}, nil, errMessage
	}
	// Messages are padded to four bytes; the last one need not be.
	rest = buf[min((n+3)&^3, int64(len(buf))):]
	if binary.NativeEndian.Uint16(buf[msgType:]) != netlinkDone ||
		word(buf[connectorIdx:]) != idxProc || word(buf[connectorVal:]) != valProc {
		return Event{}, rest, nil
	}
	e.At = int64(binary.NativeEndian.Uint64(buf[eventAt:]))
	pid := func(at int) int32 { return int32(word(buf[at:])) }
	switch word(buf[eventWhat:]) {
	case whatNone:
		e.Kind = acknowledged
		e.ack = ack{to: word(buf[connectorAck:]), errno: word(buf[ackErrno:])}
	case whatFork:
		if pid(forkThread) == pid(forkGroup) {
			e.Kind, e.PID = Fork, pid(forkGroup)
		}
	case whatExec:
		e.Kind, e.PID = Exec, pid(processGroup)
	case whatExit:
		if pid(processThread) == pid(processGroup) {
			e.Kind, e.PID = Exit, pid(processGroup)
		}
	}
	return e, rest, nil
}

// Message returns what the kernel writes of e, a fork, exec or exit: for tests that play it.
func Message(e Event) []byte {
	const size = 40 // of struct proc_event
	m := make([]byte, eventWhat+size)
	order := binary.NativeEndian
	order.PutUint32(m[msgLength:], uint32(len(m)))
	order.PutUint16(m[msgType:], netlinkDone)
	order.PutUint32(m[connectorIdx:], idxProc)
	order.PutUint32(m[connectorVal:], valProc)
	order.PutUint16(m[connectorLength:], size)
	order.PutUint64(m[eventAt:], uint64(e.At))
	what := uint32(whatExec)
	switch e.Kind {
	case Fork:
		what = whatFork
	case Exit:
		what = whatExit
	}
	order.PutUint32(m[eventWhat:], what)
	setProcess(m, e)
	return m
}

// Again returns message, which was recorded, as of another process and time: its pid is higher by move.
func Again(message []byte, move int32, at int64) ([]byte, error) {
	e, _, err := Cut(message)
	if err != nil {
		return nil, err
	}
	m := slices.Clone(message)
	binary.NativeEndian.PutUint64(m[eventAt:], uint64(at))
	e.PID += move
	setProcess(m, e)
	return m, nil
}

// setProcess makes m tell of e's process, all of it.
func setProcess(m []byte, e Event) {
	at := processThread
	if e.Kind == Fork {
		at = forkThread
	}
	order := binary.NativeEndian
	order.PutUint32(m[at:], uint32(e.PID)) // the thread, and then its process
	order.PutUint32(m[at+4:], uint32(e.PID))
}
