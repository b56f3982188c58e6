package security_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"relinkd/api"
	"relinkd/internal/faults"
)

// output is what a process has said so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// A thousand silent connections, and noise on more, neither stop the daemon nor slow it down: it
// answers and rotates meanwhile, and keeps no descriptor afterwards.
func TestSocketUnderFire(t *testing.T) {
	s := newSite(t)
	s.extra = "rotation = \"interval\"\ninterval = \"10ms\""
	s.configure()
	d := s.start()
	d.in(api.Steady)
	descriptors := d.descriptors()

	stop := make(chan struct{})
	var noise sync.WaitGroup
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for i := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, i))
		noise.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					s.shout(random)
				}
			}
		})
	}
	const silent = 1000
	for range silent {
		c, err := net.Dial("unix", s.socket())
		must(t, err)
		defer c.Close()
	}
	before := d.target().Rotations
	slowest := time.Duration(0)
	for range 50 {
		begun := time.Now()
		if d.status() == nil {
			t.Fatal("no answer to status")
		}
		slowest = max(slowest, time.Since(begun))
	}
	if !within(deadline, func() bool { return d.target().Rotations > before+20 }) {
		t.Errorf("the daemon rotates no more: %d, before %d", d.target().Rotations, before)
	}
	for text, want := range map[string]string{
		`{"to":9223372036854775807}`:  "no copy number 9223372036854775807",
		`{"to":99999999999999999999}`: "bad_request",
		`{"to":-1}`:                   "copies count from 1",
	} {
		if answer := s.ask("POST /v1/targets/imapd/rotate HTTP/1.1\r\nHost: x\r\nContent-Length: " + fmt.Sprint(len(text)) + "\r\n\r\n" + text); !strings.Contains(answer, want) {
			t.Errorf("%s is answered %q, want %q", text, answer, want)
		}
	}
	close(stop)
	noise.Wait()
	if d.hasEnded() || d.target().State != api.Steady {
		t.Errorf("afterwards: %+v", d.target())
	}
	if !within(deadline, func() bool { return d.descriptors() <= descriptors+2 }) {
		t.Errorf("the daemon has %d descriptors open, before %d", d.descriptors(), descriptors)
	}
	t.Logf("status took %v at most", slowest)
	faults.Record(t, faults.Row{What: "rotate", Injected: "1,000 silent connections to the control socket, and random bytes on others",
		Times: 1, Survived: "status is answered, rotations go on, no descriptor is left open"})
}

// shout sends the daemon some noise, which may begin like a request.
func (s *site) shout(random *rand.Rand) {
	c, err := net.Dial("unix", s.socket())
	if err != nil {
		return // the backlog is full
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	text := make([]byte, random.IntN(100_000))
	for i := range text {
		text[i] = byte(random.Uint32())
	}
	begin := []string{"", "GET /v1/status HTTP/1.1\r\n", "POST /v1/targets/imapd/rotate HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{\"to\":",
		"POST /v1/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"}[random.IntN(4)]
	c.Write(append([]byte(begin), text...))
	c.Read(make([]byte, random.IntN(1000)))
}

// ask sends a request as it is and returns the answer.
func (s *site) ask(text string) string {
	s.t.Helper()
	c, err := net.Dial("unix", s.socket())
	must(s.t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(deadline))
	_, err = c.Write([]byte(text))
	must(s.t, err)
	var b bytes.Buffer
	b.ReadFrom(c) // until it is closed
	return b.String()
}

// descriptors is how many the daemon has open.
func (d *daemon) descriptors() int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid))
	must(d.s.t, err)
	return len(entries)
}

// Nobody but root and the daemon's user changes anything, whatever the mode of the socket; the service
// is not asked.
func TestStrangerMayNotChange(t *testing.T) {
	needsRoot(t)
	s := newSite(t)
	s.configure()
	d := s.start()
	d.in(api.Steady)
	before := tree(t, s.root)
	must(t, os.Chmod(s.socket(), 0o777))
	for _, verb := range []string{"manage", "restore", "rotate", "reclone", "adopt", "verify"} {
		s.denied("POST /v1/targets/imapd/" + verb)
	}
	s.denied("POST /v1/reload")
	s.denied("POST /v1/verify")
	s.denied("PUT /v1/status")
	must(t, os.Chmod(s.socket(), 0o600))
	if st := d.target(); st.State != api.Steady || st.Rotations != 0 {
		t.Errorf("afterwards: %+v", st)
	}
	unchanged(t, "something was changed", before, tree(t, s.root))
	if _, err := d.client.Rotate(context.Background(), "imapd", 2); err != nil {
		t.Errorf("root: %v", err)
	}
}

// denied has the stranger ask for something.
func (s *site) denied(what string) {
	s.t.Helper()
	out, err := asStranger(s.t, "ask", s.socket(), what+" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").CombinedOutput()
	if err != nil || !strings.Contains(string(out), " 403 ") || !strings.Contains(string(out), `"kind":"denied"`) {
		s.t.Errorf("%s is answered %q (%v), want it denied", what, out, err)
	}
}

// ask is the stranger's side of denied.
func ask(socket, text string) error {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(deadline))
	if _, err := c.Write([]byte(text)); err != nil {
		return err
	}
	var b bytes.Buffer
	_, err = b.ReadFrom(c)
	fmt.Print(b.String())
	return err
}
