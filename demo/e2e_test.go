package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"relinkd/console"
	"relinkd/internal/transcript"
)

// nobody is the uid and gid that Linux gives to nobody in particular.
const nobody = 65534

// build makes the relinkd program, in a directory that every user may enter.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "relinkd")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", program, "../cmd/relinkd")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build relinkd: %v\n%s", err, out)
	}
	return program
}

// demonstration is `relinkd demo` with those arguments. Its temporary files go to home, which must
// be empty when it has ended.
func demonstration(t *testing.T, program string, uid uint32, args ...string) (cmd *exec.Cmd, home string) {
	t.Helper()
	home = t.TempDir()
	if err := os.Chmod(filepath.Dir(home), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(home, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(program, append([]string{"demo"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+home)
	if uid != uint32(os.Getuid()) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	return cmd, home
}

// running lists the processes that run the program or anything in the directory.
func running(t *testing.T, program, home string) []string {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, p := range processes {
		exe, err := os.Readlink(filepath.Join(p, "exe"))
		if err != nil {
			continue // gone, a kernel thread, or somebody else's
		}
		if exe == program || strings.HasPrefix(exe, home) {
			found = append(found, fmt.Sprintf("process %s runs %s", filepath.Base(p), exe))
		}
	}
	return found
}

// clean fails the test if anything is left of a demonstration.
func clean(t *testing.T, program, home string) {
	t.Helper()
	empty(t, home)
	for _, left := range running(t, program, home) {
		t.Errorf("it has ended, but %s", left)
	}
}

// TestEndToEnd runs real demonstrations with relinkd itself.
func TestEndToEnd(t *testing.T) {
	program := build(t)
	t.Run("root", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("not root: left out the demonstration by root")
		}
		whole(t, program, 0)
	})
	t.Run("ordinary user", func(t *testing.T) {
		uid := os.Getuid()
		if uid == 0 {
			uid = nobody
		}
		whole(t, program, uint32(uid))
	})
	t.Run("terminal", func(t *testing.T) { onTerminal(t, program) })
	t.Run("interrupted", func(t *testing.T) { interrupted(t, program) })
	t.Run("killed", func(t *testing.T) { killed(t, program) })
}

// whole runs a demonstration to its end and checks everything that it reports.
func whole(t *testing.T, program string, uid uint32) {
	cmd, home := demonstration(t, program, uid, "--seconds", "6", "--json")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Errorf("relinkd demo: %v\n%s", err, errs.String())
	}
	clean(t, program, home)

	var s Summary
	decoder := json.NewDecoder(&out)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		t.Fatalf("the summary is no summary: %v", err)
	}
	t.Log(s.text())
	if len(s.Problems) != 0 || s.FailedSpawns != 0 || s.FirstFailure != "" || s.OldSpawnsAfter != 0 {
		t.Errorf("problems: %q", s.Problems)
	}
	if s.Seconds < 6 || s.Spawns < 100 || s.Rotations < 3 || s.Copies < copies {
		t.Errorf("too little happened: %+v", s)
	}
	if s.HighestCopy < 2 || s.HighestCopy > s.Threshold || s.HighestCopyReported < 2 || s.Threshold != threshold {
		t.Errorf("highest %d and %d of %d", s.HighestCopy, s.HighestCopyReported, s.Threshold)
	}
	if s.UpgradeMS <= 0 || s.FirstNewSpawnMS <= 0 || s.DeletionRepairMS <= 0 || !s.Restored || s.RestoredInode == 0 {
		t.Errorf("an act is missing: %+v", s)
	}
}

// onTerminal draws the live view of a real performance.
func onTerminal(t *testing.T, program string) {
	scratchHome(t)
	t.Setenv("TERM", "xterm")
	var out bytes.Buffer
	s, err := Run(context.Background(), Options{Seconds: 3, Out: &out, Terminal: true, Screen: console.Screen{Width: 80}, Relinkd: program})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		hideCursor, showCursor, "standin -> standin_001, steady, 0 of 3 s", ">001 ", "upgrade: all copies",
		fmt.Sprintf("restored    the packaged file is back, inode %d\n", s.RestoredInode),
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in what was drawn", want)
		}
	}
}

// interrupted ends a demonstration under load, as ^C does.
func interrupted(t *testing.T, program string) {
	cmd, home := demonstration(t, program, uint32(os.Getuid()), "--seconds", "600")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	var seen bytes.Buffer
	buf := make([]byte, 4096)
	for !strings.Contains(seen.String(), "\n  2.") { // two seconds of load
		n, err := out.Read(buf)
		seen.Write(buf[:n])
		if err != nil {
			t.Fatalf("it ended: %v\n%s%s", err, seen.String(), errs.String())
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("exit code 0, want a failure")
	}
	if !strings.Contains(errs.String(), "the demonstration was interrupted before its end") {
		t.Errorf("it says %q", errs.String())
	}
	clean(t, program, home)
}

// killed kills a demonstration, which cannot clean up then: but no process may stay.
func killed(t *testing.T, program string) {
	cmd, home := demonstration(t, program, uint32(os.Getuid()), "--seconds", "600")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatalf("it ended: %v", err)
	}
	eventually(t, "relinkd and a stand-in run", func() bool { return len(running(t, program, home)) > 2 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	eventually(t, "every process is gone", func() bool { return len(running(t, program, home)) == 0 })
}

// TestREADME: a demonstration prints what README.md shows of one.
func TestREADME(t *testing.T) {
	blocks, err := transcript.Read("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := slices.IndexFunc(blocks, func(b transcript.Block) bool { return b.Where == "demo" })
	if shown < 0 {
		t.Fatal("README.md shows no demonstration")
	}
	program := build(t)
	cmd, home := demonstration(t, program, uint32(os.Getuid()))
	out, err := cmd.Output()
	if err != nil {
		t.Error(err)
	}
	clean(t, program, home)
	if err := blocks[shown].Steps[0].Compare(string(out)); err != nil {
		t.Error(err)
	}
}
