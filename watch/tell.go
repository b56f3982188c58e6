package watch

import (
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"relinkd/api"
)

// What a target has to tell goes to the log and the history, and to operators who wait for the target to
// settle.

// happened tells the log and the history of e, whose target is this one.
func (t *target) happened(level zerolog.Level, e api.Event) {
	e.Target = t.name
	e = t.history.add(e)
	line := logged(t.log.WithLevel(level), &e)
	if t.src != nil {
		line = line.Str(api.FieldGeneration, api.ShortHash(t.src.SHA256()))
	}
	line.Msg(e.Message)
}

// did tells what was done. The message of e is made of the format.
func (t *target) did(e api.Event, format string, args ...any) {
	e.Message = fmt.Sprintf(format, args...)
	t.happened(zerolog.InfoLevel, e)
	for _, w := range t.waiters {
		w.report.Done = append(w.report.Done, e.Message)
	}
}

// warn tells what an operator must know, as did does.
func (t *target) warn(e api.Event, format string, args ...any) {
	e.Message = fmt.Sprintf(format, args...)
	t.happened(zerolog.WarnLevel, e)
	for _, w := range t.waiters {
		w.report.Warnings = append(w.report.Warnings, e.Message)
	}
}

// wrong tells what went wrong and what comes of it, and keeps it for the status.
func (t *target) wrong(level zerolog.Level, what, consequence string) {
	t.remember(what)
	t.happened(level, api.Event{Kind: api.EventError, Reason: what, Message: consequence + ": " + what})
}

// remember keeps what went wrong for the status, and counts it.
func (t *target) remember(what string) {
	t.lastErr, t.measures.LastErrorAt = t.name+": "+what, time.Now()
	t.measures.Errors++
}

// repair is an event about a copy, or "" for something else, that is not as it should be.
func repair(reason, copy string) api.Event {
	return api.Event{Kind: api.EventRepair, Reason: reason, To: copy}
}
