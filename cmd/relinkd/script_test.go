package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"relinkd/config"
	"relinkd/control"
	"relinkd/internal/standin"
)

func TestMain(m *testing.M) {
	unix.Umask(0o022)                        // a script's files must not be writable by others
	os.Setenv("GORACE", "atexit_sleep_ms=0") // else every relinkd takes a second to end
	testscript.Main(m, map[string]func(){"relinkd": main})
}

// TestScripts runs every script of test/cli. relinkd in a script is this package's main in a process
// of its own. In each *.toml of a script, $WORK is the script's directory, and $PORT and $PORT2 are TCP ports
// on which nobody listens.
func TestScripts(t *testing.T) {
	dir := filepath.Join("..", "..", "test", "cli", "testdata")
	noneEndsEarly(t, dir)
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setupScript,
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Getuid() == 0, nil
			case "installed":
				_, noFile := os.Lstat(config.DefaultFile)
				_, noSocket := os.Lstat(config.DefaultSocket)
				return noFile == nil || noSocket == nil, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":      cmdExits,
			"standin":    cmdStandin,
			"rests":      cmdRests,
			"hold":       cmdHold,
			"isolate":    cmdIsolate,
			"daemon":     cmdDaemon,
			"signal":     cmdSignal,
			"halt":       cmdHalt,
			"ended":      cmdEnded,
			"waitstatus": cmdWaitStatus,
			"waitfile":   cmdWaitFile,
			"remember":   cmdRemember,
			"unchanged":  cmdUnchanged,
			"chown":      cmdChown,
			"mount":      cmdMount,
			"deadsocket": cmdDeadSocket,
			"asnobody":   cmdAsNobody,
			"isa":        cmdIsA,
			"patch":      cmdPatch,
			"serves":     cmdServes,
			"occupy":     cmdOccupy,
		},
	})
}

// noneEndsEarly fails when a script says stop: that is testscript's own command, which ends the script
// there as if all after it had passed. The daemon is stopped by halt.
func noneEndsEarly(t *testing.T, dir string) {
	t.Helper()
	scripts, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil || len(scripts) == 0 {
		t.Fatal("there are no scripts", err)
	}
	for _, file := range scripts {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`(?m)^(\[[^]]*\] +)*stop\b`).Match(text) {
			t.Errorf("%s says stop, after which nothing is tested: say halt", file)
		}
	}
}

func setupScript(env *testscript.Env) error {
	// Both are for this user alone, and where only root can pass no service could execute anything.
	for _, dir := range []string{env.WorkDir, filepath.Dir(env.WorkDir)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
	}
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	env.Setenv("PORT", ports[0])
	env.Setenv("PORT2", ports[1])
	files, err := filepath.Glob(filepath.Join(env.WorkDir, "*.toml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		text = []byte(strings.NewReplacer("$WORK", env.WorkDir, "$PORT2", ports[1], "$PORT", ports[0]).Replace(string(text)))
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return err
		}
	}
	env.Setenv("GORACE", os.Getenv("GORACE"))
	env.Setenv("COLUMNS", "1000") // lines stay whole
	env.Setenv("conf", "--config="+filepath.Join(env.WorkDir, "relinkd.toml"))
	env.Values[daemonKey{}] = new(scriptDaemon)
	env.Values[treesKey{}] = map[string]string{}
	return nil
}

// exits CODE PROGRAM [ARG...]: the program must end with that code, or one of those given as 0|1. What
// it printed is there for stdout and stderr.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "exits CODE PROGRAM [ARG...]")
	checkExit(ts, args[0], ts.Exec(args[1], args[2:]...))
}

func checkExit(ts *testscript.TestScript, want string, err error) {
	code := 0
	if ee := new(exec.ExitError); errors.As(err, &ee) {
		code = ee.ExitCode()
	} else {
		ts.Check(err)
	}
	if !slices.Contains(strings.Split(want, "|"), strconv.Itoa(code)) {
		ts.Fatalf("exit code is %d, want %s", code, want)
	}
}

// standin PATH VERSION: an executable appears at PATH by rename, as a package manager installs it.
func cmdStandin(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "standin PATH VERSION")
	path := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
	ts.Check(standin.Write(path, args[1]))
}

// rests PATH: waits until PATH counts as quiet in the scripts, which set settle.quiet to 50 ms.
func cmdRests(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "rests PATH")
	var st unix.Stat_t
	ts.Check(unix.Lstat(ts.MkAbs(args[0]), &st))
	changed := time.Unix(st.Ctim.Unix())
	waitUntil(ts, func() bool { return time.Since(changed) > 60*time.Millisecond }, func() string { return args[0] + " to rest" })
}

// hold PATH N: N processes run PATH until the script ends.
func cmdHold(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "hold PATH N")
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	for range n {
		cmd := exec.Command(ts.MkAbs(args[0]))
		stdin, err := cmd.StdinPipe()
		ts.Check(err)
		ts.Check(cmd.Start())
		ts.Defer(func() {
			stdin.Close()
			cmd.Wait()
		})
	}
}

