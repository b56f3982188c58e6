package launcher

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const envSeen = "RELINKD_TEST_SEEN" // set for a process that is to tell what it was started with

// seen is what a program finds at its start.
type seen struct {
	Args, Environment []string
	Descriptors       []string // number, what it is, and its flags
	Command           string   // /proc/self/comm
	Executable        string   // /proc/self/exe
	Signals           string   // ignored ones
	Parent            int
	User, Effective   int // ids
}

// TestMain is also the program that a launcher executes.
func TestMain(m *testing.M) {
	if os.Getenv(envSeen) == "" {
		os.Exit(m.Run())
	}
	s := seen{Args: os.Args, Environment: os.Environ(), Parent: os.Getppid(), User: os.Getuid(), Effective: os.Geteuid()}
	for fd := range 20 {
		if text, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil && !strings.HasPrefix(text, "anon_inode:") { // Go's own poller
			flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			offset, _ := unix.Seek(fd, 0, 1)
			s.Descriptors = append(s.Descriptors, fmt.Sprintf("%d %s %d %d", fd, text, flags, offset))
		}
	}
	comm, _ := os.ReadFile("/proc/self/comm")
	s.Command = string(comm)
	s.Executable, _ = os.Readlink("/proc/self/exe")
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if ignored, ok := strings.CutPrefix(line, "SigIgn:"); ok {
			s.Signals = ignored
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
		os.Exit(1)
	}
}

// emulator runs programs of that machine here: nothing for this one's own.
func emulator(t *testing.T, arch string) []string {
	t.Helper()
	if arch == runtime.GOARCH {
		return nil
	}
	machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch]
	for _, name := range []string{"qemu-" + machine + "-static", "qemu-" + machine} {
		if path, err := exec.LookPath(name); err == nil {
			return []string{path}
		}
	}
	t.Skipf("no qemu-%s: left out the launcher for %s; install qemu-user", machine, arch)
	return nil
}

// install writes a launcher to dir/imapd, whose private link leads to target.
func install(t *testing.T, arch, target string) (path string) {
	t.Helper()
	dir := t.TempDir()
	link := filepath.Join(dir, ".relinkd", "imapd")
	must(t, os.Mkdir(filepath.Dir(link), 0o755))
	must(t, os.Symlink(target, link))
	content, err := listings[arch].program(link)
	must(t, err)
	path = filepath.Join(dir, "imapd")
	must(t, os.WriteFile(path, content, 0o755))
	return path
}

// look runs a program with those arguments, a file at an offset as its standard input and one more
// descriptor, and returns what it has seen.
func look(t *testing.T, command, args []string, env ...string) seen {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "in"), []byte("0123456789"), 0o644))
	in, err := os.Open(filepath.Join(dir, "in"))
	must(t, err)
	defer in.Close()
	_, err = in.Seek(3, 0)
	must(t, err)
	extra, err := os.Create(filepath.Join(dir, "extra"))
	must(t, err)
	defer extra.Close()
	cmd := &exec.Cmd{Path: command[0], Args: append(command[:len(command):len(command)], args...), Dir: dir, Stdin: in, ExtraFiles: []*os.File{extra, nil, extra}}
	if len(command) == 1 {
		cmd.Args = args // argv[0] is free; under an emulator it is that one's
	}
	cmd.Env = append([]string{envSeen + "=1"}, env...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v", cmd.Args, err)
	}
	var s seen
	must(t, json.Unmarshal(out, &s))
	for i, d := range s.Descriptors {
		s.Descriptors[i] = strings.ReplaceAll(d, dir, "DIR")
		if strings.Contains(d, "pipe:") {
			s.Descriptors[i] = "its output"
		}
	}
	return s
}

