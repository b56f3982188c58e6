package control

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const nobody = 65534

// Whoever connects may look, and only root and the daemon's user may change: told by the kernel,
// not by the socket's mode, which is opened here to let everybody in.
func TestOnlyRootMayChange(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("left out: acting as another user needs root")
	}
	svc := &fake{}
	socket, _ := serve(t, svc, "")
	openTestBinary(t)

	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	got := runAsPeer(t, socket, &syscall.Credential{Uid: nobody, Gid: nobody})
	want := "status: <nil>\nrotate: this is for root alone: try again as root true\n"
	if got != want {
		t.Errorf("as an ordinary user:\n%swant:\n%s", got, want)
	}
	if calls := strings.Join(svc.asked(), ","); calls != "status" {
		t.Errorf("the service was asked: %s", calls)
	}
	got = runAsPeer(t, socket, nil)
	if want := "status: <nil>\nrotate: <nil> false\n"; got != want {
		t.Errorf("as root:\n%swant:\n%s", got, want)
	}
}

func TestSocketIsForItsGroup(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("left out: giving a socket to a group and acting as its member needs root")
	}
	openTestBinary(t)
	daemonGroup := daemonGid(t)
	for _, test := range []struct {
		name, group string
		cred        *syscall.Credential
		want        string
	}{
		{"member", "daemon", &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{daemonGroup}}, "status: <nil>"},
		{"not a member", "daemon", &syscall.Credential{Uid: nobody, Gid: nobody}, "status: cannot connect to relinkd at "},
		{"no group", "", &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{daemonGroup}}, "status: cannot connect to relinkd at "},
	} {
		t.Run(test.name, func(t *testing.T) {
			socket, _ := serve(t, &fake{}, test.group)
			if got := runAsPeer(t, socket, test.cred); !strings.HasPrefix(got, test.want) {
				t.Errorf("got:\n%swant it to begin with %q", got, test.want)
			}
		})
	}
}

// openTestBinary lets other users execute the test binary: go test builds it in a directory of
// the caller's own.
func openTestBinary(t *testing.T) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for dir := exe; dir != "/"; dir = filepath.Dir(dir) {
		st, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm()&0o001 == 0 {
			if err := os.Chmod(dir, st.Mode().Perm()|0o011); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.Chmod(dir, st.Mode().Perm()) })
		}
	}
}

// daemonGid is the number of the group "daemon", which every distribution has, but not with one
// number.
func daemonGid(t *testing.T) uint32 {
	t.Helper()
	gid, err := lookupGroup("daemon")
	if err != nil {
		t.Fatal(err)
	}
	return uint32(gid)
}

func TestDaemonPID(t *testing.T) {
	socket, stop := serve(t, &fake{}, "")
	pid, err := NewClient(socket).DaemonPID(t.Context())
	if pid != os.Getpid() || err != nil {
		t.Errorf("%d, %v, want %d", pid, err, os.Getpid())
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := NewClient(socket).DaemonPID(t.Context()); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("without a daemon: %v", err)
	}
}