type daemonKey struct{}

// scriptDaemon is the daemon of a script, which has one at a time.
type scriptDaemon struct {
	namespaces uintptr // of its own, that the next one is to have: CLONE_NEWNET
	cmd        *exec.Cmd
	done       chan error // takes what Wait returned
}

func (d *scriptDaemon) kill() {
	if d.cmd != nil {
		d.cmd.Process.Kill()
		<-d.done
		d.cmd = nil
	}
}

func (d *scriptDaemon) ended(ts *testscript.TestScript, code string) {
	select {
	case err := <-d.done:
		d.cmd = nil
		checkExit(ts, code, err)
	case <-time.After(30 * time.Second):
		ts.Fatalf("the daemon does not end")
	}
}

// daemon [ARG...]: `relinkd $conf run ARG...` runs in the background and logs to daemon.log.
func cmdDaemon(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 0, "daemon [ARG...]")
	d := ts.Value(daemonKey{}).(*scriptDaemon)
	if d.cmd != nil {
		ts.Fatalf("there is a daemon already")
	}
	log, err := os.OpenFile(ts.MkAbs("daemon.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	ts.Check(err)
	defer log.Close()
	program, err := exec.LookPath("relinkd")
	ts.Check(err)
	cmd := exec.Command(program, append([]string{ts.Getenv("conf"), "run"}, args...)...)
	cmd.Dir = ts.Getenv("WORK")
	for _, name := range []string{"PATH", "TMPDIR", "GORACE"} { // and nothing of the caller's
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: d.namespaces}
	ts.Check(cmd.Start())
	d.cmd, d.done = cmd, make(chan error, 1)
	go func() { d.done <- cmd.Wait() }()
	ts.Defer(d.kill)
}

// isolate net|pid|none: the next daemon runs in such a namespace of its own.
func cmdIsolate(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "isolate net|pid|none")
	flags, known := map[string]uintptr{"net": unix.CLONE_NEWNET, "pid": unix.CLONE_NEWPID, "none": 0}[args[0]]
	if !known {
		ts.Fatalf("no such namespace: %s", args[0])
	}
	ts.Value(daemonKey{}).(*scriptDaemon).namespaces = flags
}

// signal NAME: the daemon gets the signal.
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "signal NAME")
	number := unix.SignalNum("SIG" + args[0])
	if number == 0 {
		ts.Fatalf("no such signal: %s", args[0])
	}
	ts.Check(ts.Value(daemonKey{}).(*scriptDaemon).cmd.Process.Signal(number))
}

// halt [KILL]: the daemon gets SIGTERM and must end with code 0; or it is killed.
func cmdHalt(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 0, "halt [KILL]")
	d := ts.Value(daemonKey{}).(*scriptDaemon)
	if len(args) > 0 {
		d.kill()
		return
	}
	ts.Check(d.cmd.Process.Signal(unix.SIGTERM))
	d.ended(ts, "0")
}

// ended CODE: the daemon must end, by what was done to it before, with the code.
func cmdEnded(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "ended CODE")
	ts.Value(daemonKey{}).(*scriptDaemon).ended(ts, args[0])
}

// waitstatus CONDITION...: waits until the first target's status, or the document above it, meets all
// conditions: FIELD=VALUE or FIELD~REGEXP, a list standing for its length.
func cmdWaitStatus(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "waitstatus CONDITION...")
	client := control.NewClient(filepath.Join(ts.Getenv("WORK"), "run", "relinkd.sock"))
	var last string
	waitUntil(ts, func() bool {
		st, err := client.Status(context.Background())
		if err != nil {
			last = err.Error()
			return false
		}
		text, err := json.MarshalIndent(st, "", " ")
		ts.Check(err)
		last = string(text)
		fields := map[string]any{}
		if len(st.Targets) > 0 {
			target, err := json.Marshal(st.Targets[0])
			ts.Check(err)
			ts.Check(json.Unmarshal(target, &fields))
		}
		ts.Check(json.Unmarshal(text, &fields))
		for _, cond := range args {
			if !meets(ts, fields, cond) {
				return false
			}
		}
		return true
	}, func() string { return strings.Join(args, " ") + ", have: " + last })
}

var conditionForm = regexp.MustCompile(`^([a-z_]+)([=~])(.*)$`)

func meets(ts *testscript.TestScript, fields map[string]any, cond string) bool {
	m := conditionForm.FindStringSubmatch(cond)
	if m == nil {
		ts.Fatalf("%q is no condition", cond)
	}
	value, ok := fields[m[1]]
	if !ok {
		ts.Fatalf("the status has no %s", m[1])
	}
	if list, ok := value.([]any); ok {
		value = len(list)
	}
	text := fmt.Sprint(value)
	if m[2] == "=" {
		return text == m[3]
	}
	return regexp.MustCompile(m[3]).MatchString(text)
}

