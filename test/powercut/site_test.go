package powercut

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/control"
	"relinkd/internal/fstest"
	"relinkd/internal/standin"
)

const (
	name    = "imapd"
	copies  = 4
	maxWait = 15 * time.Second
)

// programSize is enough for a program to be lost in part, in bytes.
const programSize = 64 << 10

// site is an installation on a disk, and the programs that work on it.
type site struct {
	t           *testing.T
	relinkd     []string // how it is executed
	environment []string // further variables for it
	publish     config.Publish
	point       string // where the disk is mounted
	path        string
	config      string
	client      *control.Client
	daemon      *exec.Cmd
	exited      chan struct{}
}

// newSite says where everything is, and makes nothing on the disk yet.
func newSite(t *testing.T, relinkd string, publish config.Publish) *site {
	t.Helper()
	dir := fstest.Passable(t, t.TempDir())
	socket := filepath.Join(dir, "socket")
	s := &site{
		t: t, relinkd: []string{relinkd}, publish: publish, point: filepath.Join(dir, "mnt"),
		config: filepath.Join(dir, "relinkd.toml"), client: control.NewClient(socket),
	}
	s.path = filepath.Join(s.point, "bin", name)
	must(t, os.Mkdir(s.point, 0o755))
	text := fmt.Sprintf(`[target.%s]
path = %q
publish = %q
copies = %d
max_copies = %d
[control]
socket = %q
[state]
dir = %q
[log]
level = "debug"
format = "json"
`, name, s.path, publish, copies, copies, socket, s.state())
	must(t, os.WriteFile(s.config, []byte(text), 0o600))
	t.Cleanup(s.kill)
	return s
}

func (s *site) bin() string         { return filepath.Dir(s.path) }
func (s *site) private() string     { return filepath.Join(s.bin(), ".relinkd") }
func (s *site) privateLink() string { return filepath.Join(s.private(), name) }
func (s *site) state() string       { return filepath.Join(s.point, "state") }
func (s *site) log() string         { return s.config + ".log" }

// directories makes those that a package brings.
func (s *site) directories() {
	s.t.Helper()
	for _, dir := range []string{s.bin(), s.state()} {
		must(s.t, os.Mkdir(dir, 0o755))
	}
}

// program is a version of the executable. No block of it is all zero, so that a lost one shows.
func program(version int) []byte {
	image := standin.ELFSize(fmt.Sprint(version), programSize)
	const header = 1024 // more than the program itself
	for i := header; i < len(image)-8; i++ {
		image[i] = byte(version*31 + i>>8 + i&0x0f + 1)
	}
	return image
}

// write puts a version beside path as dpkg does, durably.
func (s *site) write(version int) (unpacked string) {
	s.t.Helper()
	// A child that is forked meanwhile has the file open for writing, and relinkd would wait for it.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	unpacked = s.path + ".dpkg-new"
	f, err := os.OpenFile(unpacked, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	must(s.t, err)
	_, err = f.Write(program(version))
	must(s.t, err)
	must(s.t, f.Chmod(0o755))
	must(s.t, f.Sync())
	must(s.t, f.Close())
	return unpacked
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// start starts the daemon. What it writes goes to the log.
func (s *site) start() error {
	log, err := os.OpenFile(s.log(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	args := append(s.relinkd[:len(s.relinkd):len(s.relinkd)], "run", "--config", s.config)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), s.environment...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.daemon, s.exited = cmd, make(chan struct{})
	go func(exited chan struct{}) { _ = cmd.Wait(); close(exited) }(s.exited)
	return nil
}

// until waits until ok holds of the target's status, and returns it. The status is the zero one while
// relinkd does not answer.
func (s *site) until(what string, ok func(api.TargetStatus) bool) (api.TargetStatus, error) {
	var target api.TargetStatus
	for deadline := time.Now().Add(maxWait); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		select {
		case <-s.exited:
			return target, fmt.Errorf("relinkd ended: %v\n%s", s.daemon.ProcessState, s.said())
		default:
		}
		if status, err := s.client.Status(s.t.Context()); err == nil {
			target = status.Targets[0]
		}
		if ok(target) {
			return target, nil
		}
	}
	return target, fmt.Errorf("waited %v in vain for relinkd to be %s; it is %s: %s\n%s", maxWait, what, target.State, target.Reason, s.said())
}

// steady waits until all copies are of a version and in force.
func (s *site) steady(version int) {
	s.t.Helper()
	_, err := s.until("steady", func(t api.TargetStatus) bool {
		return t.State == api.Steady && versionOf(t.Generation.SHA256) == version
	})
	must(s.t, err)
}

// said is the end of the daemon's log.
func (s *site) said() string {
	f, err := os.Open(s.log())
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	const most = 4096
	if end, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, end-most), io.SeekStart)
	}
	text, _ := io.ReadAll(f)
	return string(text)
}

// stop ends the daemon as an administrator does.
func (s *site) stop() error {
	if s.daemon == nil {
		return nil
	}
	defer s.kill()
	if err := s.daemon.Process.Signal(unix.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.exited:
	case <-time.After(maxWait):
		return fmt.Errorf("relinkd does not end within %v of SIGTERM", maxWait)
	}
	if !s.daemon.ProcessState.Success() {
		return fmt.Errorf("relinkd ended with %v\n%s", s.daemon.ProcessState, s.said())
	}
	return nil
}

// kill ends the daemon if it still runs.
func (s *site) kill() {
	if s.daemon == nil {
		return
	}
	_ = s.daemon.Process.Kill()
	<-s.exited
	s.daemon = nil
}
