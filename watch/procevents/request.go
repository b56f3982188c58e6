package procevents

import "encoding/binary"

// operation is what is asked of the process connector: enum proc_cn_mcast_op (linux/cn_proc.h).
type operation uint32

const (
	opListen operation = 1
	opIgnore operation = 2
)

// message is the request for op. The kernel's acknowledgement bears number+1. The body is the
// operation alone, four bytes, which every kernel knows; a set of event types after it is for Linux
// 6.6 and later.
func message(op operation, number uint32) []byte {
	const body = 4
	m := make([]byte, eventWhat+body)
	order := binary.NativeEndian
	order.PutUint32(m[msgLength:], uint32(len(m)))
	order.PutUint16(m[msgType:], netlinkDone)
	order.PutUint32(m[connectorIdx:], idxProc)
	order.PutUint32(m[connectorVal:], valProc)
	order.PutUint32(m[connectorAck:], number)
	order.PutUint16(m[connectorLength:], body)
	order.PutUint32(m[eventWhat:], uint32(op))
	return m
}
