package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"relinkd/api"
)

func TestEvents(t *testing.T) {
	svc := &fake{}
	socket, _ := serve(t, svc, "")
	got, err := NewClient(socket).Events(context.Background(), "a b&c", 7)
	must(t, err)
	want, _ := (&fake{}).Events(context.Background(), "a b&c", 7)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-sent +received:\n%s", diff)
	}
	if diff := cmp.Diff([]string{`events "a b&c" 7`}, svc.asked()); diff != "" {
		t.Error(diff)
	}
}

// What is told reaches the client as it happens, and no error is made of a client that has enough.
func TestFollow(t *testing.T) {
	svc := &fake{events: make(chan api.Event)}
	socket, _ := serve(t, svc, "")
	ctx, enough := context.WithCancel(context.Background())
	defer enough()
	got := make(chan api.Event, 10)
	ended := make(chan error, 1)
	go func() {
		ended <- NewClient(socket).Follow(ctx, "imapd", 41, func(e api.Event) error { got <- e; return nil })
	}()
	if e := <-got; e.ID != 42 || e.Message != "rotated\nat once" || e.Target != "imapd" {
		t.Errorf("what is kept: %+v", e)
	}
	sent := api.Event{ID: 43, Kind: api.EventGrowth, Message: strings.Repeat("ä", 10000)}
	svc.events <- sent
	if diff := cmp.Diff(sent, <-got); diff != "" {
		t.Errorf("what is new (-sent +received):\n%s", diff)
	}
	enough()
	if err := <-ended; err != nil {
		t.Errorf("Follow: %v", err)
	}
}

// What the caller says of an event, and what the daemon says of the question, is what Follow returns.
func TestFollowErrors(t *testing.T) {
	socket, _ := serve(t, &fake{}, "")
	if err := NewClient(socket).Follow(context.Background(), "", 0, func(api.Event) error { return errDisk }); !errors.Is(err, errDisk) {
		t.Errorf("the caller's error: %v", err)
	}
	socket, _ = serve(t, &fake{err: fmt.Errorf("no target is called imap: %w", api.ErrNoTarget)}, "")
	if err := NewClient(socket).Follow(context.Background(), "imap", 0, nil); !errors.Is(err, api.ErrNoTarget) {
		t.Errorf("no such target: %v", err)
	}
	if err := NewClient(socket+"x").Follow(context.Background(), "", 0, nil); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("no daemon: %v", err)
	}
}

// A daemon that stops waits for no stream.
func TestStopEndsStreams(t *testing.T) {
	socket, stop := serve(t, &fake{}, "")
	told, ended := make(chan api.Event, 1), make(chan error, 1)
	go func() {
		ended <- NewClient(socket).Follow(context.Background(), "", 0, func(e api.Event) error { told <- e; return nil })
	}()
	<-told
	began := time.Now()
	must(t, stop())
	if took := time.Since(began); took >= stopTimeout {
		t.Errorf("stopping took %v, as long as for a request that does not end", took)
	}
	if err := <-ended; !errors.Is(err, ErrEnded) {
		t.Errorf("Follow: %v, want ErrEnded", err)
	}
}

// On the wire: the ID, the kind and the document, and a browser that comes again says what it has seen.
func TestStreamAsSent(t *testing.T) {
	svc := &fake{}
	socket, _ := serve(t, svc, "")
	c, err := net.Dial("unix", socket)
	must(t, err)
	defer c.Close()
	fmt.Fprint(c, "GET /v1/events?target=imapd&after=3 HTTP/1.1\r\nHost: x\r\nAccept: text/html, text/event-stream;q=0.9\r\nLast-Event-ID: 8\r\n\r\n")
	var lines []string
	for s := bufio.NewScanner(c); s.Scan() && !strings.HasPrefix(s.Text(), "data:"); {
		lines = append(lines, s.Text())
	}
	for _, want := range []string{"HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Cache-Control: no-store", "id: 9", "event: rotation"} {
		if !strings.Contains(strings.Join(lines, "\n"), want) {
			t.Errorf("%q is not among %q", want, lines)
		}
	}
	if got := strings.Join(svc.asked(), ", "); got != `events "imapd" 8, events "imapd" 8` {
		t.Errorf("asked: %s", got)
	}
}

// A stream without news says now and then that it is there.
func TestHeartbeat(t *testing.T) {
	ln, err := Listen(scratch(t)+"/s", "")
	must(t, err)
	s := NewServer(&fake{}, zerolog.Nop())
	s.heartbeat = time.Millisecond
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln) }()
	defer func() { stop(); must(t, <-served) }()
	c, err := net.Dial("unix", ln.Addr().String())
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	fmt.Fprint(c, "GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
	beats := 0
	for s := bufio.NewScanner(c); beats < 3; {
		if !s.Scan() {
			t.Fatalf("after %d heartbeats: %v", beats, s.Err())
		}
		if s.Text() == ": " {
			beats++
		}
	}
}

// Streams leave room for what is answered at once, and one that ends makes room for another.
func TestStreamsAreBounded(t *testing.T) {
	socket, _ := serve(t, &fake{}, "")
	ctx, enough := context.WithCancel(context.Background())
	defer enough()
	told, ended := make(chan api.Event), make(chan error, maxTrusted)
	for range maxTrusted / 2 {
		go func() {
			ended <- NewClient(socket).Follow(ctx, "", 0, func(e api.Event) error { told <- e; return nil })
		}()
		<-told
	}
	err := NewClient(socket).Follow(ctx, "", 0, nil)
	if err == nil || !strings.Contains(err.Error(), "as many follow the events already as may") {
		t.Errorf("one too many: %v", err)
	}
	if _, err := NewClient(socket).Status(ctx); err != nil {
		t.Errorf("meanwhile: %v", err)
	}
	enough()
	for range maxTrusted / 2 {
		must(t, <-ended)
	}
	waitFor(t, "room for another stream", func() bool {
		err := NewClient(socket).Follow(context.Background(), "", 0, func(api.Event) error { return errDisk })
		return errors.Is(err, errDisk)
	})
}

// deaf is a Service that tells of more than anybody can take.
type deaf struct {
	fake
	ended chan error
}

func (d *deaf) Follow(ctx context.Context, _ string, _ uint64, tell func(api.Event) error) error {
	for {
		if err := tell(api.Event{ID: 1, Message: strings.Repeat("x", 1<<16)}); err != nil {
			d.ended <- err
			return err
		}
	}
}

// A client that does not read is given up, and keeps nobody.
func TestSlowClientIsDropped(t *testing.T) {
	if testing.Short() {
		t.Skip("left out of a short run: takes as long as a client may take to read")
	}
	t.Parallel()
	svc := &deaf{ended: make(chan error, 1)}
	socket, _ := serve(t, svc, "")
	c, err := net.Dial("unix", socket)
	must(t, err)
	defer c.Close()
	fmt.Fprint(c, "GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
	select {
	case err := <-svc.ended:
		if !errors.Is(err, errGone) {
			t.Errorf("ended by %v", err)
		}
	case <-time.After(2 * sendTimeout):
		t.Error("it is still sent to")
	}
}
