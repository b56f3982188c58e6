package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/internal/standin"
)

// shellPrompt is what each shell prints when it waits for a line.
const shellPrompt = "at your service> "

// Each shell, at a terminal and with the completions that packages ship, makes a target's name of its first
// letters when the tab key is pressed. verify would refuse those letters, and so shows what was completed.
func TestShellsComplete(t *testing.T) {
	dir := t.TempDir()
	if err := standin.Write(mkdir(t, dir, "bin")+"/imapd", "1"); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "relinkd.toml")
	write(t, conf, fmt.Sprintf("[target.imapd]\npath = %q\n[control]\nsocket = %q\n[state]\ndir = %q\n",
		dir+"/bin/imapd", dir+"/run/relinkd.sock", dir+"/state"))

	for _, shell := range []struct {
		name   string
		needs  string // beside the shell
		script string // where it looks for the script, below its home
		rc     string // where it looks for rcText
		rcText string
		dir    string // below its home, that must be there
		args   []string
	}{
		{
			name: "bash", needs: "/usr/share/bash-completion/bash_completion",
			script: "data/bash-completion/completions/relinkd",
			rc:     "rc", rcText: "PS1='" + shellPrompt + "'\nPS2=\n. /usr/share/bash-completion/bash_completion\n",
			args: []string{"--noprofile", "--rcfile", "rc", "-i"},
		},
		{
			name:   "zsh",
			script: "functions/_relinkd",
			rc:     ".zshrc", rcText: "PS1='" + shellPrompt + "'\nfpath=($HOME/functions $fpath)\nautoload -U compinit\ncompinit -u -D\n",
			args: []string{"-d", "-i"},
		},
		{
			name:   "fish",
			script: "config/fish/completions/relinkd.fish",
			rc:     "config/fish/config.fish", rcText: "function fish_prompt; echo -n '" + shellPrompt + "'; end\nset fish_greeting\n",
			dir:  "data/fish/generated_completions", // else it makes one of each manual page, in the background
			args: []string{"-i"},
		},
	} {
		t.Run(shell.name, func(t *testing.T) {
			if _, err := exec.LookPath(shell.name); err != nil {
				t.Skipf("left out: there is no %s here", shell.name)
			}
			if _, err := os.Stat(shell.needs); shell.needs != "" && err != nil {
				t.Skipf("left out: there is no %s here", shell.needs)
			}
			home := t.TempDir()
			if err := os.Chmod(home, 0o700); err != nil { // or fish has its runtime directory elsewhere
				t.Fatal(err)
			}
			script, err := os.ReadFile("../../packaging/completions/relinkd." + shell.name)
			if err != nil {
				t.Fatal(err)
			}
			mkdir(t, home, shell.dir)
			mkdir(t, home, filepath.Dir(shell.script))
			write(t, filepath.Join(home, shell.script), string(script))
			write(t, filepath.Join(home, shell.rc), shell.rcText)
			sh := exec.Command(shell.name, shell.args...)
			sh.Dir = home
			sh.Env = []string{
				"PATH=" + os.Getenv("PATH"), "HOME=" + home, "ZDOTDIR=" + home, "TERM=xterm", "LC_ALL=C.UTF-8",
				"XDG_DATA_HOME=" + home + "/data", "XDG_CONFIG_HOME=" + home + "/config", "XDG_RUNTIME_DIR=" + home,
				"GORACE=" + os.Getenv("GORACE"),
			}
			terminal := startAtTerminal(t, sh)
			terminal.wait(shellPrompt)
			terminal.typed("relinkd --config " + conf + " verif\tim\t\r")
			terminal.wait("imapd: no copies")
		})
	}
}

func mkdir(t *testing.T, dir, name string) string {
	t.Helper()
	made := filepath.Join(dir, name)
	if err := os.MkdirAll(made, 0o755); err != nil {
		t.Fatal(err)
	}
	return made
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// terminal is one at which a program runs.
type terminal struct {
	t      *testing.T
	master *os.File
	seen   bytes.Buffer // since the last wait
}

// startAtTerminal starts cmd at a terminal of its own. It is ended with the test.
func startAtTerminal(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	master, slave := ptyPair(t)
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 500}); err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return &terminal{t: t, master: master}
}

func (x *terminal) typed(keys string) {
	x.t.Helper()
	if _, err := x.master.WriteString(keys); err != nil {
		x.t.Fatal(err)
	}
}

// wait reads what the program prints until text is among it.
func (x *terminal) wait(text string) {
	x.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	x.seen.Reset()
	for buf := make([]byte, 4096); !strings.Contains(x.seen.String(), text); {
		left := time.Until(deadline)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(x.master.Fd()), Events: unix.POLLIN}}, max(0, int(left.Milliseconds())))
		switch {
		case err == unix.EINTR:
			continue
		case n <= 0:
			x.t.Fatalf("%q does not appear; the terminal shows:\n%q", text, x.seen.String())
		}
		n, err = x.master.Read(buf)
		x.seen.Write(buf[:n])
		if err != nil {
			x.t.Fatalf("%v; the terminal shows:\n%q", err, x.seen.String())
		}
	}
}
