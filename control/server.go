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

	"relinkd/api"
)

// What one connection may take of the daemon.
const (
	maxBody     = 64 << 10 // bytes
	maxHeader   = 16 << 10 // bytes
	sendTimeout = 10 * time.Second
	recvTimeout = 5 * time.Second
	stopTimeout = 5 * time.Second
)

// Daemon is what servers show: a watch.Watcher. Requests are answered concurrently: it must allow for that.
type Daemon interface {
	api.Service
	Snapshot() *api.Snapshot // it waits for nothing
}

// Server answers requests with what a Daemon says.
type Server struct {
	svc     Daemon
	log     zerolog.Logger
	metrics http.Handler

	heartbeat time.Duration   // of streams
	streams   context.Context // they end with it; Serve sets it

	gate sync.RWMutex // held for reading by each request while it is worked on
	shut bool         // under gate: no request is begun any more
}

// NewServer makes a server of svc. It logs every request to change something, with who asked.
func NewServer(svc Daemon, log zerolog.Logger) *Server {
	return &Server{svc: svc, log: log, metrics: metricsHandler(svc), heartbeat: heartbeat}
}

// Serve answers requests that arrive at ln until ctx ends; it then closes ln, gives the requests
// being worked on five seconds, cancels those that are left, and returns nil when the last one is
// done. Any other return is an error: ln failed. The Service is not called once Serve has
// returned.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	requests, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s.streams = ctx
	srv := &http.Server{
		Handler:           http.HandlerFunc(s.handle),
		BaseContext:       func(net.Listener) context.Context { return requests },
		ConnContext:       withConn,
		ReadHeaderTimeout: recvTimeout, // also how long a connection may be silent
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          stdlog.New(s.log.With().Str("part", "control").Logger(), "", 0),
	}
	srv.SetKeepAlivesEnabled(false) // a connection is one request, or is in somebody's way
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(limitSocket(ln)) }()

	var err error
	select {
	case err = <-failed:
		err = fmt.Errorf("cannot accept on the control socket %s: %v", ln.Addr(), err)
	case <-ctx.Done():
		grace, done := context.WithTimeout(requests, stopTimeout)
		defer done()
		srv.Shutdown(grace) // an error says only that requests are left, which cancel ends
		<-failed
	}
	cancel()
	srv.Close()
	s.gate.Lock()
	s.shut = true
	s.gate.Unlock()
	return err
}

// handle answers one HTTP request.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.shut { // it was read from its connection before that was closed
		return
	}
	if r.URL.Path == metricsPath && r.Method == http.MethodGet {
		connOf(r.Context()).work()
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(sendTimeout))
		s.metrics.ServeHTTP(w, r)
		return
	}
	answer, err := s.answer(w, r)
	if answer == (streamed{}) && err == nil {
		return
	}
	// Work may take long, sending not: the deadline starts here. An error is a client that went away.
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(sendTimeout))
	write(w, answer, err)
}

// answer decodes r, checks that its peer may ask for that, and does it.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) (any, error) {
	// The server's ReadTimeout would also cancel a request that is worked on for longer; so the
	// deadline is set for the body alone, which the server reads even if nobody else does, and taken
	// away again.
	rc := http.NewResponseController(w)
	if err := rc.SetReadDeadline(time.Now().Add(recvTimeout)); err != nil {
		return nil, fmt.Errorf("cannot set a deadline on the connection: %v", err)
	}
	conn := connOf(r.Context())
	if r.Method != http.MethodGet && (!conn.known || !conn.peer.mayChange()) {
		return nil, &textError{"this is for root alone: try again as root", ErrDenied}
	}
	req, err := decode(r.Method, r.URL.Path, r.URL.RawQuery, http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, err
	}
	if err := rc.SetReadDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("cannot lift the deadline of the connection: %v", err)
	}

	conn.work()
	if req.verb == verbEvents && wantsStream(r) {
		err := asStream(s.streams, r, req.after, func(ctx context.Context, after uint64) error {
			return follow(ctx, w, s.svc, req.target, after, s.heartbeat)
		})
		return streamed{}, err
	}
	answer, err := s.do(r.Context(), req)
	if r.Method != http.MethodGet {
		s.record(conn.peer, req, err)
	}
	return answer, err
}

// streamed is the answer to a request that has been answered already.
type streamed struct{}

// do asks the Service.
func (s *Server) do(ctx context.Context, req request) (any, error) {
	switch req.verb {
	case verbStatus:
		return s.svc.Status(ctx)
	case verbPlan:
		if req.target != "" {
			return s.svc.PlanManage(ctx, req.target)
		}
		return s.svc.Plan(ctx)
	case verbEvents:
		events, err := s.svc.Events(ctx, req.target, req.after)
		return eventsAnswer{events}, err
	case verbVerify:
		return s.svc.Verify(ctx, req.target)
	case verbReload:
		return s.svc.Reload(ctx)
	case verbManage:
		return s.svc.Manage(ctx, req.target)
	case verbRestore:
		return s.svc.Restore(ctx, req.target, req.force)
	case verbRotate:
		return s.svc.Rotate(ctx, req.target, req.to)
	case verbReclone:
		return s.svc.Reclone(ctx, req.target)
	case verbGenerations:
		return s.svc.Generations(ctx, req.target)
	case verbAdopt:
		if req.hash != "" {
			return s.svc.AdoptGeneration(ctx, req.target, req.hash)
		}
		return s.svc.Adopt(ctx, req.target, req.file)
	}
	return nil, errors.New("no such verb: " + string(req.verb))
}

// record logs who asked for what and what came of it.
func (s *Server) record(who peer, req request, err error) {
	e := s.log.Info()
	if err != nil {
		e = s.log.Warn().AnErr("error", err)
	}
	if req.target != "" {
		e = e.Str("target", req.target)
	}
	e.Uint32("uid", who.uid).Int32("pid", who.pid).Msg("asked to " + string(req.verb))
}
