package control

import (
	"errors"
	"net/http"

	"relinkd/api"
)

// Errors that a caller of Listen or of a Client may look for with errors.Is. A Client also returns
// api.ErrNoTarget and api.ErrRefused, as the daemon said them.
var (
	// ErrNoDaemon means that nobody listens on the socket; nothing was asked of anyone.
	ErrNoDaemon = errors.New("no relinkd is running")
	// ErrRunning means that another daemon listens on the socket.
	ErrRunning = errors.New("another relinkd is running")
	// ErrDenied means that the caller may connect but not do this.
	ErrDenied = errors.New("permission denied")
)

// errBusy is a request that has to wait for others.
var errBusy = errors.New("busy")

// errCrowded is one stream too many.
var errCrowded = &textError{"as many follow the events already as may: try again when one of them has ended", errBusy}

// errBadRequest is a request that no relinkd of this version makes.
var errBadRequest = errors.New("bad request")

// kind tells the client which error an answer stands for.
type kind string

const (
	kindNoTarget   kind = "no_target"
	kindRefused    kind = "refused"
	kindDenied     kind = "denied"
	kindBadRequest kind = "bad_request"
	kindBusy       kind = "busy"
	kindInternal   kind = "internal"
)

// failure is the body of every answer that is not 200.
type failure struct {
	Error string `json:"error"`
	Kind  kind   `json:"kind"`
}

// spelling pairs each kind with the error it stands for and the HTTP status it goes with. What is
// not listed is kindInternal.
var spelling = [...]struct {
	kind   kind
	err    error
	status int
}{
	{kindNoTarget, api.ErrNoTarget, http.StatusNotFound},
	{kindRefused, api.ErrRefused, http.StatusConflict},
	{kindDenied, ErrDenied, http.StatusForbidden},
	{kindBadRequest, errBadRequest, http.StatusBadRequest},
	{kindBusy, errBusy, http.StatusServiceUnavailable},
}

// encodeError is the answer that err becomes.
func encodeError(err error) (status int, body failure) {
	for _, s := range spelling {
		if errors.Is(err, s.err) {
			return s.status, failure{err.Error(), s.kind}
		}
	}
	return http.StatusInternalServerError, failure{err.Error(), kindInternal}
}

// decodeError is the error that an answer stands for. A kind that this version does not know
// keeps its text.
func decodeError(body failure) error {
	for _, s := range spelling {
		if body.Kind == s.kind {
			return &textError{body.Error, s.err}
		}
	}
	return errors.New(body.Error)
}

// textError says text and is a kind of err. The text stands alone: it already holds what err would
// add to it.
type textError struct {
	text string
	err  error
}

func (e *textError) Error() string { return e.text }
func (e *textError) Unwrap() error { return e.err }
