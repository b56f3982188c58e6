package security_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"relinkd/api"
	"relinkd/control"
	"relinkd/internal/standin"
)

// deadline is how long anything that is waited for may take, on a busy machine.
const deadline = 30 * time.Second

// site is a directory in which relinkd has its four places, and a canary that is none of its business.
type site struct {
	t      *testing.T
	root   string
	places map[string]string // by what each is for: bin, state, run, etc
	canary string
	extra  string // of [target.imapd]
}

// newSite is a site with version 1 installed. The directories of the state and of the socket do not
// exist yet.
func newSite(t *testing.T) *site {
	t.Helper()
	root, err := os.MkdirTemp("", "rs-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(root) })
	s := &site{t: t, root: root, places: map[string]string{}, canary: filepath.Join(root, "canary")}
	for _, place := range []string{"bin", "state", "run", "etc"} {
		s.places[place] = filepath.Join(root, place)
	}
	for _, dir := range []string{root, s.places["bin"], s.places["etc"], s.canary, s.canary + "/dir"} {
		if dir != root {
			must(t, os.Mkdir(dir, 0o755))
		}
		must(t, os.Chmod(dir, 0o755)) // whatever the umask
	}
	for name, mode := range map[string]os.FileMode{"file": 0o644, "secret": 0o600, "dir/file": 0o640} {
		must(t, os.WriteFile(filepath.Join(s.canary, name), []byte("root:x:0:0::/root:/bin/sh\n"), mode))
	}
	must(t, standin.Write(s.canary+"/exe", "canary"))
	must(t, standin.Write(s.path(), "1"))
	return s
}

func (s *site) path() string    { return filepath.Join(s.places["bin"], "imapd") }
func (s *site) private() string { return filepath.Join(s.places["bin"], ".relinkd") }
func (s *site) socket() string  { return filepath.Join(s.places["run"], "sock") }
func (s *site) config() string  { return filepath.Join(s.places["etc"], "relinkd.toml") }

// configure writes the configuration.
func (s *site) configure() {
	s.t.Helper()
	text := fmt.Sprintf(`[target.imapd]
path = %q
copies = 3
max_copies = 4
threshold = 10
settle = { quiet = "20ms", max = "200ms" }
%s
[census]
interval = "20ms"
[control]
socket = %q
[state]
dir = %q
[log]
format = "json"
`, s.path(), s.extra, s.socket(), s.places["state"])
	must(s.t, os.WriteFile(s.config(), []byte(text), 0o644))
}

// verb runs a verb of the command line and returns what it printed.
func (s *site) verb(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, relinkd(s.t), append([]string{"--config", s.config()}, args...)...)
	cmd.Env = environment()
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		s.t.Errorf("relinkd %s hangs: %s", strings.Join(args, " "), out)
	}
	return string(out), err
}

// environment is relinkd's. It refuses variables that begin like its own and are none, as tests have.
func environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0"}
}

// daemon is a relinkd that runs, or has ended by itself.
type daemon struct {
	s      *site
	cmd    *exec.Cmd
	log    bytes.Buffer // to be read once it has ended
	ended  chan struct{}
	client *control.Client
}

// start starts a daemon, with the most permissive umask there is, and waits until it answers or ends.
func (s *site) start() *daemon {
	s.t.Helper()
	d := &daemon{s: s, ended: make(chan struct{}), client: control.NewClient(s.socket())}
	d.cmd = exec.Command("sh", "-c", `umask 0; exec "$@"`, "sh", relinkd(s.t), "--config", s.config(), "run")
	d.cmd.Env = environment()
	d.cmd.Stdout, d.cmd.Stderr = &d.log, &d.log
	must(s.t, d.cmd.Start())
	go func() { d.cmd.Wait(); close(d.ended) }()
	s.t.Cleanup(func() {
		d.stop()
		if s.t.Failed() {
			s.t.Logf("the daemon said:\n%s", d.log.String())
		}
	})
	if !within(deadline, func() bool { return d.hasEnded() || d.status() != nil }) {
		s.t.Fatal("the daemon neither answers nor ends")
	}
	return d
}

func (d *daemon) hasEnded() bool {
	select {
	case <-d.ended:
		return true
	default:
		return false
	}
}

// refused waits for the end of a daemon that must not start, and checks that it says why.
func (d *daemon) refused(why string) {
	d.s.t.Helper()
	if !within(deadline, d.hasEnded) {
		d.s.t.Errorf("the daemon runs, want it to refuse: %s", why)
		return
	}
	if d.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(d.log.String(), why) {
		d.s.t.Errorf("%v, said %q, want %q", d.cmd.ProcessState, d.log.String(), why)
	}
}

// stop stops a daemon that has not ended.
func (d *daemon) stop() {
	if d.hasEnded() {
		return
	}
	d.cmd.Process.Signal(syscall.SIGTERM)
	if !within(deadline, d.hasEnded) {
		d.s.t.Error("the daemon does not stop")
		d.cmd.Process.Kill()
		<-d.ended
	}
}

// status is the daemon's, nil when it does not answer.
func (d *daemon) status() *api.Status {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	st, err := d.client.Status(ctx)
	if err != nil || len(st.Targets) != 1 {
		return nil
	}
	return st
}

// target is the only one's part of the status.
func (d *daemon) target() api.TargetStatus {
	if st := d.status(); st != nil {
		return st.Targets[0]
	}
	return api.TargetStatus{}
}

// settled waits until the target is where it will stay, and returns that.
func (d *daemon) settled() (st api.TargetStatus) {
	d.s.t.Helper()
	if !within(deadline, func() bool {
		switch st = d.target(); st.State {
		case "", api.Starting, api.Settling, api.Cloning:
			return false
		}
		return true
	}) {
		d.s.t.Errorf("the target does not settle: %+v", st)
	}
	return st
}

// in waits until the target is in a state.
func (d *daemon) in(state api.State) {
	d.s.t.Helper()
	var st api.TargetStatus
	if !within(deadline/3, func() bool { st = d.target(); return st.State == state }) {
		d.s.t.Fatalf("the target does not become %s: %+v", state, st)
	}
}
