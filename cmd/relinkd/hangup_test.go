package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/control"
	"relinkd/internal/fstest"
	"relinkd/internal/hangup"
	"relinkd/internal/standin"
)

// shipped builds relinkd as the Makefile and the packages do.
func shipped(t *testing.T) string {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("needs amd64: elsewhere a program begins where every Go program does")
	}
	for _, file := range []string{"Makefile", "tools/packages"} {
		text, err := os.ReadFile(filepath.Join("..", "..", file))
		if err != nil || !strings.Contains(string(text), "-E "+hangup.Entry) {
			t.Fatalf("%s does not link with -E %s (%v)", file, hangup.Entry, err)
		}
	}
	program := filepath.Join(t.TempDir(), "relinkd")
	build := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-E "+hangup.Entry, "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// hungUpAtOnce starts a program and hangs up on it behind its very first system call.
func hungUpAtOnce(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &unix.SysProcAttr{Ptrace: true}
	runtime.LockOSThread() // it is a thread that traces
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for stop := range 3 { // the exec has stopped it; the call is about to be made; it was made
		var ws unix.WaitStatus
		if _, err := unix.Wait4(pid, &ws, 0, nil); err != nil || !ws.Stopped() {
			t.Fatalf("stop %d: %v, %#x", stop, err, ws)
		}
		err := error(nil)
		if stop < 2 {
			err = unix.PtraceSyscall(pid, 0)
		} else {
			err = errors.Join(unix.Kill(pid, unix.SIGHUP), unix.PtraceDetach(pid))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return cmd
}

// A daemon that is hung up on before it has begun goes on; any other verb ends by it.
func TestHangupAtOnce(t *testing.T) {
	program, dir := shipped(t), fstest.Passable(t, t.TempDir())
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bin", "imapd"), standin.ELF("1"), 0o755); err != nil {
		t.Fatal(err)
	}
	conf, socket := filepath.Join(dir, "relinkd.toml"), filepath.Join(dir, "s")
	text := fmt.Sprintf("[target.imapd]\npath = %q\ncopies = 2\n[control]\nsocket = %q\n[state]\ndir = %q\n",
		filepath.Join(dir, "bin", "imapd"), socket, filepath.Join(dir, "state"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	hungUpAtOnce(t, program, "run", "--config", conf)
	client := control.NewClient(socket)
	deadline := time.Now().Add(time.Minute)
	for {
		st, err := client.Status(t.Context())
		if err == nil && st.Targets[0].State == api.Steady {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the daemon is not steady: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}

	events := exec.Command(program, "events", "--config", conf, "--follow")
	out, err := events.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := events.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil { // it has begun
		t.Fatal(err)
	}
	if err := events.Process.Signal(unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := events.Wait(); err == nil || err.Error() != "signal: hangup" {
		t.Errorf("events, hung up on: %v", err)
	}
}
