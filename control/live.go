package control

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"relinkd/api"
)

// feed is the status as a document, made once for all who watch it.
type feed struct {
	daemon Daemon

	mu   sync.Mutex
	made time.Time
	text json.RawMessage
}

// document is the status, not older than liveGap.
func (f *feed) document(ctx context.Context) (json.RawMessage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.text != nil && time.Since(f.made) < liveGap*9/10 {
		return f.text, nil
	}
	st, err := f.daemon.Status(ctx)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(st)
	if err != nil {
		return nil, err
	}
	f.text, f.made = text, time.Now()
	return text, nil
}

// live answers with the status as it changes and the events as they come, until ctx ends or the client is
// gone.
func (w *Web) live(ctx context.Context, rw http.ResponseWriter, req request) error {
	// What is wrong with the question is told before the answer begins.
	if _, err := w.daemon.Events(ctx, req.target, req.after); err != nil {
		return err
	}
	document, err := w.feed.document(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := openStream(rw)
	if err != nil {
		return nil
	}
	var tasks sync.WaitGroup
	defer tasks.Wait() // the answer must not be written to any more when this has returned
	defer cancel()
	tasks.Go(func() { s.beat(ctx, w.heartbeat, cancel) })
	tasks.Go(func() {
		defer cancel()
		_ = w.daemon.Follow(ctx, req.target, req.after, func(e api.Event) error { // whoever stops ends the stream
			return s.send(e.ID, "event", e)
		})
	})
	tick := time.NewTicker(liveGap)
	defer tick.Stop()
	for sent := json.RawMessage(nil); ; {
		if !bytes.Equal(document, sent) {
			if s.send(0, "status", document) != nil {
				return nil
			}
			sent = document
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if document, err = w.feed.document(ctx); err != nil {
				return nil
			}
		}
	}
}
