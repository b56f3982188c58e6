package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// write answers with a document or, where there is one, with the error.
func write(w http.ResponseWriter, answer any, err error) {
	status := http.StatusOK
	if err != nil {
		status, answer = encodeError(err)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		status, answer = encodeError(fmt.Errorf("cannot encode the answer: %v", err))
		text, _ = json.Marshal(answer) // two strings
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(text, '\n')) // an error is a client that went away
}

// asStream has send answer r with what goes on after the event with the number that it is given, until the client
// is gone or end is done. A listener has room for so many streams.
func asStream(end context.Context, r *http.Request, after uint64, send func(ctx context.Context, after uint64) error) error {
	after, err := resume(r, after)
	if err != nil {
		return err
	}
	if !connOf(r.Context()).stream() {
		return errCrowded
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(end, cancel)()
	return send(ctx, after)
}
