package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"relinkd/api"
)

// serveWeb shows d on a port of this host until the test ends, and returns where.
func serveWeb(t testing.TB, d Daemon) (w *Web, address string) {
	t.Helper()
	w = NewWeb(d, zerolog.Nop())
	must(t, w.Listen("127.0.0.1:0"))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() { stop(); must(t, <-done) })
	return w, w.Addr().String()
}

// get asks for a path and returns the answer with its body.
func get(t testing.TB, method, address, path string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+address+path, nil)
	must(t, err)
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		if req.Header.Set(name, value); name == "Host" {
			req.Host = value
		}
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp, string(body)
}

func TestWeb(t *testing.T) {
	svc := &fake{snapshot: busy(2), status: busy(2).Status}
	_, address := serveWeb(t, svc)
	for _, test := range []struct {
		method, path string
		code         int
		says         string
	}{
		{"GET", "/metrics", 200, "\nrelinkd_threshold_processes{target=\"imapd\"} 200\n"},
		{"GET", "/v1/status", 200, `"current":"imapd_001"`},
		{"HEAD", "/v1/status", 200, ""},
		{"GET", "/v1/events?after=3&target=imapd", 200, `{"events":[{"id":4,`},
		{"GET", "/v1/events?after=x", 400, `"kind":"bad_request"`},
		{"GET", "/v1/status?after=3", 400, "takes no query"},
		{"GET", "/v1/live?x=1", 400, `"kind":"bad_request"`},
		{"GET", "/", 200, "relinkd"},
		{"GET", "/v1/plan", 404, ""},
		{"GET", "/../../etc/passwd", 404, ""},
		{"POST", "/v1/reload", 405, "nothing can be changed here"},
		{"POST", "/v1/targets/imapd/rotate", 405, ""},
		{"DELETE", "/v1/status", 405, ""},
		{"OPTIONS", "/", 405, ""},
	} {
		resp, body := get(t, test.method, address, test.path)
		if resp.StatusCode != test.code || !strings.Contains(body, test.says) {
			t.Errorf("%s %s: %s %.300s", test.method, test.path, resp.Status, body)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'self';", "Access-Control-Allow-Origin": "",
		} {
			if got := resp.Header.Get(name); !strings.HasPrefix(got, want) || want == "" && got != "" {
				t.Errorf("%s %s: %s is %q", test.method, test.path, name, got)
			}
		}
		if isData := strings.HasPrefix(test.path, "/v1/s") || strings.HasPrefix(test.path, "/m"); isData && test.code == 200 && resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be kept", test.path)
		}
	}
	for _, call := range svc.asked() {
		if verb, _, _ := strings.Cut(call, " "); verb != "status" && verb != "events" {
			t.Errorf("the service was asked: %s", call)
		}
	}
}

// A name that is not this host's reaches nothing on a loopback address (DNS rebinding).
func TestWebHost(t *testing.T) {
	_, address := serveWeb(t, &fake{})
	_, port, _ := net.SplitHostPort(address)
	for host, code := range map[string]int{
		"localhost": 200, "localhost:" + port: 200, "LOCALHOST": 200, "127.0.0.1": 200, "[::1]:" + port: 200, "127.0.0.1:" + port: 200,
		"evil.example": 421, "evil.example:" + port: 421, "localhost.evil.example": 421, "10.0.0.1": 421, "127.0.0.1.evil.example": 421,
	} {
		if resp, body := get(t, "GET", address, "/v1/status", "Host: "+host); resp.StatusCode != code {
			t.Errorf("as %s: %s, want %d: %s", host, resp.Status, code, body)
		}
	}
	if hosts(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, "10.0.0.1:1") != nil || hosts(&net.TCPAddr{IP: net.IPv4zero}, "0.0.0.0:1") != nil {
		t.Error("names are checked where relinkd cannot know them")
	}
}

// live reads server-sent events of a path.
func live(t testing.TB, address, path string) (next func() (event, data string), end func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+address+path, nil)
	must(t, err)
	req.Header.Set("Accept", eventStream)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != eventStream {
		t.Fatalf("%s: %s, %v", path, resp.Status, resp.Header)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxLine)
	return func() (event, data string) {
		for lines.Scan() {
			if e, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				event = e
			}
			if d, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return event, d
			}
		}
		return "", fmt.Sprint(lines.Err())
	}, func() { cancel(); resp.Body.Close() }
}

// A page hears of the status at once and when it changes, and of events as they come.
func TestLive(t *testing.T) {
	svc := &fake{events: make(chan api.Event), status: api.Status{Version: "1"}}
	_, address := serveWeb(t, svc)
	next, end := live(t, address, "/v1/live?after=5")
	defer end()
	seen := map[string]string{}
	for range 2 {
		event, data := next()
		seen[event] = data
	}
	var st api.Status
	if err := json.Unmarshal([]byte(seen["status"]), &st); err != nil || st.Version != "1" {
		t.Errorf("status: %q, %v", seen["status"], err)
	}
	if !strings.HasPrefix(seen["event"], `{"id":6,`) {
		t.Errorf("event: %q", seen["event"])
	}
	svc.events <- api.Event{ID: 7, Kind: api.EventGrowth}
	if event, data := next(); event != "event" || !strings.Contains(data, `"growth"`) {
		t.Errorf("then %q: %q", event, data)
	}
	svc.setStatus(api.Status{Version: "2"})
	if event, data := next(); event != "status" || !strings.Contains(data, `"version":"2"`) {
		t.Errorf("when the status has changed %q: %q", event, data)
	}
}

