package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// stopTimeout is how long a child may take to end when it is asked to, before it is killed.
const stopTimeout = 10 * time.Second

// child is a program that runs until it is stopped, in a process group of its own.
type child struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has been reaped
	log  string        // the file that takes what it says
}

// startChild starts it. Its environment has PATH alone: RELINKD_… of the caller is not meant for it.
// Should this process be killed, the kernel ends it.
func startChild(log, dir, program string, args ...string) (*child, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("cannot make a log: %v", err)
	}
	c := &child{cmd: exec.Command(program, args...), done: make(chan struct{}), log: log}
	c.cmd.Dir = dir
	c.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	c.cmd.Stdout, c.cmd.Stderr = out, out
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the thread that forked ends: keep it until the child has.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		out.Close()
		started <- err
		if err == nil {
			_ = c.cmd.Wait() // how it ended is in cmd.ProcessState
			close(c.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("cannot run %s: %v", program, err)
	}
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// ended reports whether it has.
func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// stop ends it and what it has started, and waits for it.
func (c *child) stop() {
	if c.ended() {
		return
	}
	_ = syscall.Kill(-c.pid(), syscall.SIGTERM) // the group, which is there until its leader is reaped
	deadline := time.AfterFunc(stopTimeout, func() { _ = syscall.Kill(-c.pid(), syscall.SIGKILL) })
	defer deadline.Stop()
	<-c.done
}

// said is the last lines of what it said.
func (c *child) said() string {
	const lines = 5
	f, err := os.Open(c.log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	all, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	words := strings.Split(string(bytes.TrimSpace(all)), "\n")
	return strings.Join(words[max(0, len(words)-lines):], "\n")
}
