package cyrus_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Where Debian installs the executables that the tests manage.
const (
	binDir    = "/usr/lib/cyrus/bin"
	imapdPath = binDir + "/imapd"
	lmtpdPath = binDir + "/lmtpd"
)

const (
	users    = 16 // user1 … user16
	password = "secret"
)

// server is a running Cyrus with all its data in one directory; nothing under /etc or /var is
// read or written.
type server struct {
	imap string // addresses
	lmtp string
	log  *syslog

	dir    string
	conf   string
	cmd    *exec.Cmd
	exited chan struct{}
}

// settings are what a test may want of a server.
type settings struct {
	command  string // the imap service's program, "imapd" when empty
	prefork  int
	maxChild int // 400 when zero
}

// startCyrus starts a server and ends it with t.
func startCyrus(t *testing.T, want settings) *server {
	t.Helper()
	if want.command == "" {
		want.command = "imapd"
	}
	if want.maxChild == 0 {
		want.maxChild = 400
	}
	s := &server{dir: scratch(t), imap: freeAddress(t), lmtp: freeAddress(t)}
	s.conf = filepath.Join(s.dir, "imapd.conf")
	s.log = receiveLog(t, s.dir)
	for _, sub := range []string{"lib/db", "lib/socket", "lib/log", "lib/msg", "lib/proc", "spool", "proc", "lock"} {
		if err := os.MkdirAll(filepath.Join(s.dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.write(t, "imapd.conf", strings.ReplaceAll(`configdirectory: DIR/lib
proc_path: DIR/proc
mboxname_lockpath: DIR/lock
defaultpartition: default
partition-default: DIR/spool
servername: relinkd.test
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: DIR/sasldb2
sasl_mech_list: PLAIN
allowplaintext: yes
autocreate_quota: 0
`, "DIR", s.dir))
	s.write(t, "cyrus.conf", fmt.Sprintf(`START {
  recover cmd="ctl_cyrusdb -C %[1]s -r"
}
SERVICES {
  imap cmd="%[2]s -C %[1]s -U 30" listen="%[3]s" prefork=%[4]d maxchild=%[5]d
  lmtp cmd="lmtpd -C %[1]s -a -U 30" listen="%[6]s" prefork=0 maxchild=100
}
EVENTS {
}
`, s.conf, want.command, s.imap, want.prefork, want.maxChild, s.lmtp))
	for n := range users {
		cmd := exec.Command("saslpasswd2", "-p", "-f", filepath.Join(s.dir, "sasldb2"), "-u", "relinkd.test", "-c", user(n))
		cmd.Stdin = strings.NewReader(password)
		if _, err := run(t.Context(), cmd); err != nil {
			t.Fatal(err)
		}
	}
	must(t, "chown", "-R", "cyrus:mail", s.dir)
	s.start(t)
	t.Cleanup(func() { s.stop(t) })
	return s
}

// user is the name of the n-th user, counted from 0 and around.
func user(n int) string { return fmt.Sprintf("user%d", n%users+1) }

func (s *server) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// start runs master until its services answer.
func (s *server) start(t *testing.T) {
	t.Helper()
	// unshare and sh execute the next program in their place: the child is master itself.
	s.cmd = exec.Command("unshare", "--mount", "sh", "-c",
		`mount --bind "$0" /dev/log && exec "$@"`, s.log.socket,
		"cyrmaster", "-C", s.conf, "-M", filepath.Join(s.dir, "cyrus.conf"),
		"-p", filepath.Join(s.dir, "pid"), "-L", filepath.Join(s.dir, "out"))
	out, err := os.Create(filepath.Join(s.dir, "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	s.cmd.Stdout, s.cmd.Stderr = out, out
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) { cmd.Wait(); close(exited) }(s.cmd, s.exited)
	await(t, 20*time.Second, "Cyrus to answer", func() bool {
		select {
		case <-s.exited:
			text, _ := os.ReadFile(out.Name())
			t.Fatalf("master ended: %v\n%s", s.cmd.ProcessState, text)
		default:
		}
		c, err := dial(s.imap)
		if err != nil {
			return false
		}
		c.close()
		return true
	})
}

// stop ends master by its pid; it takes its processes along.
func (s *server) stop(t *testing.T) {
	t.Helper()
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
		return
	case <-time.After(20 * time.Second):
	}
	t.Errorf("master did not end within 20 s of SIGTERM")
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", s.cmd.Process.Pid))
	s.cmd.Process.Kill()
	<-s.exited
	for pid := range strings.FieldsSeq(string(children)) {
		if p, err := strconv.Atoi(pid); err == nil {
			syscall.Kill(p, syscall.SIGKILL)
		}
	}
}

// scratch is a directory of t's own in which processes of other users can reach what is theirs.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "relinkd-cyrus-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
