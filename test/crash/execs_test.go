package crash_test

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// execs executes a path over and over, one process after the other.
type execs struct {
	path   string
	runs   atomic.Int64
	over   chan struct{}
	ended  chan struct{}
	failed []string // how it failed; read it after ended
	end    func()
}

// keepExecuting begins to; the test fails if any execution does until end is called, or the test ends.
func keepExecuting(t *testing.T, path string) *execs {
	t.Helper()
	e := &execs{path: path, over: make(chan struct{}), ended: make(chan struct{})}
	e.end = sync.OnceFunc(func() {
		close(e.over)
		<-e.ended
		for _, f := range e.failed[:min(len(e.failed), 10)] {
			t.Errorf("executing %s failed: %s", path, f)
		}
		if len(e.failed) > 0 {
			t.Errorf("%d of %d executions failed", len(e.failed), e.runs.Load())
		}
	})
	t.Cleanup(e.end)
	go func() {
		defer close(e.ended)
		for {
			select {
			case <-e.over:
				return
			default:
			}
			if err := execute(path); err != nil {
				e.failed = append(e.failed, time.Now().Format("15:04:05.000000 ")+err.Error())
			}
			e.runs.Add(1)
		}
	}()
	return e
}

// execute runs a stand-in, whose input is at its end at once.
func execute(path string) error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	p, err := os.StartProcess(path, []string{name}, &os.ProcAttr{Files: []*os.File{null}})
	if err != nil {
		return err
	}
	state, err := p.Wait()
	if err == nil && !state.Success() {
		err = errors.New(state.String())
	}
	return err
}
