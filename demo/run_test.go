package demo

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"relinkd/internal/fstest"
)

// scratchHome makes an empty directory the one for temporary files, and fails the test if
// something is in it at the end.
func scratchHome(t *testing.T) string {
	t.Helper()
	dir := fstest.Passable(t, t.TempDir())
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() { empty(t, dir) })
	return dir
}

func empty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
	}
	for _, e := range entries {
		t.Errorf("%s is left behind", filepath.Join(dir, e.Name()))
	}
}

// script writes a shell script that is run in relinkd's place.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "relinkd")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRelinkdThatCannotBeRun(t *testing.T) {
	scratchHome(t)
	_, err := Run(context.Background(), Options{Seconds: 3, Out: new(bytes.Buffer), Relinkd: "/nowhere/relinkd"})
	if err == nil || !strings.Contains(err.Error(), "cannot run relinkd: ") {
		t.Errorf("error %v", err)
	}
}

func TestRelinkdThatEndsByItself(t *testing.T) {
	scratchHome(t)
	program := script(t, "for i in 1 2 3 4 5 6; do echo line $i; done; echo no such key >&2; exit 1")
	_, err := Run(context.Background(), Options{Seconds: 3, Out: new(bytes.Buffer), Relinkd: program})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"relinkd did not take over ", "relinkd ended by itself (exit status 1)", "line 3\n", "no such key"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "line 2\n") {
		t.Errorf("the whole log is in: %v", err)
	}
}

func TestRelinkdDoesNotInheritTheEnvironment(t *testing.T) {
	scratchHome(t)
	t.Setenv("RELINKD_CENSUS__INTERVAL", "1h")
	t.Setenv("NOTIFY_SOCKET", "/run/systemd/notify")
	_, err := Run(context.Background(), Options{Seconds: 3, Out: new(bytes.Buffer),
		Relinkd: script(t, "set | grep -e RELINKD -e NOTIFY_SOCKET; exit 1")})
	if err == nil || strings.Contains(err.Error(), "INTERVAL") || strings.Contains(err.Error(), "NOTIFY_SOCKET") {
		t.Errorf("it sees more than it should: %v", err)
	}
}

func TestInterrupted(t *testing.T) {
	home := scratchHome(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	result := make(chan error, 1)
	program := script(t, "echo started; trap 'exit 0' TERM; while :; do :; done")
	go func() {
		_, err := Run(ctx, Options{Seconds: 3600, Out: new(bytes.Buffer), Relinkd: program})
		result <- err
	}()
	eventually(t, "relinkd has started", func() bool {
		logs, _ := filepath.Glob(filepath.Join(home, "*", "relinkd.log"))
		if len(logs) != 1 {
			return false
		}
		log, _ := os.ReadFile(logs[0])
		return strings.Contains(string(log), "started")
	})
	cancel()
	select {
	case err := <-result:
		if err == nil || !strings.Contains(err.Error(), "interrupted before its end") {
			t.Errorf("error %v", err)
		}
	case <-time.After(stopTimeout):
		t.Fatal("it goes on")
	}
}

func TestTooShort(t *testing.T) {
	scratchHome(t)
	_, err := Run(context.Background(), Options{Seconds: 2, Out: new(bytes.Buffer)})
	if err == nil || !strings.Contains(err.Error(), "cannot demonstrate in 2 s: it takes 3 at least") {
		t.Errorf("error %v", err)
	}
}

func TestTemporaryDirectoryThatIsNone(t *testing.T) {
	t.Setenv("TMPDIR", "/nowhere")
	_, err := Run(context.Background(), Options{Seconds: 3, Out: new(bytes.Buffer)})
	if err == nil || !strings.Contains(err.Error(), "set TMPDIR") {
		t.Errorf("error %v", err)
	}
}

func TestTemporaryDirectoryWithALongName(t *testing.T) {
	long := filepath.Join(scratchHome(t), strings.Repeat("d", 100))
	if err := os.Mkdir(long, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(long)
	t.Setenv("TMPDIR", long)
	_, err := Run(context.Background(), Options{Seconds: 3, Out: new(bytes.Buffer)})
	if err == nil || !strings.Contains(err.Error(), "set TMPDIR to a shorter one") {
		t.Errorf("error %v", err)
	}
	empty(t, long)
}

func TestTemporaryDirectoryThatDoesNotExecute(t *testing.T) {
	t.Setenv("TMPDIR", fstest.NoExec(t))
	_, err := Run(context.Background(), Options{Seconds: 3, Out: new(bytes.Buffer)})
	if err == nil || !strings.Contains(err.Error(), "set TMPDIR to a directory on a file system that is not mounted noexec") {
		t.Errorf("error %v", err)
	}
	empty(t, os.TempDir())
}
