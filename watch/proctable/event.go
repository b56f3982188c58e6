package proctable

import (
	"encoding/binary"
	"errors"
)

// event is what the kernel's process connector tells: that something happened to a process.
type event struct {
	kind eventKind
	pid  int32 // of the process that it happened to; a fork's child
	at   int64 // nanoseconds of CLOCK_MONOTONIC, when the kernel wrote it
	ack  ack   // of an eventAck
}

// ack answers a request to listen.
type ack struct {
	to    uint32 // the number of the request
	errno uint32 // why it was refused; 0 for granted
}

// eventKind is what happened.
type eventKind uint8

const (
	eventOther eventKind = iota // of no interest: what happened to a thread, or a change of credentials
	eventAck
	eventFork
	eventExec
	eventExit
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

// cutEvent decodes the first message of a datagram; rest is the messages after it, which alias buf.
func cutEvent(buf []byte) (e event, rest []byte, err error) {
	if len(buf) < minMessage {
		return event{}, nil, errMessage
	}
	word := binary.NativeEndian.Uint32
	n := int64(word(buf[msgLength:]))
	if n < minMessage || n > int64(len(buf)) {
		return event{}, nil, errMessage
	}
	// Messages are padded to four bytes; the last one need not be.
	rest = buf[min((n+3)&^3, int64(len(buf))):]
	if binary.NativeEndian.Uint16(buf[msgType:]) != netlinkDone ||
		word(buf[connectorIdx:]) != idxProc || word(buf[connectorVal:]) != valProc {
		return event{}, rest, nil
	}
	e.at = int64(binary.NativeEndian.Uint64(buf[eventAt:]))
	pid := func(at int) int32 { return int32(word(buf[at:])) }
	switch word(buf[eventWhat:]) {
	case whatNone:
		e.kind = eventAck
		e.ack = ack{to: word(buf[connectorAck:]), errno: word(buf[ackErrno:])}
	case whatFork:
		if pid(forkThread) == pid(forkGroup) {
			e.kind, e.pid = eventFork, pid(forkGroup)
		}
	case whatExec:
		e.kind, e.pid = eventExec, pid(processGroup)
	case whatExit:
		if pid(processThread) == pid(processGroup) {
			e.kind, e.pid = eventExit, pid(processGroup)
		}
	}
	return e, rest, nil
}
