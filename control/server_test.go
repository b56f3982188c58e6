package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"relinkd/api"
)

func TestEveryVerbReachesTheService(t *testing.T) {
	svc := &fake{status: api.Status{
		Version: "1", Accounting: "census",
		Targets: []api.TargetStatus{{Name: "imapd", State: api.Steady, Copies: []api.CopyStatus{{Name: "imapd_001", Number: 1, Processes: 7}}}},
	}}
	socket, _ := serve(t, svc, "")
	c, ctx := NewClient(socket), context.Background()

	st, err := c.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&svc.status, st); diff != "" {
		t.Errorf("status (-sent +received):\n%s", diff)
	}
	plan, err := c.Plan(ctx)
	if err != nil || !plan.Changes() {
		t.Errorf("plan: %+v, %v", plan, err)
	}
	manage, err := c.PlanManage(ctx, "ä/b")
	if err != nil || manage.Target != "ä/b" || len(manage.Steps) != 1 {
		t.Errorf("plan of manage: %+v, %v", manage, err)
	}
	if _, err := c.PlanManage(ctx, ""); !errors.Is(err, api.ErrNoTarget) {
		t.Errorf("plan of managing nothing: %v", err)
	}
	v, err := c.Verify(ctx, "imapd")
	if err != nil || v.Targets[0].Target != "imapd" {
		t.Errorf("verify: %+v, %v", v, err)
	}
	if _, err := c.Verify(ctx, ""); err != nil {
		t.Errorf("verify all: %v", err)
	}
	for name, call := range map[string]func() (*api.Report, error){
		"manage":  func() (*api.Report, error) { return c.Manage(ctx, "imapd") },
		"restore": func() (*api.Report, error) { return c.Restore(ctx, "imapd", true) },
		"rotate":  func() (*api.Report, error) { return c.Rotate(ctx, "imapd", 17) },
		"reclone": func() (*api.Report, error) { return c.Reclone(ctx, "imapd") },
		"go back": func() (*api.Report, error) { return c.AdoptGeneration(ctx, "imapd", "2670") },
		"adopt":   func() (*api.Report, error) { return c.Adopt(ctx, "imapd", "/opt/ä b?#%2F") },
		"reload":  func() (*api.Report, error) { return c.Reload(ctx) },
	} {
		r, err := call()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := &api.Report{Target: "imapd", Done: []string{"done"}}
		if name == "reload" {
			want.Target = ""
		}
		if diff := cmp.Diff(want, r); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	got := map[string]bool{}
	for _, call := range svc.asked() {
		got[call] = true
	}
	want := map[string]bool{
		"status": true, "plan": true, `plan "ä/b"`: true, `verify "imapd"`: true, `verify ""`: true, `manage "imapd"`: true,
		`restore "imapd" true`: true, `rotate "imapd" 17`: true, `reclone "imapd"`: true, `adopt generation "imapd" "2670"`: true,
		`adopt "imapd" "/opt/ä b?#%2F"`: true, "reload": true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("asked of the service (-want +got):\n%s", diff)
	}
}

