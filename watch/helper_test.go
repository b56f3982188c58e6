package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/config"
	"relinkd/fsys"
)

// A test process that has a copy open for writing and forks makes the execution of that copy fail:
// the child has the descriptor until it executes something (ETXTBSY). So this process forks once, a
// helper, and the helper starts everything else.

// roleVariable says which helper the test binary is to be; without it, it runs the tests.
const roleVariable = "RELINKD_TEST_ROLE"

// The helpers.
const (
	roleSpawner = "spawner"
	roleDaemon  = "daemon" // runs a Watcher until it is killed
	roleLoad    = "load"   // executes a path as fast as it can
	roleVictim  = "victim" // plays its part in a story until it kills itself
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case roleSpawner:
		serveSpawner(os.Stdin, os.Stdout)
	case roleDaemon:
		if err := runDaemon(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case roleVictim:
		if err := runVictim(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case roleLoad:
		if err := serveLoad(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		os.Exit(m.Run())
	}
}

// request asks the spawner for one thing.
type request struct {
	ID   int
	Op   string   // hold, stop, wait, loop, endloop, run, daemon, lock, unlock, halt, goon
	Path string   // what to execute or to lock
	Args []string // of run: the command; of daemon: the environment
	PID  int      // of stop and wait: the process; of endloop: the loop
}

// reply is the spawner's answer. Error is empty when it did as asked.
type reply struct {
	ID     int
	PID    int      // what was started
	Runs   int      // of endloop: how often path was executed
	Failed []string // of endloop: how it was not
	Error  string
}

// spawner is the side of the test.
type spawner struct {
	mu      sync.Mutex
	to      *json.Encoder
	last    int
	waiting map[int]chan reply
}

// theSpawner is started by the first who asks for it. It ends with this process, when its input does,
// and so do all that it has started.
var theSpawner = sync.OnceValues(startSpawner)

func startSpawner() (*spawner, error) {
	in, out, err := pipes()
	if err != nil {
		return nil, err
	}
	defer in.theirs.Close()
	defer out.theirs.Close()
	_, err = os.StartProcess("/proc/self/exe", []string{"spawner"}, &os.ProcAttr{
		Env:   append(os.Environ(), roleVariable+"="+roleSpawner),
		Files: []*os.File{in.theirs, out.theirs, os.Stderr},
	})
	if err != nil {
		return nil, err
	}
	s := &spawner{to: json.NewEncoder(in.ours), waiting: map[int]chan reply{}}
	go s.listen(json.NewDecoder(out.ours))
	return s, nil
}

type ends struct{ ours, theirs *os.File }

func pipes() (in, out ends, err error) {
	if in.theirs, in.ours, err = os.Pipe(); err != nil {
		return in, out, err
	}
	out.ours, out.theirs, err = os.Pipe()
	return in, out, err
}

func (s *spawner) listen(from *json.Decoder) {
	for {
		var r reply
		if err := from.Decode(&r); err != nil {
			return
		}
		s.mu.Lock()
		c := s.waiting[r.ID]
		delete(s.waiting, r.ID)
		s.mu.Unlock()
		c <- r
	}
}

// ask sends a request and waits for the answer.
func ask(t testing.TB, r request) reply {
	t.Helper()
	s, err := theSpawner()
	if err != nil {
		t.Fatalf("cannot start the spawner: %v", err)
	}
	c := make(chan reply, 1)
	s.mu.Lock()
	s.last++
	r.ID = s.last
	s.waiting[r.ID] = c
	err = s.to.Encode(r)
	s.mu.Unlock()
	if err != nil {
		t.Fatalf("cannot ask the spawner: %v", err)
	}
	select {
	case r := <-c:
		return r
	case <-time.After(time.Minute):
		t.Fatalf("the spawner does not answer to %q %s", r.Op, r.Path)
		return reply{}
	}
}

// hold starts a process that executes path until the test ends or release ends it.
func hold(t testing.TB, path string) (pid int) {
	t.Helper()
	r := ask(t, request{Op: "hold", Path: path})
	if r.Error != "" {
		t.Fatalf("cannot execute %s: %s", path, r.Error)
	}
	stop := sync.OnceFunc(func() { ask(t, request{Op: "stop", PID: r.PID}) })
	held.Store(r.PID, stop)
	t.Cleanup(stop)
	return r.PID
}

// held is how to end what hold has started, by its pid: once, for the pid may be another test's by then.
var held sync.Map

// release ends a process; one that has ended already is no error.
func release(t testing.TB, pid int) {
	t.Helper()
	if stop, is := held.LoadAndDelete(pid); is {
		stop.(func())()
		return
	}
	ask(t, request{Op: "stop", PID: pid})
}

// command runs a program to its end, which must be a good one.
func command(t testing.TB, args ...string) {
	t.Helper()
	if r := ask(t, request{Op: "run", Args: args}); r.Error != "" {
		t.Fatalf("%s: %s", strings.Join(args, " "), r.Error)
	}
}

// openWhenIdle opens a file that may be executed at this moment, once it is not: relinkd, too, asks the kernel
// now and then whether it would execute.
func openWhenIdle(path string, flags int) (f *os.File, err error) {
	within(deadline, func() bool {
		f, err = os.OpenFile(path, flags, 0)
		return !errors.Is(err, unix.ETXTBSY)
	})
	return f, err
}

// lockFile makes a file and has another process hold a write lock on it until the returned function
// is called: F_GETLK does not tell of one's own locks.
func lockFile(t testing.TB, path string) (unlock func()) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	if r := ask(t, request{Op: "lock", Path: path}); r.Error != "" {
		t.Fatalf("cannot lock %s: %s", path, r.Error)
	}
	unlock = sync.OnceFunc(func() { ask(t, request{Op: "unlock", Path: path}) })
	t.Cleanup(unlock)
	return unlock
}

// execLoop executes path again and again, one process after the other. The returned function ends
// that and fails the test if any execution failed.
func execLoop(t testing.TB, path string) (end func()) {
	t.Helper()
	loop := ask(t, request{Op: "loop", Path: path})
	end = sync.OnceFunc(func() {
		r := ask(t, request{Op: "endloop", PID: loop.PID})
		if r.Runs == 0 {
			t.Errorf("%s was never executed", path)
		}
		for _, f := range r.Failed[:min(len(r.Failed), 10)] {
			t.Errorf("executing %s failed: %s", path, f)
		}
		if len(r.Failed) > 0 {
			t.Errorf("%d of %d executions failed", len(r.Failed), r.Runs)
		}
	})
	t.Cleanup(end)
	return end
}

// server is the side of the spawner.
type server struct {
	stdin, null *os.File // of the processes: stdin ends with the spawner

	mu        sync.Mutex
	to        *json.Encoder
	processes map[int]*os.Process
	loops     map[int]*loopState
	locks     map[string]*os.File
	halted    map[int]*loopState
}

type loopState struct {
	stop  chan struct{}
	ended chan reply
}

func serveSpawner(from io.Reader, to io.Writer) {
	stdin, keep, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	defer keep.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	s := &server{stdin: stdin, null: null, to: json.NewEncoder(to),
		processes: map[int]*os.Process{}, loops: map[int]*loopState{}, locks: map[string]*os.File{}, halted: map[int]*loopState{}}
	requests := json.NewDecoder(from)
	for {
		var r request
		if requests.Decode(&r) != nil {
			return // the tests are over; what reads stdin ends with us
		}
		go func() {
			answer, err := s.do(r)
			answer.ID = r.ID
			if err != nil {
				answer.Error = err.Error()
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			_ = s.to.Encode(answer) // the test has ended if it cannot be told
		}()
	}
}

func (s *server) do(r request) (reply, error) {
	switch r.Op {
	case "hold":
		return s.begin(r.Path, []string{filepath.Base(r.Path)}, nil)
	case "daemon":
		env := append(r.Args, roleVariable+"="+roleDaemon) // the first of a name counts
		return s.begin("/proc/self/exe", []string{"daemon"}, append(env, os.Environ()...))
	case "stop", "wait":
		return s.end(r)
	case "halt":
		return s.halt(r.Path)
	case "goon":
		s.mu.Lock()
		l := s.halted[r.PID]
		s.mu.Unlock()
		close(l.stop)
		answer := <-l.ended
		return answer, nil
	case "loop":
		return s.loop(r.Path), nil
	case "endloop":
		s.mu.Lock()
		l := s.loops[r.PID]
		s.mu.Unlock()
		close(l.stop)
		return <-l.ended, nil
	case "run":
		return reply{}, s.run(r.Args)
	case "lock":
		return reply{}, s.lock(r.Path)
	case "unlock":
		s.mu.Lock()
		defer s.mu.Unlock()
		return reply{}, s.locks[r.Path].Close()
	}
	return reply{}, fmt.Errorf("no such request: %s", r.Op)
}

func (s *server) begin(path string, argv, env []string) (reply, error) {
	p, err := os.StartProcess(path, argv, &os.ProcAttr{Env: env, Files: []*os.File{s.stdin, s.null, os.Stderr}})
	if err != nil {
		return reply{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes[p.Pid] = p
	return reply{PID: p.Pid}, nil
}

func (s *server) end(r request) (reply, error) {
	s.mu.Lock()
	p := s.processes[r.PID]
	delete(s.processes, r.PID)
	s.mu.Unlock()
	if p == nil {
		return reply{}, fmt.Errorf("no process %d of ours", r.PID)
	}
	if r.Op == "stop" {
		if err := p.Kill(); err != nil {
			return reply{}, err
		}
	}
	_, err := p.Wait()
	return reply{PID: r.PID}, err
}

// halt executes path up to the first instruction of what stands there. "goon" lets it go on, and waits for
// its end.
func (s *server) halt(path string) (reply, error) {
	l := &loopState{stop: make(chan struct{}), ended: make(chan reply, 1)}
	type begun struct {
		p   *os.Process
		err error
	}
	began := make(chan begun)
	go func() {
		runtime.LockOSThread() // who starts a tracee is its tracer
		defer runtime.UnlockOSThread()
		p, err := os.StartProcess(path, []string{name}, &os.ProcAttr{Files: []*os.File{s.null}, Sys: &syscall.SysProcAttr{Ptrace: true}})
		if err == nil {
			_, err = syscall.Wait4(p.Pid, nil, 0, nil) // stopped by the exec
		}
		began <- begun{p, err}
		if err != nil {
			return
		}
		<-l.stop
		err = syscall.PtraceDetach(p.Pid)
		var r reply
		state, werr := p.Wait()
		if err = errors.Join(err, werr); err == nil && !state.Success() {
			err = errors.New(state.String())
		}
		if err != nil {
			r.Error = err.Error()
		}
		l.ended <- r
	}()
	b := <-began
	if b.err != nil {
		return reply{}, b.err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halted[b.p.Pid] = l
	return reply{PID: b.p.Pid}, nil
}

// run executes a program to its end.
func (s *server) run(args []string) error {
	path := args[0]
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, args[0])); err == nil && !filepath.IsAbs(path) {
			path = filepath.Join(dir, args[0])
		}
	}
	p, err := os.StartProcess(path, args, &os.ProcAttr{Env: os.Environ(), Files: []*os.File{s.null, s.null, os.Stderr}})
	if err != nil {
		return err
	}
	state, err := p.Wait()
	if err == nil && !state.Success() {
		err = errors.New(state.String())
	}
	return err
}

func (s *server) loop(path string) reply {
	l := &loopState{stop: make(chan struct{}), ended: make(chan reply, 1)}
	s.mu.Lock()
	id := len(s.loops) + 1
	s.loops[id] = l
	s.mu.Unlock()
	first := make(chan struct{})
	go func() {
		var r reply
		for {
			err := s.run([]string{path})
			r.Runs++
			if err != nil {
				r.Failed = append(r.Failed, time.Now().Format("05.000000 ")+err.Error())
			}
			if r.Runs == 1 {
				close(first)
			}
			select {
			case <-l.stop:
				l.ended <- r
				return
			default:
			}
		}
	}()
	<-first
	return reply{PID: id}
}

func (s *server) lock(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		f.Close()
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.locks[path] = f
	return nil
}

// The environment of a daemon.
const (
	configVariable = "RELINKD_TEST_CONFIG"  // its configuration, in JSON
	adminVariable  = "RELINKD_TEST_ADMIN"   // Options.AdminDir
	killVariable   = "RELINKD_TEST_KILL_AT" // the changing call, no rotation, before which it kills itself
	scriptVariable = "RELINKD_TEST_SCRIPT"  // a script in JSON, in its place
)

// runDaemon runs a Watcher until it is killed, by the test or by itself, or its input ends.
func runDaemon() error {
	var cfg config.Config
	if err := json.Unmarshal([]byte(os.Getenv(configVariable)), &cfg); err != nil {
		return err
	}
	play, err := readScript()
	if err != nil {
		return err
	}
	before := play.before
	if before == nil {
		if before, err = killAt(); err != nil {
			return err
		}
	}
	admin := os.Getenv(adminVariable)
	w, err := New(&cfg, Options{FS: &fsys.FS{Before: before}, AdminDir: admin, RPMDirs: []string{admin}})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	go play.manage(ctx, w)
	return errors.Join(w.Run(ctx), w.Close())
}

// killAt is a hook that kills this process at the call that killVariable says.
func killAt() (func(fsys.Op, string) error, error) {
	left := 0
	if _, err := fmt.Sscan(os.Getenv(killVariable), &left); err != nil {
		return nil, err
	}
	var mu sync.Mutex
	return func(op fsys.Op, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if !strings.HasPrefix(string(op), "rotate:") {
			left--
		}
		if left == 0 {
			return killSelf()
		}
		return nil
	}, nil
}

// killSelf ends this process before the call ahead of which it is called.
func killSelf() error { return errors.Join(unix.Kill(os.Getpid(), unix.SIGKILL), unix.EINTR) }

// must ends the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