// TestRuns executes each launcher for real: what it executes finds everything just as if it had been
// executed itself.
func TestRuns(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	each(t, func(t *testing.T, arch string) {
		emulated := emulator(t, arch)
		path := install(t, arch, self)
		many := slices.Repeat([]string{strings.Repeat("x", 100)}, 2000)
		for _, args := range [][]string{{"imapd"}, {"imapd", "-U", "30", ""}, {"/elsewhere/imapd", "a b", "\xff"}, append([]string{"imapd"}, many...)} {
			env := []string{"A=1", "EMPTY=", "no equals sign", "B=\n"}
			given := args
			if emulated != nil { // the emulator gives the file as argv[0], and keeps no such variable and no order
				args[0], env = path, slices.DeleteFunc(env, func(v string) bool { return !strings.Contains(v, "=") })
				given = args[1:]
			}
			launched := look(t, append(emulated, path), given, env...)
			direct := look(t, []string{filepath.Join(filepath.Dir(path), ".relinkd", "imapd")}, args, env...)
			if emulated != nil {
				slices.Sort(launched.Environment)
				slices.Sort(direct.Environment)
				direct.Signals = launched.Signals // it handles all signals itself, those that a nohup(1) ignores too
			}
			if len(launched.Args) != len(args) || !slices.Equal(launched.Args, direct.Args) || !slices.Equal(launched.Environment, direct.Environment) ||
				!slices.Equal(launched.Descriptors, direct.Descriptors) || launched.Signals != direct.Signals {
				t.Errorf("launched %.600q, directly %.600q", fmt.Sprint(launched), fmt.Sprint(direct))
			}
			if launched.Command != "imapd\n" || launched.Executable != self || launched.Parent != os.Getpid() {
				t.Errorf("command %q, executable %s, parent %d", launched.Command, launched.Executable, launched.Parent)
			}
			if len(launched.Descriptors) < 5 || !slices.Contains(launched.Descriptors, "0 DIR/in 0 3") {
				t.Errorf("descriptors %q: too few to prove anything", launched.Descriptors)
			}
		}
	})
}

// TestSetUID: a copy that gives its owner's rights gives them behind a launcher that does not.
func TestSetUID(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: left out a program that gives its owner's rights to another user")
	}
	if err := Supported(); err != nil {
		t.Skipf("left out: %v", err)
	}
	const nobody = 65534
	self, err := os.Executable()
	must(t, err)
	content, err := os.ReadFile(self)
	must(t, err)
	dir, err := os.MkdirTemp("", "launcher")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	private := filepath.Join(dir, ".relinkd")
	must(t, os.Mkdir(private, 0o755))
	must(t, os.Chmod(dir, 0o755))
	for _, mode := range []os.FileMode{0o755, 0o755 | os.ModeSetuid} {
		program := filepath.Join(dir, fmt.Sprintf("imapd_%v", mode))
		must(t, os.WriteFile(program, content, 0o755))
		must(t, os.Chmod(program, mode))
		_ = os.Remove(filepath.Join(private, "imapd")) // of the round before
		must(t, os.Symlink(program, filepath.Join(private, "imapd")))
		launcher, err := New(filepath.Join(private, "imapd"))
		must(t, err)
		path := filepath.Join(dir, "imapd")
		must(t, os.WriteFile(path, launcher, 0o755))
		var fs unix.Statfs_t
		if err := unix.Statfs(dir, &fs); err != nil || fs.Flags&unix.ST_NOSUID != 0 {
			t.Skipf("left out: no such rights on the file system of %s", dir)
		}
		cmd := &exec.Cmd{Path: path, Args: []string{"imapd"}, Env: []string{envSeen + "=1"}, Dir: "/",
			SysProcAttr: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}}
		out, err := cmd.Output()
		must(t, err)
		var s seen
		must(t, json.Unmarshal(out, &s))
		want := nobody
		if mode&os.ModeSetuid != 0 {
			want = 0
		}
		if s.User != nobody || s.Effective != want {
			t.Errorf("a copy of mode %v runs as user %d, with the rights of %d", mode, s.User, s.Effective)
		}
	}
}

// TestCannotExecute: whatever is wrong with the private link, the launcher exits with 75 and says
// nothing.
func TestCannotExecute(t *testing.T) {
	each(t, func(t *testing.T, arch string) {
		emulated := emulator(t, arch)
		for name, target := range map[string]string{"nothing": "nowhere", "a directory": "/", "no program": "/etc/passwd", "itself": "imapd"} {
			path := install(t, arch, target)
			command := append(emulated, path)
			out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
			exit := (*exec.ExitError)(nil)
			if !errors.As(err, &exit) || exit.ExitCode() != ExitCode || len(out) > 0 {
				t.Errorf("%s: %v, %q, want exit code %d and no word", name, err, out, ExitCode)
			}
		}
	})
}

// TestSystemCalls: the launcher asks for no memory and writes nowhere: its process has the one page
// of its file, and what the kernel gives every process.
func TestSystemCalls(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("no strace: left out a list of all system calls")
	}
	if err := Supported(); err != nil {
		t.Skipf("left out: %v", err)
	}
	path := install(t, runtime.GOARCH, "nowhere")
	out, _ := exec.Command(strace, path).CombinedOutput() // which exits as the launcher does
	calls := []string{}
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(line, "(")
		calls = append(calls, name)
	}
	if want := []string{"execve", "execve", "exit_group", "+++ exited with 75 +++\n"}; !slices.Equal(calls, want) {
		t.Errorf("calls %q, want %q", calls, want)
	}
}