func TestStrangeTargetNamesArriveWhole(t *testing.T) {
	svc := &fake{}
	socket, _ := serve(t, svc, "")
	names := []string{"a/b", "..", "a b", "ä", "%2e%2e/x", "?force=true", "x#y"}
	var want []string
	for _, name := range names {
		if _, err := NewClient(socket).Manage(context.Background(), name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		want = append(want, fmt.Sprintf("manage %q", name))
	}
	if diff := cmp.Diff(want, svc.asked()); diff != "" {
		t.Error(diff)
	}
	if _, err := NewClient(socket).Restore(context.Background(), "", true); !errors.Is(err, api.ErrNoTarget) {
		t.Errorf("empty name: %v, want ErrNoTarget", err)
	}
}

func TestErrorsKeepTextAndKind(t *testing.T) {
	for _, test := range []struct {
		err error
		is  error
	}{
		{fmt.Errorf("no target is called imap: %w", api.ErrNoTarget), api.ErrNoTarget},
		{fmt.Errorf("imapd is released: %w", api.ErrRefused), api.ErrRefused},
		{errDisk, nil},
	} {
		socket, _ := serve(t, &fake{err: test.err}, "")
		_, err := NewClient(socket).Rotate(context.Background(), "imapd", 0)
		if err == nil || err.Error() != test.err.Error() {
			t.Errorf("error is %q, want %q", err, test.err)
		}
		for _, sentinel := range []error{api.ErrNoTarget, api.ErrRefused, ErrDenied, ErrNoDaemon} {
			if got, want := errors.Is(err, sentinel), sentinel == test.is; got != want {
				t.Errorf("%q: errors.Is(%q) is %v", err, sentinel, got)
			}
		}
	}
}

func TestBadRequestsAreAnsweredAndAskNothing(t *testing.T) {
	svc := &fake{}
	socket, _ := serve(t, svc, "")
	post := func(path, body string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
	}
	for _, test := range []struct{ name, text, status, answer string }{
		{"unknown path", "GET /v2/status HTTP/1.0\r\n\r\n", "400", `"kind":"bad_request"`},
		{"unclean path", "GET //v1/status HTTP/1.0\r\n\r\n", "400", `"kind":"bad_request"`},
		{"root", "GET / HTTP/1.0\r\n\r\n", "400", `"kind":"bad_request"`},
		{"unknown method", "DELETE /v1/status HTTP/1.0\r\n\r\n", "400", `"kind":"bad_request"`},
		{"change by GET", "GET /v1/targets/imapd/restore HTTP/1.0\r\n\r\n", "400", `"kind":"bad_request"`},
		{"query", post("/v1/targets/imapd/restore?force=true", ""), "400", `takes no query`},
		{"empty target", post("/v1/targets//manage", ""), "400", `"kind":"bad_request"`},
		{"unknown verb", post("/v1/targets/imapd/destroy", ""), "400", `"kind":"bad_request"`},
		{"unknown field", post("/v1/targets/imapd/restore", `{"forse":true}`), "400", `unknown field \"forse\"`},
		{"field of another verb", post("/v1/targets/imapd/manage", `{"force":true}`), "400", `unknown field \"force\"`},
		{"wrong type", post("/v1/targets/imapd/rotate", `{"to":"17"}`), "400", `"kind":"bad_request"`},
		{"fraction", post("/v1/targets/imapd/rotate", `{"to":1.5}`), "400", `"kind":"bad_request"`},
		{"negative", post("/v1/targets/imapd/rotate", `{"to":-1}`), "400", `copies count from 1`},
		{"relative file", post("/v1/targets/imapd/adopt", `{"file":"imapd"}`), "400", `absolute path`},
		{"no file", post("/v1/targets/imapd/adopt", ``), "400", `absolute path`},
		{"not JSON", post("/v1/targets/imapd/restore", `force`), "400", `"kind":"bad_request"`},
		{"two values", post("/v1/targets/imapd/restore", `{} {}`), "400", `more than one`},
		{"array", post("/v1/reload", `[]`), "400", `"kind":"bad_request"`},
		{"too long", post("/v1/targets/imapd/adopt", `{"file":"/`+strings.Repeat("x", 64<<10)+`"}`), "400", `longer than 65536 bytes`},
		{"not HTTP", "\x00\xff\x16\x03\x01\r\n\r\n", "400", "Bad Request"},
		{"huge header", "GET /v1/status HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("x", 1<<16) + "\r\n\r\n", "431", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer := raw(t, socket, test.text)
			if status, _, _ := strings.Cut(answer, "\r\n"); !strings.Contains(status, " "+test.status+" ") {
				t.Errorf("answered %q, want status %s", status, test.status)
			}
			if !strings.Contains(answer, test.answer) {
				t.Errorf("answer lacks %q:\n%s", test.answer, answer)
			}
		})
	}
	if calls := svc.asked(); len(calls) > 0 {
		t.Errorf("the service was asked: %v", calls)
	}
	if _, err := NewClient(socket).Status(context.Background()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A client that begins a request and falls silent is cut off, while others are served.
func TestSilentClientIsCutOff(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as the read deadline")
	}
	socket, _ := serve(t, &fake{}, "")
	for name, text := range map[string]string{
		"header": "POST /v1/rel",
		"body":   "POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw(t, socket, text) // returns when the server closes the connection
			if _, err := NewClient(socket).Status(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}

// Work that takes longer than a client may take to send a request is not cut off.
func TestLongWorkIsNotCutOff(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as the read deadline")
	}
	svc := &fake{block: make(chan struct{})}
	socket, _ := serve(t, svc, "")
	timer := time.AfterFunc(recvTimeout+time.Second, func() { close(svc.block) })
	defer timer.Stop()
	if _, err := NewClient(socket).Reclone(context.Background(), "imapd"); err != nil {
		t.Error(err)
	}
}

func TestClientThatGoesAwayCancelsItsRequest(t *testing.T) {
	svc := &fake{block: make(chan struct{})}
	socket, stop := serve(t, svc, "")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := NewClient(socket).Verify(ctx, "")
		done <- err
	}()
	waitFor(t, "the request", func() bool { return len(svc.asked()) > 0 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("client: %v", err)
	}
	start := time.Now()
	if err := stop(); err != nil { // waits for the request, whose context must have ended
		t.Error(err)
	}
	if took := time.Since(start); took > stopTimeout/2 {
		t.Errorf("the request still ran: stopping took %v", took)
	}
}

func TestStopWaitsForARequestAndRemovesTheSocket(t *testing.T) {
	svc := &fake{block: make(chan struct{})}
	socket, stop := serve(t, svc, "")
	answered := make(chan error, 1)
	go func() {
		_, err := NewClient(socket).Manage(context.Background(), "imapd")
		answered <- err
	}()
	waitFor(t, "the request", func() bool { return len(svc.asked()) > 0 })
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	waitFor(t, "the socket to go", func() bool {
		_, err := os.Lstat(socket)
		return os.IsNotExist(err)
	})
	if _, err := NewClient(socket).Status(context.Background()); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("while stopping: %v, want ErrNoDaemon", err)
	}
	close(svc.block)
	if err := <-answered; err != nil {
		t.Errorf("the request that was being worked on: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// sluggish is a Service that takes its time to notice that it is cancelled.
type sluggish struct {
	fake
	returned atomic.Bool
}

func (s *sluggish) Verify(ctx context.Context, target string) (*api.Verification, error) {
	s.call(context.Background(), "verify")
	<-ctx.Done()
	late := make(chan struct{})
	time.AfterFunc(200*time.Millisecond, func() { close(late) })
	<-late
	s.returned.Store(true)
	return nil, ctx.Err()
}

// Once Serve has returned, what the Service needs may be closed.
func TestServeOutlivesTheLastCall(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as the grace for requests")
	}
	svc := new(sluggish)
	socket, stop := serve(t, svc, "")
	asked := make(chan error, 1)
	go func() {
		_, err := NewClient(socket).Verify(context.Background(), "")
		asked <- err
	}()
	waitFor(t, "the request", func() bool { return len(svc.asked()) > 0 })
	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if !svc.returned.Load() {
		t.Error("Serve returned while the service was still at work")
	}
	if err := <-asked; err == nil {
		t.Error("the request that was cut off succeeded")
	}
}

func TestServeReportsAListenerThatFails(t *testing.T) {
	ln, err := Listen(scratch(t)+"/relinkd.sock", "")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := NewServer(&fake{}, zerolog.Nop()).Serve(context.Background(), ln); err == nil {
		t.Error("no error from a closed listener")
	}
}

func TestStrangeServerIsNamed(t *testing.T) {
	for name, answer := range map[string]string{
		"not HTTP": "220 mail.example.com ESMTP\r\n",
		"no JSON":  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
		"no kind":  "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nhi",
		"redirect": "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
		"hangs up": "",
	} {
		t.Run(name, func(t *testing.T) {
			socket := scratch(t) + "/s"
			ln, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			go func() {
				for {
					c, err := ln.Accept()
					if err != nil {
						return
					}
					c.Read(make([]byte, 1024))
					c.Write([]byte(answer))
					c.Close()
				}
			}()
			_, err = NewClient(socket).Status(context.Background())
			if err == nil || !strings.Contains(err.Error(), socket) {
				t.Errorf("error %v does not name the socket", err)
			}
		})
	}
}

// waitFor waits until cond holds.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond) // between two looks, not instead of one
	}
}