// waitfile FILE REGEXP: waits until the file matches.
func cmdWaitFile(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "waitfile FILE REGEXP")
	pattern := regexp.MustCompile(args[1])
	var text []byte
	waitUntil(ts, func() bool {
		text, _ = os.ReadFile(ts.MkAbs(args[0]))
		return pattern.Match(text)
	}, func() string { return fmt.Sprintf("%s to match %s, have: %s", args[0], args[1], text) })
}

// waitUntil looks until cond holds; what says what was waited for.
func waitUntil(ts *testscript.TestScript, cond func() bool, what func() string) {
	for deadline := time.Now().Add(20 * time.Second); !cond(); {
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(ts.MkAbs("daemon.log"))
			ts.Fatalf("waited in vain for %s\ndaemon.log:\n%s", what(), log)
		}
		time.Sleep(5 * time.Millisecond) // between two looks, not instead of one
	}
}

// chown UID FILE...: the files get another owner.
func cmdChown(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "chown UID FILE...")
	uid, err := strconv.Atoi(args[0])
	ts.Check(err)
	for _, file := range args[1:] {
		ts.Check(os.Lchown(ts.MkAbs(file), uid, uid))
	}
}

// mount OPTION DIR: a small tmpfs is mounted on DIR until the script ends.
func cmdMount(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "mount noexec|readonly DIR")
	flags := map[string]uintptr{"noexec": unix.MS_NOEXEC, "readonly": unix.MS_RDONLY}[args[0]]
	dir := ts.MkAbs(args[1])
	ts.Check(os.MkdirAll(dir, 0o755))
	ts.Check(unix.Mount("relinkd-test", dir, "tmpfs", flags, "size=1m,mode=0755"))
	ts.Defer(func() { unix.Unmount(dir, unix.MNT_DETACH) })
}

// deadsocket PATH: a socket stands there on which nobody listens.
func cmdDeadSocket(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "deadsocket PATH")
	path := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	ts.Check(err)
	defer unix.Close(fd)
	ts.Check(unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
}

// asnobody CODE PROGRAM [ARG...]: like exits, as an ordinary user to whom the script's directory is
// open. It needs root.
func cmdAsNobody(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "asnobody CODE PROGRAM [ARG...]")
	program, err := exec.LookPath(args[1])
	ts.Check(err)
	for _, path := range []string{program, ts.Getenv("WORK")} {
		for dir := path; dir != "/"; dir = filepath.Dir(dir) {
			st, err := os.Stat(dir)
			ts.Check(err)
			ts.Check(os.Chmod(dir, st.Mode()|0o011))
		}
	}
	const nobody = "65534"
	checkExit(ts, args[0], ts.Exec("setpriv", append([]string{
		"--reuid=" + nobody, "--regid=" + nobody, "--clear-groups", program}, args[2:]...)...))
}

// isa KIND FILE: FILE is a regular file, or a link to what is named. KIND is file, or link:TEXT.
func cmdIsA(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "isa file|link:TEXT FILE")
	path := ts.MkAbs(args[1])
	st, err := os.Lstat(path)
	ts.Check(err)
	got := st.Mode().Type().String()
	switch {
	case st.Mode().IsRegular():
		got = "file"
	case st.Mode().Type() == os.ModeSymlink:
		text, err := os.Readlink(path)
		ts.Check(err)
		got = "link:" + text
	}
	if got != args[0] {
		ts.Fatalf("%s is a %s, want a %s", path, got, args[0])
	}
}

// patch FILE OFFSET BYTE: one byte of the file is overwritten in place; a negative offset counts from
// the end.
func cmdPatch(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 3, "patch FILE OFFSET BYTE")
	offset, err := strconv.ParseInt(args[1], 0, 64)
	ts.Check(err)
	value, err := strconv.ParseUint(args[2], 0, 8)
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_WRONLY, 0)
	ts.Check(err)
	defer f.Close()
	if offset < 0 {
		st, err := f.Stat()
		ts.Check(err)
		offset += st.Size()
	}
	_, err = f.WriteAt([]byte{byte(value)}, offset)
	ts.Check(err)
}

// freePorts is TCP ports on which nobody has listened a moment ago.
func freePorts(n int) (ports []string, err error) {
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close() // so that they differ
		_, port, err := net.SplitHostPort(ln.Addr().String())
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}

// serves URL TEXT: what is served there holds the text; with !, nothing answers.
func cmdServes(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, false, args, 2, "[!] serves URL TEXT")
	resp, err := http.Get(args[0])
	if neg {
		if err == nil {
			resp.Body.Close()
			ts.Fatalf("%s answers: %s", args[0], resp.Status)
		}
		return
	}
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), args[1]) {
		ts.Fatalf("%s: %s\n%s", args[0], resp.Status, body)
	}
}

// occupy ADDRESS: somebody listens there until the script ends.
func cmdOccupy(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "occupy ADDRESS")
	ln, err := net.Listen("tcp", args[0])
	ts.Check(err)
	ts.Defer(func() { ln.Close() })
}

func wantArgs(ts *testscript.TestScript, neg bool, args []string, least int, usage string) {
	if neg || len(args) < least {
		ts.Fatalf("usage: %s", usage)
	}
}
