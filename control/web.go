package control

import (
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"relinkd/config"
	"relinkd/control/page"
)

const (
	idleTimeout = time.Minute // of a connection between two requests
	retryListen = time.Minute // between two tries to listen where that failed
	liveGap     = time.Second // between two documents of a live stream
)

// Web shows a Daemon on a TCP port, and can change nothing. Whoever reaches the port may look.
type Web struct {
	daemon    Daemon
	log       zerolog.Logger
	metrics   http.Handler
	page      http.Handler
	heartbeat time.Duration
	feed      feed

	mu      sync.Mutex
	wanted  string      // the address, "" for none
	serving *webServing // nil while nothing is served
	ended   bool        // Run has returned
}

// webServing is one listener with its server.
type webServing struct {
	address string
	ln      net.Listener
	srv     *http.Server
	stop    context.CancelFunc // ends the streams
	done    chan struct{}
}

// NewWeb shows d, nowhere yet.
func NewWeb(d Daemon, log zerolog.Logger) *Web {
	return &Web{daemon: d, log: log, metrics: metricsHandler(d), page: page.Handler(), heartbeat: heartbeat, feed: feed{daemon: d}}
}

// Listen has d shown at another address, "" for none, and returns when that is so. After an error all is
// as it was before, and Run tries again where nothing was shown before.
func (w *Web) Listen(address string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return nil
	}
	before := w.serving
	if before != nil && before.address == address {
		w.wanted = address
		return nil
	}
	if before != nil { // the new address may be the old port
		before.end()
		w.serving = nil
	}
	if w.wanted = address; address == "" {
		return nil
	}
	err := w.open(address)
	if err != nil && before != nil {
		w.wanted = before.address
		return errors.Join(err, w.open(before.address))
	}
	return err
}

// Addr is where d is shown, nil for nowhere.
func (w *Web) Addr() net.Addr {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.serving == nil {
		return nil
	}
	return w.serving.ln.Addr()
}

// Run tries to listen again, where Listen has failed, until ctx ends; then nothing is shown any more.
func (w *Web) Run(ctx context.Context) error {
	tick := time.NewTicker(retryListen)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			w.close()
			return nil
		case <-tick.C:
			w.retry()
		}
	}
}

func (w *Web) retry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.serving == nil && w.wanted != "" && w.open(w.wanted) == nil {
		w.log.Info().Str("address", w.wanted).Msg("metrics are served at last")
	}
}

func (w *Web) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	if w.serving != nil {
		w.serving.end()
		w.serving = nil
	}
}

// open begins to serve at the address. mu is held.
func (w *Web) open(address string) error {
	ln, err := net.Listen("tcp", address)
	if errors.Is(err, unix.EADDRINUSE) {
		return fmt.Errorf("cannot serve metrics at %s: somebody listens there already (`ss -ltnp` tells who): set metrics.listen to another port", address)
	}
	if errors.Is(err, unix.EAFNOSUPPORT) {
		file, then := config.DropIn(config.Unit, "metrics-tcp.conf")
		return fmt.Errorf("cannot serve metrics at %s: the sandbox of %s lets it have no TCP port: copy /usr/share/doc/relinkd/examples/metrics-tcp.conf to %s, then: %s", address, config.Unit, file, then)
	}
	if err != nil {
		return fmt.Errorf("cannot serve metrics at %s: %v: set metrics.listen to an address of this host", address, trimNet(err))
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &webServing{address: address, ln: ln, stop: cancel, done: make(chan struct{})}
	s.srv = &http.Server{
		Handler:           w.handler(ctx, ln.Addr(), address),
		ConnContext:       withConn,
		ConnState:         restWhenIdle,
		ReadHeaderTimeout: recvTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          stdlog.New(w.log.With().Str("part", "web").Logger().Level(zerolog.WarnLevel), "", 0),
	}
	go func() {
		defer close(s.done)
		if err := s.srv.Serve(limitWeb(ln)); !errors.Is(err, http.ErrServerClosed) {
			w.log.Error().Err(err).Str("address", address).Msg("metrics are no longer served")
		}
	}()
	w.serving = s
	return nil
}

// restWhenIdle lets go of a connection that waits for another request, where somebody needs its place.
func restWhenIdle(c net.Conn, state http.ConnState) {
	if state == http.StateIdle {
		c.(*conn).rest()
	}
}

// end stops serving; requests that are being answered have a moment for it.
func (s *webServing) end() {
	s.stop()
	grace, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	s.srv.Shutdown(grace) // an error says only that some are left
	s.srv.Close()
	<-s.done
}

// handler answers everything, as long as ctx lasts.
func (w *Web) handler(ctx context.Context, at net.Addr, address string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(metricsPath, data(w.metrics))
	mux.Handle("/v1/status", data(w.json(func(ctx context.Context, req request) (any, error) { return w.daemon.Status(ctx) })))
	mux.Handle("/v1/events", data(w.events(ctx)))
	mux.Handle("/v1/live", data(w.stream(ctx, w.live)))
	mux.Handle("/", w.page)
	return guard(hosts(at, address), mux)
}

// data marks what is of the moment.
func data(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// events answers with events, as JSON or as a stream.
func (w *Web) events(ctx context.Context) http.Handler {
	asJSON := w.json(func(ctx context.Context, req request) (any, error) {
		events, err := w.daemon.Events(ctx, req.target, req.after)
		return eventsAnswer{events}, err
	})
	streams := w.stream(ctx, func(ctx context.Context, rw http.ResponseWriter, req request) error {
		return follow(ctx, rw, w.daemon, req.target, req.after, w.heartbeat)
	})
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if wantsStream(r) {
			streams.ServeHTTP(rw, r)
			return
		}
		asJSON.ServeHTTP(rw, r)
	})
}

// json answers with a document.
func (w *Web) json(ask func(context.Context, request) (any, error)) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		req, err := lookRequest(r)
		var answer any
		if err == nil {
			answer, err = ask(r.Context(), req)
		}
		write(rw, answer, err)
	})
}

// stream answers with what goes on until ctx ends.
func (w *Web) stream(ctx context.Context, send func(context.Context, http.ResponseWriter, request) error) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		req, err := lookRequest(r)
		if err == nil {
			err = asStream(ctx, r, req.after, func(ctx context.Context, after uint64) error {
				req.after = after
				return send(ctx, rw, req)
			})
		}
		if err != nil {
			write(rw, nil, err)
		}
	})
}

// lookRequest is what a request for events wants to know; of the status there is nothing to be said.
func lookRequest(r *http.Request) (request, error) {
	req := request{verb: verbStatus}
	if r.URL.Path != "/v1/status" {
		req.verb = verbEvents
	}
	return req, decodeQuery(&req, r.URL.Path, r.URL.RawQuery)
}
