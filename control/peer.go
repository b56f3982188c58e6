package control

import (
	"context"
	"net"
	"os"
	"syscall"

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

// peerKey is where a connection's context holds its peer.
type peerKey struct{}

// withPeer notes who connected. A connection whose peer cannot be told has none, and may only
// look.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return ctx
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return ctx
	}
	var cred *unix.Ucred
	if err := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || cred == nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, peer{pid: cred.Pid, uid: cred.Uid})
}

// peerOf is the peer that withPeer noted.
func peerOf(ctx context.Context) (peer, bool) {
	p, ok := ctx.Value(peerKey{}).(peer)
	return p, ok
}