// Many pages cost one document a second, and what does not change is not sent.
func TestLiveIsShared(t *testing.T) {
	svc := &fake{}
	w, address := serveWeb(t, svc)
	for range 10 {
		next, end := live(t, address, "/v1/live")
		defer end()
		next()
	}
	first, err := w.feed.document(context.Background())
	must(t, err)
	again, err := w.feed.document(context.Background())
	must(t, err)
	if &first[0] != &again[0] {
		t.Error("the document is made for each")
	}
	asked := slices.DeleteFunc(svc.asked(), func(call string) bool { return call != "status" })
	if len(asked) > 5 {
		t.Errorf("for ten pages the status was asked for %d times", len(asked))
	}
}

// Streams end with the listener, and with Run.
func TestWebListensElsewhere(t *testing.T) {
	svc := &fake{}
	w, first := serveWeb(t, svc)
	next, end := live(t, first, "/v1/events")
	defer end()
	if event, _ := next(); event != "rotation" {
		t.Fatalf("the stream begins with %q", event)
	}
	must(t, w.Listen("[::1]:0"))
	if event, data := next(); event != "" {
		t.Errorf("the stream goes on: %q %q", event, data)
	}
	if _, err := net.Dial("tcp", first); err == nil {
		t.Error("the first address is still listened at")
	}
	second := w.Addr().String()
	if resp, _ := get(t, "GET", second, "/v1/status"); resp.StatusCode != 200 {
		t.Errorf("at the second address: %s", resp.Status)
	}

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	if err := w.Listen(taken.Addr().String()); err == nil || !strings.Contains(err.Error(), "somebody listens there already") {
		t.Errorf("a taken address: %v", err)
	}
	if w.Addr() == nil {
		t.Error("what was served before is not served any more")
	}
	must(t, w.Listen(""))
	if w.Addr() != nil {
		t.Error("it still listens")
	}
}

// Where nothing could be served it is tried again.
func TestWebTriesAgain(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	w := NewWeb(&fake{}, zerolog.Nop())
	if err := w.Listen(taken.Addr().String()); err == nil || w.Addr() != nil {
		t.Fatalf("listens at a taken address: %v", err)
	}
	must(t, taken.Close())
	w.retry()
	if w.Addr() == nil {
		t.Error("it does not listen")
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	must(t, w.Run(ctx))
	if w.Addr() != nil || w.Listen("127.0.0.1:0") != nil || w.Addr() != nil {
		t.Error("it listens after Run")
	}
}

// However many connections there are, another one is served; streams leave room for others.
func TestWebIsBounded(t *testing.T) {
	_, address := serveWeb(t, &fake{})
	for range maxWeb + 20 { // silent ones
		c, err := net.Dial("tcp", address)
		must(t, err)
		defer c.Close()
	}
	for range maxWeb / 2 {
		next, end := live(t, address, "/v1/events")
		defer end()
		next()
	}
	resp, body := get(t, "GET", address, "/v1/live")
	if resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "as many follow") {
		t.Errorf("one stream too many: %s %s", resp.Status, body)
	}
	if resp, _ := get(t, "GET", address, "/metrics"); resp.StatusCode != http.StatusOK {
		t.Errorf("metrics meanwhile: %s", resp.Status)
	}
}

// A body that is promised is not waited for.
func TestWebTakesNoBody(t *testing.T) {
	_, address := serveWeb(t, &fake{})
	c, err := net.Dial("tcp", address)
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(recvTimeout)))
	fmt.Fprint(c, "GET /v1/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
	answer, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, io.EOF) || !strings.Contains(string(answer), " 400 ") {
		t.Errorf("%v, %s", err, answer)
	}
}

// The socket has metrics too.
func TestMetricsOnTheSocket(t *testing.T) {
	socket, _ := serve(t, &fake{snapshot: busy(2)}, "")
	answer := raw(t, socket, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.1 200 OK") || !strings.Contains(answer, "relinkd_mark_processes") {
		t.Error(answer)
	}
}

// BenchmarkOpenPage is what the daemon does once a second while pages are open, however many: the status of
// 240 copies as a document; and what it sends each of them, if anything has changed.
func BenchmarkOpenPage(b *testing.B) {
	f := feed{daemon: &fake{status: busy(240).Status}}
	b.ReportAllocs()
	var text json.RawMessage
	for b.Loop() {
		f.text = nil
		var err error
		text, err = f.document(b.Context())
		must(b, err)
	}
	b.ReportMetric(float64(len(text)), "bytes")
}
