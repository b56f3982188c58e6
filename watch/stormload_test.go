package watch

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// load executes a path as fast as one process can, as a master under a login storm does.
type load struct {
	Path  string
	Alive int           // processes that live for long, at one time
	For   time.Duration // how long
	Pause time.Duration // between two
	Seed  uint64

	// Or, in place of Alive and Pause, so many a second that all stay, until Total are there; Burst at once.
	Rate, Total, Burst int
}

// loadResult is what a load has done. The processes that live for long are still there.
type loadResult struct {
	Spawns int
	Failed []string
}

const loadVariable = "RELINKD_TEST_LOAD" // a load, in JSON

// running is a load that was started.
type runningLoad struct {
	t      testing.TB
	p      *os.Process
	stdin  *os.File // ends it
	stdout *os.File // what it has done
}

// startLoad begins a load, which ends with the test at the latest.
func startLoad(t testing.TB, l load) *runningLoad {
	t.Helper()
	in, out, err := pipes()
	must(t, err)
	defer in.theirs.Close()
	defer out.theirs.Close()
	spec, err := json.Marshal(l)
	must(t, err)
	p, err := os.StartProcess("/proc/self/exe", []string{"load"}, &os.ProcAttr{
		Env:   append(os.Environ(), roleVariable+"="+roleLoad, loadVariable+"="+string(spec)),
		Files: []*os.File{in.theirs, out.theirs, os.Stderr},
	})
	must(t, err)
	r := &runningLoad{t: t, p: p, stdin: in.ours, stdout: out.ours}
	t.Cleanup(r.end)
	return r
}

// wait waits until the load has done what it should.
func (r *runningLoad) wait() (l loadResult) {
	r.t.Helper()
	must(r.t, json.NewDecoder(r.stdout).Decode(&l))
	for _, f := range l.Failed[:min(len(l.Failed), 10)] {
		r.t.Errorf("an execution failed: %s", f)
	}
	return l
}

// end ends the load and the processes that it has left.
func (r *runningLoad) end() {
	if r.stdin == nil {
		return
	}
	r.stdin.Close()
	r.stdout.Close()
	r.stdin = nil
	if _, err := r.p.Wait(); err != nil {
		r.t.Error(err)
	}
}

// serveLoad is the load's own side.
func serveLoad() error {
	var l load
	if err := json.Unmarshal([]byte(os.Getenv(loadVariable)), &l); err != nil {
		return err
	}
	stdin, hold, err := os.Pipe()
	if err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(l.Seed, 1))
	var result loadResult
	var lasting []int // pids
	reaped := 0
	began := time.Now()
	for until := began.Add(l.For); time.Now().Before(until); {
		input, lasts := null, random.IntN(2) == 0 // without input it ends at once
		if l.Rate > 0 {
			if lasts = true; result.Spawns == l.Total {
				break
			}
			if due := began.Add(time.Duration(result.Spawns/l.Burst*l.Burst) * time.Second / time.Duration(l.Rate)); time.Until(due) > 0 {
				time.Sleep(time.Until(due)) // the pace of the load, no synchronisation
			} else if time.Since(due) > 20*time.Millisecond { // a busy machine starts fewer, and then not more
				began = began.Add(time.Since(due) - 20*time.Millisecond)
			}
		}
		if lasts {
			input = stdin
		}
		if len(lasting) == l.Alive && l.Alive > 0 {
			i := random.IntN(len(lasting))
			if err := unix.Kill(lasting[i], unix.SIGKILL); err != nil {
				return fmt.Errorf("kill %d: %w", lasting[i], err)
			}
			lasting[i] = lasting[len(lasting)-1]
			lasting = lasting[:len(lasting)-1]
		}
		result.Spawns++
		pid, err := syscall.ForkExec(l.Path, []string{"imapd"}, &syscall.ProcAttr{
			Files: []uintptr{input.Fd(), null.Fd(), null.Fd()},
		})
		if err != nil {
			result.Failed = append(result.Failed, err.Error())
		} else if lasts && l.Alive+l.Rate > 0 {
			lasting = append(lasting, pid)
		}
		for {
			pid, err := wait(unix.WNOHANG)
			if err != nil || pid == 0 {
				break
			}
			reaped++
		}
		if l.Pause > 0 {
			time.Sleep(l.Pause) // the pace of the load, no synchronisation
		}
	}
	for ended := result.Spawns - len(result.Failed) - len(lasting) - reaped; ended > 0; ended-- {
		if _, err := wait(0); err != nil {
			return err
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	hold.Close() // what is left has no input any more
	for range lasting {
		if _, err := wait(0); err != nil {
			return err
		}
	}
	return nil
}

// wait takes note of a child that has ended; 0 is for none, with WNOHANG.
func wait(options int) (pid int, err error) {
	for {
		if pid, err = unix.Wait4(-1, nil, options, nil); err != unix.EINTR {
			return pid, err
		}
	}
}

// niced runs this process's threads, and those that they start, before others as the packaged service
// does, until the test ends. An ordinary user may not.
func niced(t testing.TB) {
	t.Helper()
	renice := func(value int) (failed error) {
		tasks, err := os.ReadDir("/proc/self/task")
		must(t, err)
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			must(t, err)
			if err := unix.Setpriority(unix.PRIO_PROCESS, tid, value); err != nil && err != unix.ESRCH {
				failed = err
			}
		}
		return failed
	}
	if err := renice(-10); err != nil {
		t.Logf("without a priority: %v", err)
		return
	}
	t.Cleanup(func() { must(t, renice(0)) })
}
