package control

import (
	"context"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// peer is the process at the other end of a connection, as the kernel knew it when it connected
// (SO_PEERCRED, see unix(7)). It cannot be forged, and a later setuid does not change it.
type peer struct {
	pid int32
	uid uint32
}

// mayChange reports whether p may do more than look.
func (p peer) mayChange() bool { return p.uid == 0 || p.uid == uint32(os.Geteuid()) }

// peerOf asks the kernel who connected. Where that cannot be told the peer is unknown, and may only
// look.
func peerOf(c *net.UnixConn) (p peer, known bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return peer{}, false
	}
	var cred *unix.Ucred
	if cerr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); cerr != nil || err != nil {
		return peer{}, false
	}
	return peer{pid: cred.Pid, uid: cred.Uid}, true
}

// connKey is where a request's context holds its connection.
type connKey struct{}

// withConn is the context of a connection's requests.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// connOf is the connection that a request came by.
func connOf(ctx context.Context) *conn { return ctx.Value(connKey{}).(*conn) }
