package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"relinkd/api"
)

// verb is what is asked for.
type verb string

const (
	verbStatus  verb = "status"
	verbPlan    verb = "plan"
	verbEvents  verb = "events"
	verbVerify  verb = "verify"
	verbReload  verb = "reload"
	verbManage  verb = "manage"
	verbRestore verb = "restore"
	verbRotate  verb = "rotate"
	verbReclone verb = "reclone"
	verbAdopt   verb = "adopt"

	verbGenerations verb = "generations"
)

const (
	apiPrefix    = "/v1/"
	targetPrefix = "/v1/targets/"
)

// request is one decoded request. Fields that its verb has no use for are zero.
type request struct {
	verb   verb
	target string // "" with verbVerify and verbEvents means all; with verbPlan it is to be managed
	after  uint64 // verbEvents
	force  bool   // verbRestore
	to     int    // verbRotate; 0 leaves the choice to the policy
	file   string // verbAdopt; absolute
	hash   string // verbAdopt, in the place of file: the first digits of a generation's
}

// decode reads one request and nothing beyond it. path is unescaped, query is not. Every error but one of
// the body's reader is an errBadRequest.
func decode(method, path, query string, body io.Reader) (request, error) {
	req, err := route(method, path)
	if err == nil {
		err = decodeQuery(&req, path, query)
	}
	if err != nil {
		return request{}, err
	}
	switch req.verb {
	case verbRestore:
		var b restoreBody
		err = decodeBody(body, &b)
		req.force = b.Force
	case verbRotate:
		var b rotateBody
		err = decodeBody(body, &b)
		req.to = b.To
		if err == nil && b.To < 0 {
			err = badRequest("cannot rotate to copy %d: copies count from 1", b.To)
		}
	case verbAdopt:
		var b adoptBody
		err = decodeBody(body, &b)
		req.file, req.hash = b.File, b.Generation
		switch {
		case err != nil:
		case b.Generation != "" && b.File != "":
			err = badRequest("cannot adopt both a file and a generation: give one of them")
		case b.Generation != "" && strings.Trim(strings.ToLower(b.Generation), "0123456789abcdef") != "":
			err = badRequest("cannot adopt generation %q: give the first digits of a hash", b.Generation)
		case b.Generation == "" && !filepath.IsAbs(b.File):
			err = badRequest("cannot adopt %q: give the absolute path of a file", b.File)
		}
	default:
		err = decodeBody(body, &struct{}{})
	}
	if err != nil {
		return request{}, err
	}
	return req, nil
}

// decodeQuery reads the query of a request for events: which target's, and after which.
func decodeQuery(req *request, path, query string) error {
	if query == "" {
		return nil
	}
	if req.verb != verbEvents {
		return badRequest("%s takes no query: put what you have to say in the body", path)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return badRequest("cannot understand the query: %v", err)
	}
	for key, given := range values {
		switch {
		case len(given) > 1:
			return badRequest("cannot understand the query: %q is there %d times", key, len(given))
		case key == "target":
			req.target = given[0]
		case key == "after":
			if req.after, err = eventID(given[0]); err != nil {
				return err
			}
		default:
			return badRequest("cannot understand the query: %q is neither target nor after", key)
		}
	}
	return nil
}

// eventID reads the ID of an event.
func eventID(text string) (uint64, error) {
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, badRequest("%q is no event's ID: those count from 1", text)
	}
	return id, nil
}

// resume is the ID of the last event that the client has seen: a browser that connects again sends it in
// a header, which counts more than the query that it began with.
func resume(r *http.Request, after uint64) (uint64, error) {
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		return eventID(last)
	}
	return after, nil
}

// eventsAnswer is the body of an answer with events.
type eventsAnswer struct {
	Events []api.Event `json:"events"`
}

// The bodies of the verbs that take one.
type (
	restoreBody struct {
		Force bool `json:"force"`
	}
	rotateBody struct {
		To int `json:"to"`
	}
	adoptBody struct {
		File       string `json:"file,omitempty"`
		Generation string `json:"generation,omitempty"` // a hash, or its first digits
	}
)

// route finds out which verb is meant, and of which target.
func route(method, path string) (request, error) {
	if rest, ok := strings.CutPrefix(path, targetPrefix); ok {
		// A target's name holds no slash, but what the client sends may: the last one counts.
		if i := strings.LastIndexByte(rest, '/'); i > 0 {
			switch v := verb(rest[i+1:]); {
			case method == http.MethodGet && (v == verbPlan || v == verbGenerations):
				return request{verb: v, target: rest[:i]}, nil
			case method != http.MethodPost:
			case slices.Contains([]verb{verbManage, verbRestore, verbRotate, verbReclone, verbAdopt, verbVerify}, v):
				return request{verb: v, target: rest[:i]}, nil
			}
		}
	} else if rest, ok := strings.CutPrefix(path, apiPrefix); ok {
		switch v := verb(rest); {
		case method == http.MethodGet && (v == verbStatus || v == verbPlan || v == verbEvents || v == verbGenerations):
			return request{verb: v}, nil
		case method == http.MethodPost && (v == verbVerify || v == verbReload):
			return request{verb: v}, nil
		}
	}
	return request{}, badRequest("this relinkd does not know %q %q: "+
		"compare `relinkd version` with the version in `relinkd status`", method, path)
}

// requestPath is the unescaped path that route understands as v of target.
func requestPath(v verb, target string) string {
	if target == "" {
		return apiPrefix + string(v)
	}
	return targetPrefix + target + "/" + string(v)
}

// decodeBody reads at most one JSON object into v, which must point to a struct. An empty body is
// an empty object.
func decodeBody(body io.Reader, v any) error {
	text, err := io.ReadAll(body)
	if err != nil {
		if tooBig := new(http.MaxBytesError); errors.As(err, &tooBig) {
			return badRequest("the request's body is longer than %d bytes", tooBig.Limit)
		}
		return fmt.Errorf("cannot read the request's body: %v", err)
	}
	if len(text) == 0 {
		return nil
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return badRequest("cannot understand the request's body: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return badRequest("cannot understand the request's body: more than one JSON value")
	}
	return nil
}

func badRequest(format string, args ...any) error {
	return &textError{fmt.Sprintf(format, args...), errBadRequest}
}
