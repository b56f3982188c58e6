package cyrus_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"relinkd/api"
)

// daemon is a running relinkd with a configuration, a socket and a state directory of its own.
type daemon struct {
	t      *testing.T
	binary string
	dir    string
	config string
	http   *http.Client
	cmd    *exec.Cmd
	exited chan struct{}
}

// buildRelinkd builds the program under test, as it is shipped.
func buildRelinkd(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(scratch(t), "relinkd")
	must(t, "go", "build", "-o", binary, "relinkd/cmd/relinkd")
	return binary
}

// prepare writes the configuration: what the test says of targets and census, and places of its
// own. At the end of t everything is restored and the daemon stopped.
func (l *lab) prepare(t *testing.T, text string) *daemon {
	t.Helper()
	d := &daemon{t: t, binary: l.relinkd, dir: scratch(t)}
	d.config = filepath.Join(d.dir, "relinkd.toml")
	socket := filepath.Join(d.dir, "socket")
	text += fmt.Sprintf("\n[control]\nsocket = %q\n[state]\ndir = %q\n[log]\nlevel = \"debug\"\nformat = \"json\"\n",
		socket, filepath.Join(d.dir, "state"))
	if err := os.WriteFile(d.config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	d.http = &http.Client{
		Timeout: time.Minute,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}},
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of relinkd's log:\n%s", tail(d.log(), 60))
		}
		d.verb(0, "restore", "--all", "--force")
		d.stop()
	})
	return d
}

// daemon prepares one and starts it.
func (l *lab) daemon(t *testing.T, text string) *daemon {
	t.Helper()
	d := l.prepare(t, text)
	d.start()
	return d
}

// start runs the daemon, under the program and arguments that before names if any, until it
// answers.
func (d *daemon) start(before ...string) {
	d.t.Helper()
	out, err := os.OpenFile(filepath.Join(d.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		d.t.Fatal(err)
	}
	defer out.Close()
	args := append(before, d.binary, "run", "--config", d.config)
	d.cmd = exec.Command(args[0], args[1:]...)
	d.cmd.Stdout, d.cmd.Stderr = out, out
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) { cmd.Wait(); close(exited) }(d.cmd, d.exited)
	await(d.t, 20*time.Second, "relinkd to answer", func() bool {
		select {
		case <-d.exited:
			d.t.Fatalf("relinkd ended: %v\n%s", d.cmd.ProcessState, tail(d.log(), 20))
		default:
		}
		return d.get("/v1/status", new(api.Status)) == nil
	})
}

// stop ends the daemon as an administrator would; stopped already is fine.
func (d *daemon) stop() {
	d.t.Helper()
	if d.cmd == nil {
		return
	}
	d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.exited:
		if code := d.cmd.ProcessState.ExitCode(); code != 0 {
			d.t.Errorf("relinkd ended with %v", d.cmd.ProcessState)
		}
	case <-time.After(20 * time.Second):
		d.t.Errorf("relinkd did not end within 20 s of SIGTERM")
		d.kill()
	}
	d.cmd = nil
}

// kill ends the daemon with no chance to do anything more.
func (d *daemon) kill() {
	d.cmd.Process.Kill()
	<-d.exited
	d.cmd = nil
}

func (d *daemon) process() process { return process(d.cmd.Process.Pid) }

// log is all that the daemon and its earlier runs wrote.
func (d *daemon) log() string {
	b, _ := os.ReadFile(filepath.Join(d.dir, "log"))
	return string(b)
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func (d *daemon) get(path string, into any) error {
	answer, err := d.http.Get("http://relinkd" + path)
	return decode(answer, err, into)
}

// post asks for a change, as the command line does.
func (d *daemon) post(path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	answer, err := d.http.Post("http://relinkd"+path, "application/json", bytes.NewReader(b))
	return decode(answer, err, into)
}

func decode(answer *http.Response, err error, into any) error {
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", answer.Status, b)
	}
	return json.Unmarshal(b, into)
}

// rotate forces one rotation; the policy chooses the copy.
func (d *daemon) rotate(target string) error {
	return d.post("/v1/targets/"+target+"/rotate", map[string]int{"to": 0}, new(api.Report))
}

// status is the document that `relinkd status --json` prints.
func (d *daemon) status() *api.Status {
	d.t.Helper()
	var s api.Status
	if err := json.Unmarshal([]byte(d.verb(0, "status", "--json")), &s); err != nil {
		d.t.Fatal(err)
	}
	return &s
}

// target is one target's part of the daemon's status.
func (d *daemon) target(name string) api.TargetStatus {
	d.t.Helper()
	var s api.Status
	if err := d.get("/v1/status", &s); err != nil {
		d.t.Fatal(err)
	}
	for _, target := range s.Targets {
		if target.Name == name {
			return target
		}
	}
	d.t.Fatalf("status knows no target %s", name)
	return api.TargetStatus{}
}

// await waits until a target is in a state, and returns its status then.
func (d *daemon) await(name string, want api.State) api.TargetStatus {
	d.t.Helper()
	return d.awaitThat(name, string(want), func(s api.TargetStatus) bool { return s.State == want })
}

// awaitThat waits until ok holds of a target's status, and returns it.
func (d *daemon) awaitThat(name, what string, ok func(api.TargetStatus) bool) api.TargetStatus {
	d.t.Helper()
	var s api.TargetStatus
	deadline := time.Now().Add(30 * time.Second)
	for s = d.target(name); !ok(s); s = d.target(name) {
		if time.Now().After(deadline) {
			s.Copies = nil
			d.t.Fatalf("waited 30 s in vain for %s to be %s; it is %+v", name, what, s)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return s
}

// verb runs relinkd's command line, checks its exit code and returns its standard output.
func (d *daemon) verb(code int, args ...string) string {
	d.t.Helper()
	cmd := exec.Command(d.binary, append(args, "--config", d.config)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != code {
		d.t.Errorf("relinkd %s: exit code %d instead of %d\n%s%s", strings.Join(args, " "), got, code, &stdout, &stderr)
	}
	return stdout.String()
}
