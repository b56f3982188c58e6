package administrator_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/internal/standin"
	"relinkd/linker/launcher"
)

const (
	name    = "imapd" // of the target and its executable
	copies  = 3
	nobody  = 65534            // who executes path, when root runs the test
	group   = 12               // which that user is of, and which root gives files to
	verbMax = 90 * time.Second // any verb has come to an end by then
)

// site is an install directory, its surroundings and the daemon that manages it.
type site struct {
	program string // relinkd
	root    string // of the install directory and what an administrator keeps beside it
	own     string // the configuration, the state directory, the socket, the log
	bin     string
	path    string
	publish string // what the configuration says
	d       *daemon
}

func newSite(program, root, own, publish string) (*site, error) {
	s := &site{program: program, root: root, own: own, bin: filepath.Join(root, "bin"), publish: publish}
	s.path = filepath.Join(s.bin, name)
	for _, dir := range []string{s.bin, s.beside("backup"), s.beside("deploy")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, err
		}
	}
	for _, dir := range []string{root, own, s.bin} { // whatever the umask
		if err := os.Chmod(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.Symlink("bin", s.beside("alias")); err != nil { // the directory has another spelling
		return nil, err
	}
	if err := standin.Write(s.other(), "another program"); err != nil {
		return nil, err
	}
	return s, s.configure()
}

// configure writes the configuration.
func (s *site) configure() error {
	return os.WriteFile(s.config(), fmt.Appendf(nil, `
[target.imapd]
path = %q
publish = %q
copies = %d
max_copies = %d
threshold = 1000
settle = { quiet = "50ms", max = "2s" }
[census]
interval = "1s"
[control]
socket = %q
[state]
dir = %q
[log]
format = "json"
`, s.path, s.publish, copies, 2*copies, s.socket(), s.state()), 0o600)
}

func (s *site) beside(n string) string  { return filepath.Join(s.root, n) }
func (s *site) other() string           { return s.beside("other") } // a program that has nothing to do with it, for a link to lead to: many steps write through links
func (s *site) config() string          { return filepath.Join(s.own, "relinkd.toml") }
func (s *site) socket() string          { return filepath.Join(s.own, "s") }
func (s *site) state() string           { return filepath.Join(s.own, "state") }
func (s *site) released() string        { return filepath.Join(s.state(), name+".released") }
func (s *site) copy(n int) string       { return fmt.Sprintf("%s_%03d", s.path, n) }
func (s *site) privateDir() string      { return filepath.Join(s.bin, ".relinkd") }
func (s *site) private(n string) string { return filepath.Join(s.privateDir(), n) }
func (s *site) privateLink() string     { return s.private(name) }
func (s *site) pristine() string        { return s.private(name + ".pristine") }

// log is what the daemon has said last.
func (s *site) log() string {
	content, _ := os.ReadFile(s.logFile())
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	last := lines[max(0, len(lines)-25):]
	for i, line := range lines { // what a crash begins with
		if !strings.HasPrefix(line, "{") && line != "" {
			last = lines[i:min(len(lines), i+25)]
			break
		}
	}
	var b strings.Builder
	for _, line := range last {
		var said struct {
			Level   string    `json:"level"`
			Time    time.Time `json:"time"`
			Message string    `json:"message"`
			Error   string    `json:"error"`
		}
		if json.Unmarshal([]byte(line), &said) == nil {
			line = strings.Join([]string{said.Time.Format(time.TimeOnly), said.Level, said.Message, said.Error}, " ")
		}
		fmt.Fprintf(&b, "  %s\n", line)
	}
	return b.String()
}

// refusedThread is what a daemon has said that has ended because the kernel would not start another thread for it:
// under load a host may run out of them, by a limit of the user's (RLIMIT_NPROC), of the cgroup (pids.max) or by
// pids. No program of many threads goes on from that, and the exit status, 2, is that of a crash. "" for any
// other end. It empties the log, so that each is seen once.
func (s *site) refusedThread() string {
	if s.d.cmd.ProcessState.ExitCode() != 2 {
		return ""
	}
	content, _ := os.ReadFile(s.logFile())
	for line := range strings.Lines(string(content)) {
		if strings.Contains(line, "failed to create new OS thread") || strings.Contains(line, "pthread_create failed: Resource temporarily unavailable") {
			if os.Truncate(s.logFile(), 0) == nil {
				return strings.TrimSpace(line)
			}
		}
	}
	return ""
}

func (s *site) logFile() string { return filepath.Join(s.own, "log") }

// daemon is a process of relinkd run.
type daemon struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// start starts the daemon, and does not wait for it.
func (s *site) start() error {
	out, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	d := &daemon{cmd: exec.Command(s.program, "run", "--config", s.config()), exited: make(chan struct{})}
	d.cmd.Stdout, d.cmd.Stderr = out, out
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(d.exited)
		_ = d.cmd.Wait() // how it ended is in ProcessState
	}()
	s.d = d
	return nil
}

