package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

// maxSocketName is the longest path of a socket: sun_path holds 108 bytes, the last one zero.
const maxSocketName = 107

// Listen makes the control socket and listens on it. Its mode is 0600; with group, 0660 and of
// that group. A missing directory is made, 0755.
//
// What stands there already is replaced only if it is a socket of root's or ours on which nobody
// listens, as a killed daemon leaves it. ErrRunning if somebody does; anything else, and a
// directory in which others could replace the socket (fsys.CheckDir), is refused and left alone.
//
// The socket appears under its name only when it is complete:
//
//  1. Take away a dead socket of that name, and of the temporary one.
//  2. Bind it to the temporary name, with the mode set before: unix_bind() takes the mode from the
//     socket's own inode, so that no umask and no second step opens it for an instant.
//  3. Give it to the group.
//  4. Rename it into place, never over anything.
//
// Closing the listener removes the socket, unless another one has taken its name.
func Listen(socket, group string) (net.Listener, error) {
	ln, err := listen(socket, group)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on the control socket %s: %w", socket, err)
	}
	return ln, nil
}

func listen(socket, group string) (_ *listener, err error) {
	gid := -1
	if group != "" {
		if gid, err = lookupGroup(group); err != nil {
			return nil, err
		}
	}
	d, err := fsys.OwnDir(filepath.Dir(socket), nil)
	if owner := new(fsys.OwnerError); errors.As(err, &owner) {
		return nil, fmt.Errorf("%w; or set control.socket to another directory", err)
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	name := filepath.Base(socket)
	temp := name + ".new"
	if n := max(len(socket), len(inside(d, temp))); n > maxSocketName {
		return nil, fmt.Errorf("its name is %d bytes too long for a socket: "+
			"set control.socket to a shorter one", n-maxSocketName)
	}
	for _, n := range []string{name, temp} { // 1.
		if err := removeDead(d, n); err != nil {
			return nil, err
		}
	}
	inner, err := bind(inside(d, temp)) // 2.
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			inner.Close()
			d.Unlink("listen: remove temporary socket", temp)
		}
	}()
	if gid >= 0 {
		if err := giveToGroup(d, temp, gid); err != nil { // 3.
			return nil, fmt.Errorf("cannot give it to the group %s: %v", group, err)
		}
	}
	st, err := d.Lstat(temp)
	if err != nil {
		return nil, err
	}
	if err := d.Move("listen: publish socket", temp, d, name); err != nil { // 4.
		return nil, err
	}
	ln := &listener{UnixListener: inner, path: socket, id: st.ID}
	ln.close = sync.OnceValue(ln.removeAndClose)
	return ln, nil
}

// inside is a path of name in d that fits into sun_path even where the full one is too long. The full
// one comes first: it is what ss(8) shows of the socket ever after.
func inside(d *fsys.Dir, name string) string {
	if path := d.Join(name); len(path) <= maxSocketName {
		return path
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), name)
}

// bind makes a socket of mode 0600 at path, which must be free, and listens on it.
func bind(path string) (*net.UnixListener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); cerr != nil {
			return cerr
		}
		return err
	}}
	ln, err := lc.Listen(context.Background(), "unix", path)
	if errors.Is(err, unix.EACCES) {
		return nil, errors.New("permission denied: run relinkd as root, " +
			"or set control.socket to a directory of yours")
	}
	if err != nil {
		return nil, trimNet(err)
	}
	ul := ln.(*net.UnixListener)
	ul.SetUnlinkOnClose(false) // it would remove the temporary name
	return ul, nil
}

// giveToGroup makes the socket name readable and writable by the group, without following a link
// that somebody put there: chmod(2) has no such mode before Linux 6.6, but a path descriptor has.
func giveToGroup(d *fsys.Dir, name string, gid int) error {
	fd, err := unix.Openat(d.Fd(), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Fchownat(fd, "", -1, gid, unix.AT_EMPTY_PATH); err != nil {
		return err
	}
	return unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), 0o660)
}

func lookupGroup(name string) (int, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return -1, fmt.Errorf("there is no group %s: make it, or set control.group to another", name)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return -1, fmt.Errorf("the group %s has no number: %q", name, g.Gid)
	}
	return gid, nil
}

// removeDead makes the name free, if what has it is a dead socket of root's or ours.
func removeDead(d *fsys.Dir, name string) error {
	st, err := d.Lstat(name)
	if fsys.NotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	path := d.Join(name)
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFSOCK:
		return fmt.Errorf("%s is there and is no socket: move it away, "+
			"or set control.socket to another name", path)
	case !st.Ours():
		return fmt.Errorf("%s is a socket of the user with number %d: move it away, "+
			"or set control.socket to another name", path, st.UID)
	}
	c, err := net.DialTimeout("unix", inside(d, name), recvTimeout)
	if err == nil {
		c.Close()
	}
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return d.Unlink("listen: remove dead socket", name)
	case err == nil, errors.Is(err, unix.EAGAIN), os.IsTimeout(err): // or its backlog is full
		return &textError{fmt.Sprintf("another relinkd answers on %s: "+
			"stop that one first, or give this one a control.socket of its own", path), ErrRunning}
	}
	return fmt.Errorf("cannot tell whether another relinkd uses %s: %v", path, trimNet(err))
}

// trimNet takes off what net puts before an errno, the path for a second time.
func trimNet(err error) error {
	if oe := new(net.OpError); errors.As(err, &oe) {
		return oe.Err
	}
	return err
}

// listener is a listening socket that knows its name in the file system.
type listener struct {
	*net.UnixListener
	path  string
	id    fsys.ID
	close func() error
}

// Addr is the socket's path.
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Net: "unix", Name: l.path} }

// Close removes the socket if it is still ours, and stops listening. Further calls do nothing: by
// then another daemon may have a socket of the same name, and even of the same inode number.
func (l *listener) Close() error { return l.close() }

func (l *listener) removeAndClose() error {
	err := l.remove()
	if cerr := l.UnixListener.Close(); cerr != nil {
		return cerr
	}
	return err
}

func (l *listener) remove() error {
	d, err := fsys.OpenDir(filepath.Dir(l.path), nil)
	if fsys.NotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	name := filepath.Base(l.path)
	st, err := d.Lstat(name)
	if fsys.NotExist(err) || err == nil && st.ID != l.id {
		return nil
	}
	if err != nil {
		return err
	}
	return d.Unlink("listen: remove socket", name)
}
