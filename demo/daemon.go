package demo

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// stopTimeout is how long a process may take to end when it was asked to, before it is killed.
const stopTimeout = 10 * time.Second

// daemon is relinkd as a child process. It never shares a process with the master: a descriptor of
// a copy that is being written would leak into every service process that is being forked, and
// executing that copy would fail with ETXTBSY.
type daemon struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has been reaped
	err  error         // what it ended with; to be read after done
	log  string
}

// startDaemon runs the program on the scratch directory's configuration. Should it end before stop
// is called, lost is told why.
//
// It gets an empty environment, since RELINKD_… and NOTIFY_SOCKET of the caller are not meant for
// it; a process group of its own, so that a ^C ends the acts in their order; and a SIGTERM should
// this process be killed.
func startDaemon(program string, s *scratch, lost context.CancelCauseFunc) (*daemon, error) {
	log, err := os.Create(s.log)
	if err != nil {
		return nil, fmt.Errorf("cannot make relinkd's log: %v", err)
	}
	d := &daemon{
		cmd:  exec.Command(program, "run", "--config", s.config),
		done: make(chan struct{}),
		log:  s.log,
	}
	d.cmd.Env = []string{}
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}

	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the thread that forked ends: keep it until the child has.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := d.cmd.Start()
		log.Close()
		started <- err
		if err != nil {
			return
		}
		d.err = d.cmd.Wait()
		close(d.done)
		lost(fmt.Errorf("relinkd ended by itself (%v); the end of its log:\n%s", d.cmd.ProcessState, d.logTail()))
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("cannot run relinkd: %v", err)
	}
	return d, nil
}

// stop ends the process and waits for it.
func (d *daemon) stop() error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil && err != os.ErrProcessDone {
		return fmt.Errorf("cannot stop relinkd (process %d): %v", d.cmd.Process.Pid, err)
	}
	deadline := time.AfterFunc(stopTimeout, func() { d.cmd.Process.Kill() })
	defer deadline.Stop()
	<-d.done
	if d.err != nil {
		return fmt.Errorf("relinkd did not stop as it should (%v); the end of its log:\n%s", d.err, d.logTail())
	}
	return nil
}

// logTail is the last lines of what relinkd said, for an error text.
func (d *daemon) logTail() string {
	const lines = 5
	data, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(string(bytes.TrimSpace(data)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