// end sends the daemon a signal and waits for its end.
func (s *site) end(sig syscall.Signal) error {
	d := s.d
	if d == nil {
		return nil
	}
	s.d = nil
	_ = d.cmd.Process.Signal(sig) // it may have ended already
	select {
	case <-d.exited:
		return nil
	case <-time.After(verbMax):
		_ = d.cmd.Process.Kill()
		<-d.exited
		return fmt.Errorf("the daemon has not ended %s after %v", verbMax, sig)
	}
}

// ended reports whether the daemon has ended by itself.
func (d *daemon) ended() bool {
	select {
	case <-d.exited:
		return true
	default:
		return false
	}
}

// status is what this test reads of the target's status.
type status struct {
	State          string `json:"state"`
	Reason         string `json:"reason"`
	Publish        string `json:"publish"`
	Executes       *bool  `json:"executes"`
	ExecutesReason string `json:"executes_reason"`
	Generation     struct {
		SHA256 string `json:"sha256"`
	} `json:"generation"`
}

// hasInForce reports whether the copies are made from content.
func (st status) hasInForce(content []byte) bool {
	sum := sha256.Sum256(content)
	return st.State == "steady" && st.Generation.SHA256 == hex.EncodeToString(sum[:])
}

// underWay reports whether the daemon says that it is not done yet.
func (st status) underWay() bool {
	return st.State == "starting" || st.State == "settling" || st.State == "cloning" || st.State == "bypassed"
}

// tells reports whether the status says that path is not as it should be, and why.
func (st status) tells() bool {
	if st.Executes != nil && !*st.Executes && st.ExecutesReason != "" {
		return true
	}
	return st.State != "steady" && st.Reason != ""
}

func (st status) String() string {
	executes := ""
	if st.Executes != nil {
		executes = fmt.Sprintf(", executes %v (%s)", *st.Executes, st.ExecutesReason)
	}
	return fmt.Sprintf("%s (%s), publish %s%s", st.State, st.Reason, st.Publish, executes)
}

// status asks the daemon how the target stands.
func (s *site) status() (status, error) { return ask[status](s, "status") }

// plan is what this test reads of the target's plan.
type plan struct {
	State string   `json:"state"`
	Steps []string `json:"steps"`
}

// atRest reports whether the daemon, which looks at the disk for that, finds all well and has nothing to do.
func (s *site) atRest() bool {
	p, err := ask[plan](s, "plan")
	return err == nil && p.State == "steady" && len(p.Steps) == 0
}

// ask asks the daemon for the target's part of a document.
func ask[T any](s *site, document string) (of T, err error) {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.socket())
		}}}
	resp, err := client.Get("http://relinkd/v1/" + document)
	if err != nil {
		return of, err
	}
	defer resp.Body.Close()
	var doc struct {
		Targets []T `json:"targets"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&doc); err != nil {
		return of, err
	}
	if len(doc.Targets) != 1 {
		return of, fmt.Errorf("%d targets", len(doc.Targets))
	}
	return doc.Targets[0], nil
}

// verb runs relinkd and returns its exit code and what it printed.
func (s *site) verb(args ...string) (code int, out string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), verbMax)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.program, append(args, "--config", s.config())...)
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	err = cmd.Run()
	if ctx.Err() != nil {
		return -1, b.String(), fmt.Errorf("relinkd %s has not ended after %s", strings.Join(args, " "), verbMax)
	}
	if exit := new(exec.ExitError); errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), b.String(), nil
	}
	return 0, b.String(), err
}

// execute executes a file as an ordinary user would, and returns the content of what runs then.
func execute(path string) ([]byte, error) {
	cmd := exec.Command(path)
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{group}}}
	}
	cmd.Dir = "/"
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() {
		_ = cmd.Process.Kill() // what is no stand-in may run for long
		_ = cmd.Wait()
	}()
	var content []byte
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // until a launcher has executed it
		content, err = os.ReadFile(fmt.Sprintf("/proc/%d/exe", cmd.Process.Pid))
		if err != nil {
			break // it has ended
		}
		if _, is := launcher.Executes(content); !is {
			return content, nil
		}
		if time.Now().After(end) {
			return content, errors.New("it is a launcher still")
		}
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		return nil, err
	}
	return nil, nil // a script, or another program that was quick
}

// What stands at a place.
type kind int

const (
	nothing  kind = iota
	link          // a symbolic link
	launches      // a launcher, whole or changed
	file          // another regular file
	other
)

func kindOf(path string) kind {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return nothing
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		return link
	case unix.S_IFREG:
		if content, err := readFile(path); err == nil && isLauncher(content) {
			return launches
		}
		return file
	}
	return other
}

// isLauncher reports whether content is a launcher, or one that somebody has cut short or added to: every
// launcher holds the path of what it executes.
func isLauncher(content []byte) bool {
	return bytes.Contains(content, []byte("/.relinkd/")) && bytes.HasPrefix(content, []byte("\x7fELF"))
}
