package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"relinkd/api"
)

// heartbeat is how often a stream without news says that it is there, so that both sides notice when
// the other one is not.
const heartbeat = 15 * time.Second

// eventStream is the media type of server-sent events.
const eventStream = "text/event-stream"

// wantsStream reports whether r asks for server-sent events.
func wantsStream(r *http.Request) bool {
	for _, accepted := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(accepted, ",") {
			if kind, _, err := mime.ParseMediaType(part); err == nil && kind == eventStream {
				return true
			}
		}
	}
	return false
}

// stream is an answer of server-sent events. A client that does not take what is sent within
// sendTimeout is given up; whoever sends never waits for longer. It is safe for concurrent use.
type stream struct {
	mu sync.Mutex
	w  http.ResponseWriter
	rc *http.ResponseController
}

// errGone is a client that does not take what it is sent.
var errGone = errors.New("the client is gone")

// openStream begins the answer.
func openStream(w http.ResponseWriter) (*stream, error) {
	w.Header().Set("Content-Type", eventStream)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	s := &stream{w: w, rc: http.NewResponseController(w)}
	return s, s.write(": relinkd\n\n")
}

func (s *stream) write(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.rc.SetWriteDeadline(time.Now().Add(sendTimeout))
	if err == nil {
		_, err = s.w.Write([]byte(text))
	}
	if err == nil {
		err = s.rc.Flush()
	}
	if err != nil {
		return fmt.Errorf("%w: %v", errGone, err)
	}
	return nil
}

// send sends one message; id 0 is for one that nobody asks for what came after it.
func (s *stream) send(id uint64, event string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	head := ""
	if id > 0 {
		head = fmt.Sprintf("id: %d\n", id)
	}
	return s.write(fmt.Sprintf("%sevent: %s\ndata: %s\n\n", head, event, text))
}

// beat sends a comment every now and then until ctx ends, or the client is gone: then it calls gone.
func (s *stream) beat(ctx context.Context, every time.Duration, gone func()) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if s.write(": \n\n") != nil {
				gone()
				return
			}
		}
	}
}

// follow answers with events as they come, until ctx ends or the client is gone.
func follow(ctx context.Context, w http.ResponseWriter, svc api.Service, target string, after uint64, every time.Duration) error {
	// What is wrong with the question is told before the answer begins.
	if _, err := svc.Events(ctx, target, after); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := openStream(w)
	if err != nil {
		return nil
	}
	var beating sync.WaitGroup
	defer beating.Wait() // the answer must not be written to any more when this has returned
	defer cancel()
	beating.Go(func() { s.beat(ctx, every, cancel) })
	_ = svc.Follow(ctx, target, after, func(e api.Event) error { // whoever stops ends the stream, and that is all
		return s.send(e.ID, string(e.Kind), e)
	})
	return nil
}
