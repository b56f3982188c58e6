package control

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	st, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Mode()
}

func modTime(t *testing.T, path string) time.Time {
	t.Helper()
	st, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.ModTime()
}

// names lists dir, so that a test sees that nothing temporary is left.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var s []string
	for _, e := range entries {
		s = append(s, e.Name())
	}
	return strings.Join(s, " ")
}

func TestListenMakesSocketAndDirectory(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o077} {
		dir := filepath.Join(scratch(t), "run")
		socket := filepath.Join(dir, "relinkd.sock")
		old := unix.Umask(umask)
		ln, err := Listen(socket, "")
		unix.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		if got := mode(t, socket); got != os.ModeSocket|0o600 {
			t.Errorf("umask %03o: socket has mode %v", umask, got)
		}
		if got := mode(t, dir); got != os.ModeDir|0o755 {
			t.Errorf("umask %03o: directory has mode %v", umask, got)
		}
		if got := names(t, dir); got != "relinkd.sock" {
			t.Errorf("in the directory: %s", got)
		}
		if got := ln.Addr().String(); got != socket {
			t.Errorf("address is %s", got)
		}
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
		if got := names(t, dir); got != "" {
			t.Errorf("left after Close: %s", got)
		}
	}
}

func TestListenGivesSocketToGroup(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("left out: giving a socket to a group needs root")
	}
	socket := filepath.Join(scratch(t), "relinkd.sock")
	old := unix.Umask(0o077)
	ln, err := Listen(socket, "daemon")
	unix.Umask(old)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var st unix.Stat_t
	if err := unix.Lstat(socket, &st); err != nil {
		t.Fatal(err)
	}
	if st.Uid != 0 || st.Gid != daemonGid(t) || st.Mode&0o7777 != 0o660 {
		t.Errorf("socket has owner %d:%d, mode %04o", st.Uid, st.Gid, st.Mode&0o7777)
	}
}

// deadSocket leaves a socket as a killed daemon does.
func deadSocket(t *testing.T, path string) {
	t.Helper()
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
}

func TestListenReplacesADeadSocket(t *testing.T) {
	dir := scratch(t)
	socket := filepath.Join(dir, "relinkd.sock")
	deadSocket(t, socket)
	deadSocket(t, socket+".new") // killed between bind and rename
	if _, err := NewClient(socket).Status(context.Background()); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("a dead socket: %v, want ErrNoDaemon", err)
	}
	ln, err := Listen(socket, "")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if got := names(t, dir); got != "relinkd.sock" {
		t.Errorf("in the directory: %s", got)
	}
}

func TestListenRefusesALiveSocket(t *testing.T) {
	dir := scratch(t)
	socket := filepath.Join(dir, "relinkd.sock")
	first, err := Listen(socket, "")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	before, _ := os.Lstat(socket)
	_, err = Listen(socket, "")
	if !errors.Is(err, ErrRunning) {
		t.Errorf("second Listen: %v, want ErrRunning", err)
	}
	after, err := os.Lstat(socket)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the first one's socket was touched: %v", err)
	}
	if got := names(t, dir); got != "relinkd.sock" {
		t.Errorf("in the directory: %s", got)
	}
}

func TestListenLeavesOthersAlone(t *testing.T) {
	file := func(t *testing.T, path string) {
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name  string
		root  bool // needs root
		setup func(t *testing.T, dir, socket string)
		group string
		want  string
	}{
		{"file", false, func(t *testing.T, _, socket string) { file(t, socket) }, "", "is no socket"},
		{"file of the temporary name", false, func(t *testing.T, _, socket string) { file(t, socket+".new") }, "", "is no socket"},
		{"directory", false, func(t *testing.T, _, socket string) { os.Mkdir(socket, 0o755) }, "", "is no socket"},
		{"link", false, func(t *testing.T, dir, socket string) {
			deadSocket(t, dir+"/other")
			os.Symlink("other", socket)
		}, "", "is no socket"},
		{"foreign socket", true, func(t *testing.T, _, socket string) {
			deadSocket(t, socket)
			os.Lchown(socket, nobody, nobody)
		}, "", "is a socket of the user with number 65534"},
		{"writable directory", false, func(t *testing.T, dir, _ string) { os.Chmod(dir, 0o777) }, "", "can be written by others than its owner (mode 0777); try: chmod go-w "},
		{"sticky directory", false, func(t *testing.T, dir, _ string) { os.Chmod(dir, 0o777|os.ModeSticky) }, "", "can be written by others than its owner (mode 1777)"},
		{"foreign directory", true, func(t *testing.T, dir, _ string) { os.Chown(dir, nobody, nobody) }, "", "belongs to uid 65534"},
		{"unknown group", false, func(*testing.T, string, string) {}, "no such group here", "there is no group no such group here"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.root && os.Getuid() != 0 {
				t.Skip("left out: giving a file to another user needs root")
			}
			dir := scratch(t)
			socket := filepath.Join(dir, "relinkd.sock")
			test.setup(t, dir, socket)
			before, touched := names(t, dir), modTime(t, dir)
			_, err := Listen(socket, test.group)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), socket) {
				t.Errorf("error is %v, want it to name the socket and %q", err, test.want)
			}
			if errors.Is(err, ErrRunning) {
				t.Errorf("taken for another daemon: %v", err)
			}
			if after := names(t, dir); after != before {
				t.Errorf("in the directory: %s, before: %s", after, before)
			}
			if !modTime(t, dir).Equal(touched) {
				t.Error("something was made in the directory and taken away again")
			}
		})
	}
}

func TestListenRefusesALongName(t *testing.T) {
	dir := scratch(t)
	for _, socket := range []string{
		filepath.Join(dir, strings.Repeat("s", maxSocketName-len(dir))),
		filepath.Join(dir, strings.Repeat("s", 120)),
	} {
		if _, err := Listen(socket, ""); err == nil || !strings.Contains(err.Error(), "too long for a socket") {
			t.Errorf("%d bytes: error is %v", len(socket), err)
		}
	}
}

// The temporary name is longer than the socket's own and must not lower the limit.
func TestListenTakesTheLongestName(t *testing.T) {
	dir := scratch(t)
	dir = filepath.Join(dir, strings.Repeat("d", maxSocketName-len(dir)-len("//s")))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is a dead socket to be asked
		ln, err := Listen(filepath.Join(dir, "s"), "")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		ln.(*listener).UnixListener.Close() // as if killed
	}
}

func TestListenWithoutAParentDirectory(t *testing.T) {
	socket := filepath.Join(scratch(t), "a", "b", "relinkd.sock")
	if _, err := Listen(socket, ""); !errors.Is(err, unix.ENOENT) {
		t.Errorf("error is %v", err)
	}
}

// A daemon that stops late must not take its successor's socket away.
func TestCloseLeavesASuccessorsSocket(t *testing.T) {
	socket := filepath.Join(scratch(t), "relinkd.sock")
	first, err := Listen(socket, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	second, err := Listen(socket, "")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	first.Close()
	first.Close()
	if _, err := os.Lstat(socket); err != nil {
		t.Errorf("the successor's socket is gone: %v", err)
	}
}

func TestClientWithoutADaemon(t *testing.T) {
	dir := scratch(t)
	for _, socket := range []string{dir + "/none", dir + "/none/none"} {
		_, err := NewClient(socket).Status(context.Background())
		if !errors.Is(err, ErrNoDaemon) || !strings.Contains(err.Error(), socket) {
			t.Errorf("error is %v, want ErrNoDaemon naming %s", err, socket)
		}
	}
}
