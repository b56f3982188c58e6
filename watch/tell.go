package watch

import (
	"fmt"
	"time"

	"github.com/rs/zerolog"
)

// What a target has to tell goes to the log and the history, and to operators who wait for the target to
// settle.

// happened tells the log and the history of e, whose target is this one.
func (t *target) happened(level zerolog.Level, e Event) {
	e.Target = t.name
	e = t.history.add(e)
	line := e.logged(t.log.WithLevel(level))
	if t.src != nil {
		line = line.Str(FieldGeneration, ShortHash(t.src.SHA256()))
	}
	line.Msg(e.Message)
}

// did tells what was done. The message of e is made of the format.
func (t *target) did(e Event, format string, args ...any) {
	e.Message = fmt.Sprintf(format, args...)
	t.happened(zerolog.InfoLevel, e)
	for _, w := range t.waiters {
		w.report.Done = append(w.report.Done, e.Message)
	}
}

// warn tells what an operator must know, as did does.
func (t *target) warn(e Event, format string, args ...any) {
	e.Message = fmt.Sprintf(format, args...)
	t.happened(zerolog.WarnLevel, e)
	for _, w := range t.waiters {
		w.report.Warnings = append(w.report.Warnings, e.Message)
	}
}

// wrong tells what went wrong and what comes of it, and keeps it for the status.
func (t *target) wrong(level zerolog.Level, what, consequence string) {
	t.remember(what)
	t.happened(level, Event{Kind: EventError, Reason: what, Message: consequence + ": " + what})
}

// remember keeps what went wrong for the status, and counts it.
func (t *target) remember(what string) {
	t.lastErr, t.measures.LastErrorAt = t.name+": "+what, time.Now()
	t.measures.Errors++
}

// ShortHash is the beginning of a generation's hash, by which people know it.
func ShortHash(sha256 string) string { return sha256[:min(len(sha256), 12)] }

// repair is an event about a copy, or "" for something else, that is not as it should be.
func repair(reason, copy string) Event { return Event{Kind: EventRepair, Reason: reason, To: copy} }
