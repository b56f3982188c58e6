package control

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// notes is a log that many may write to.
type notes struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.Write(p)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.String()
}

// FuzzConnection sends any bytes to the socket: they are answered in HTTP or not at all, nothing panics,
// what is asked of the service is a request that the client could have made, and the next client is
// served.
func FuzzConnection(f *testing.F) {
	post := func(path, body string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
	}
	for _, seed := range []string{
		"", "\x00", "\r\n\r\n", "GET", "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", "GET /v1/plan HTTP/1.0\r\n\r\n",
		"GET /v1/status HTTP/9.9\r\n\r\n", "BREW /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", "GET /v1/status HTTP/1.1\r\n\r\n",
		"GET /v1/events?after=3&target=imapd HTTP/1.1\r\nHost: x\r\n\r\n", "GET /v1/events?after=x HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nLast-Event-ID: 99999999999999999999\r\n\r\n",
		"GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n",
		"GET /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"GET /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 9223372036854775807\r\n\r\n{}",
		"POST /v1/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}",
		"POST /v1/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"POST /v1/reload HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
		"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://other/v1/status HTTP/1.1\r\nHost: x\r\n\r\n", "GET /v1/../v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/%00 HTTP/1.1\r\nHost: x\r\n\r\n", "GET /v1/%zz HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/status HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
		post("/v1/targets/imapd/rotate", `{"to":17}`),
		post("/v1/targets/imapd/rotate", `{"to":9223372036854775807}`),
		post("/v1/targets/imapd/rotate", `{"to":9223372036854775808}`),
		post("/v1/targets/imapd/rotate", `{"to":-9223372036854775808}`),
		post("/v1/targets/imapd/rotate", `{"to":1e999999999}`),
		post("/v1/targets/imapd/rotate", `{"to":null,"to":1,"TO":2}`),
		post("/v1/targets/imapd/restore", `{"force":"yes"}`),
		post("/v1/targets/imapd/restore", strings.Repeat("[", 20000)),
		post("/v1/targets/imapd/restore", strings.Repeat(`{"force":`, 7000)),
		post("/v1/targets/imapd/adopt", "{\"file\":\"/\xff\\u0000\\ud800\"}"),
		post("/v1/targets/../../reload/manage", ""), post("/v1/targets/%2e%2e%2f/manage", ""),
		post("/v1/targets/"+strings.Repeat("x", 8000)+"/manage", ""),
		post("/v1/verify", strings.Repeat("x", maxBody+1)),
		"GET /v1/status HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("x", maxHeader*2) + "\r\n\r\n",
		strings.Repeat("A", 1<<20),
	} {
		f.Add([]byte(seed))
	}
	svc, log := &fake{}, new(notes)
	socket := scratch(f) + "/s"
	ln, err := Listen(socket, "")
	must(f, err)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- NewServer(svc, zerolog.New(log)).Serve(ctx, ln) }()
	f.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			f.Errorf("Serve: %v", err)
		}
	})
	f.Fuzz(func(t *testing.T, text []byte) {
		answer := exchange(t, socket, text)
		if len(answer) > 0 {
			resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
			if err != nil {
				t.Fatalf("answered %q: %v", answer, err)
			}
			if resp.StatusCode == http.StatusInternalServerError && !bytes.Contains(answer, []byte("cannot read the request's body")) {
				t.Errorf("answered %q", answer)
			}
		}
		if text := log.String(); strings.Contains(text, "panic") {
			t.Fatalf("the log says:\n%s", text)
		}
		for _, call := range svc.forget() {
			if verb, _, _ := strings.Cut(call, " "); !strings.Contains(" status plan events verify reload manage restore rotate reclone adopt generations ", " "+verb+" ") ||
				strings.Contains(call, "rotate") && strings.Contains(call, " -") {
				t.Errorf("the service was asked: %s", call)
			}
		}
		if _, err := NewClient(socket).Status(context.Background()); err != nil {
			t.Errorf("afterwards: %v", err)
		}
		svc.forget()
	})
}

// exchange sends text, says that this was all, and returns everything that comes back.
func exchange(t *testing.T, socket string, text []byte) []byte {
	t.Helper()
	c, err := net.Dial("unix", socket)
	must(t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(4 * recvTimeout))
	go func() {
		c.Write(text) // the server need not read it all
		c.(*net.UnixConn).CloseWrite()
	}()
	answer, err := io.ReadAll(c)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Fatalf("the connection stays open; so far it was answered %q", answer)
	}
	return answer
}
