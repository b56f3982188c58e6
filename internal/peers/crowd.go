package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// crowd is many processes that do nothing. All have one pipe as their input, which nobody writes to:
// they end when this process does, however it does, and when the crowd is closed. It is for one
// goroutine at a time.
type crowd struct {
	input, hold *os.File // the pipe's two ends
	null        *os.File
	pids        []int // in the order of their starts
}

func newCrowd() (*crowd, error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot start processes: %v", err)
	}
	input, hold, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start processes: %v", err), null.Close())
	}
	return &crowd{input: input, hold: hold, null: null}, nil
}

// start starts one process. It returns when that has executed path. (os.StartProcess would keep a
// descriptor for each.)
func (c *crowd) start(path string) (pid int, err error) {
	pid, err = syscall.ForkExec(path, []string{filepath.Base(path)}, &syscall.ProcAttr{
		Env:   []string{},
		Files: []uintptr{c.input.Fd(), c.null.Fd(), c.null.Fd()},
		Sys:   &syscall.SysProcAttr{Setpgid: true}, // a ^C at the terminal is for this program alone
	})
	if err != nil {
		return 0, fmt.Errorf("cannot start process %d through %s: %w", len(c.pids)+1, path, err)
	}
	c.pids = append(c.pids, pid)
	return pid, nil
}

// keep ends the oldest processes until there are n.
func (c *crowd) keep(n int) {
	for len(c.pids) > n {
		end(c.pids[0])
		c.pids = c.pids[1:]
	}
}

// close ends all.
func (c *crowd) close() {
	c.hold.Close()
	c.input.Close()
	c.null.Close()
	c.keep(0)
}

// end kills and reaps a child. Its number cannot be another process's before it is reaped.
func end(pid int) {
	_ = unix.Kill(pid, unix.SIGKILL) // it may have ended already
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// paced calls do n times, rate times a second. A call that is late does not make the others late.
func paced(ctx context.Context, n int, rate float64, do func() error) error {
	begun := time.Now()
	for i := range n {
		due := begun.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		if err := wait(ctx, time.Until(due)); err != nil {
			return err
		}
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

// wait lets time pass.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// await asks again and again until the answer is yes, and fails with what was awaited when that takes
// longer than limit.
func await(ctx context.Context, limit, every time.Duration, what string, yes func() bool) error {
	for begun := time.Now(); !yes(); {
		if time.Since(begun) > limit {
			return fmt.Errorf("after %s still not: %s", limit, what)
		}
		if err := wait(ctx, every); err != nil {
			return err
		}
	}
	return nil
}
