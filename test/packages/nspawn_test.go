package packages_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// container is a system in systemd-nspawn: processes, mounts, network and control groups of its own.
type container struct {
	tree    string
	output  *os.File
	groups  []string // its control groups, one a hierarchy
	nspawn  *exec.Cmd
	leader  int           // its PID 1, as the host counts
	exited  chan struct{} // closed when nspawn has ended
	network *os.File
}

func newContainer(tree string) (*container, error) {
	output, err := os.Create(tree + ".console")
	if err != nil {
		return nil, err
	}
	c := &container{tree: tree, output: output}
	// systemd needs a control group of its own, in which hierarchies there are: of version 2, of the
	// name systemd, or both.
	top := "/sys/fs/cgroup"
	for _, hierarchy := range []string{top, top + "/unified", top + "/systemd"} {
		if _, err := os.Stat(hierarchy + "/cgroup.procs"); err == nil {
			c.groups = append(c.groups, fmt.Sprintf("%s/relinkd-test-%d-%s", hierarchy, os.Getpid(), filepath.Base(tree)))
		}
	}
	return c, nil
}

func (c *container) start() error {
	script := `for group; do [ "$group" = -- ] && break; echo $$ >"$group/cgroup.procs" || exit; shift; done; shift; exec "$@"`
	args := []string{"-c", script, "sh"}
	for _, group := range c.groups {
		if err := os.MkdirAll(group, 0o755); err != nil {
			return err
		}
		args = append(args, group)
	}
	args = append(args, "--", "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit",
		"--private-network", "--console=pipe", "--resolv-conf=off", "--timezone=off",
		"--machine="+filepath.Base(c.tree), "--directory="+c.tree)
	c.nspawn = exec.Command("sh", args...)
	c.nspawn.Stdout, c.nspawn.Stderr = c.output, c.output
	c.nspawn.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	c.exited = make(chan struct{})
	started := make(chan error)
	go func(cmd *exec.Cmd, exited chan struct{}) {
		runtime.LockOSThread() // the death of this thread is the death of nspawn
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
		close(exited)
	}(c.nspawn, c.exited)
	if err := <-started; err != nil {
		return err
	}
	return c.booted()
}

// booted waits until the system's PID 1 takes commands.
func (c *container) booted() error {
	children := fmt.Sprintf("/proc/%d/task/%[1]d/children", c.nspawn.Process.Pid)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case <-c.exited:
			return fmt.Errorf("systemd-nspawn ended: %v", c.nspawn.ProcessState)
		default:
		}
		text, _ := os.ReadFile(children)
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			continue
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d/root/run/systemd/private", pid)); err != nil {
			continue
		}
		c.leader = pid
		c.network, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
		return err
	}
	return errors.New("no systemd took commands within a minute")
}

func (c *container) command(ctx context.Context, script string) (string, int, error) {
	cmd := exec.CommandContext(ctx, "nsenter", "--target="+strconv.Itoa(c.leader),
		"--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd",
		"env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "TERM=dumb", "DEBIAN_FRONTEND=noninteractive",
		"setsid", "--wait", "bash", "-c", script)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second // what a script leaves running may hold its output
	err := cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() == nil && (errors.As(err, &exit) || errors.Is(err, exec.ErrWaitDelay)) {
		err = nil
	}
	return out.String(), cmd.ProcessState.ExitCode(), err
}

// dial connects from a thread that has entered the container's network: a socket stays where it was made.
func (c *container) dial() (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this function
		if err := unix.Setns(int(c.network.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- result{nil, err}
			return
		}
		conn, err := net.DialTimeout("tcp", "127.0.0.1:143", patience)
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

func (c *container) halted(limit time.Duration) error {
	select {
	case <-c.exited:
		c.leader = 0
		c.tidy()
		return nil
	case <-time.After(limit):
		return fmt.Errorf("still running after %v", limit)
	}
}

func (c *container) kill() {
	if c.nspawn == nil || c.nspawn.Process == nil {
		return
	}
	if c.leader > 0 {
		unix.Kill(c.leader, unix.SIGKILL) // which ends all in the system; nspawn's own death would not
	}
	c.nspawn.Process.Kill()
	<-c.exited
	c.tidy()
}

// tidy closes what leads into the system and removes its control groups, which are empty soon.
func (c *container) tidy() {
	if c.network != nil {
		c.network.Close()
		c.network = nil
	}
	for _, group := range c.groups {
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			exec.Command("find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";").Run()
			if _, err := os.Stat(group); err != nil {
				break
			}
		}
	}
}

func (c *container) console() string {
	text, _ := os.ReadFile(c.output.Name())
	return string(text)
}
