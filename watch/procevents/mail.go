package procevents

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Batch is how many datagrams are received in one call.
const Batch = 64

// mail is where datagrams are received, many in one call: recvmmsg(2).
type mail struct {
	headers [Batch]mailHeader
	vectors [Batch]unix.Iovec
	senders [Batch]unix.RawSockaddrNetlink
	buffers [Batch][256]byte // a message is 76 bytes
}

// mailHeader is struct mmsghdr.
type mailHeader struct {
	unix.Msghdr
	length uint32
}

// prepare lets the kernel write into m, which must not move any more.
func (m *mail) prepare() {
	for i := range m.headers {
		h := &m.headers[i]
		m.vectors[i].Base = &m.buffers[i][0]
		m.vectors[i].SetLen(len(m.buffers[i]))
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&m.senders[i])), unix.SizeofSockaddrNetlink
		h.Iov = &m.vectors[i]
		h.SetIovlen(1)
	}
}

// datagram is the i-th that was received, until the next call. Only the kernel's own count: another's,
// which root could have sent by mistake, is empty. One that is cut off is malformed.
func (m *mail) datagram(i int) []byte {
	if m.senders[i].Pid != 0 {
		return nil
	}
	return m.buffers[i][:m.headers[i].length]
}
