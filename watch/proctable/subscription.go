package proctable

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"relinkd/watch/procevents"
)

// How a subscription is kept.
const (
	// heartbeat is how often the reader looks up when no event comes. Each time costs more than it
	// seems: it wakes the whole runtime.
	heartbeat = 5 * time.Second
	// retryEvents is how often events are asked for again when they are not to be had.
	retryEvents = time.Minute
)

// Why a subscription ends.
var (
	errSilent   = errors.New("the kernel did not tell of a process that a census has found")
	errUnwanted = errors.New(`census.events is "off"`)
)

// SetEvents changes Options.Events.
func (t *Table) SetEvents(e Events) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.source.wanted == e {
		return
	}
	t.source.wanted = e
	select {
	case t.switched <- struct{}{}:
	default:
	}
}

// runEvents reads process events for as long as they are wanted and ctx lasts, and subscribes anew
// when that fails.
func (t *Table) runEvents(ctx context.Context) error {
	anew := false // the kernel has been silent, and is tried once more at once
	for ctx.Err() == nil {
		err := errUnwanted
		if t.eventsWanted() {
			err = t.listen(ctx)
		}
		if ctx.Err() != nil {
			break
		}
		if err == nil {
			continue // events are wanted otherwise
		}
		if anew = errors.Is(err, errSilent) && !anew; !anew {
			t.without(err)
			t.pause(ctx, errors.Is(err, errUnwanted))
		}
	}
	return nil
}

// eventsWanted reports whether events are to be asked for.
func (t *Table) eventsWanted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.source.wanted != EventsOff
}

// without notes why there are no events.
func (t *Table) without(why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.source.tried = true
	t.checkReady()
	if t.source.reason == why.Error() {
		return
	}
	t.source.reason = why.Error()
	level := zerolog.InfoLevel
	if t.source.missing() {
		level = zerolog.ErrorLevel
	}
	t.said(Change{Level: level, To: accountingCensus, Reason: t.source.reason, Message: "processes are counted by census only: " + t.source.reason})
}

// pause waits until events are wanted otherwise or, when it is not for that alone, for retryEvents.
func (t *Table) pause(ctx context.Context, switchedOnly bool) {
	timer := time.NewTimer(retryEvents)
	defer timer.Stop()
	over := timer.C
	if switchedOnly {
		over = nil
	}
	select {
	case <-ctx.Done():
	case <-t.switched:
	case <-over:
	}
}

// listen subscribes, and reads events until that fails; it returns why. nil is for when ctx has ended or
// events are wanted otherwise.
func (t *Table) listen(ctx context.Context) error {
	conn, err := t.subscribe(t.buffer)
	if err != nil {
		return err
	}
	t.attach(conn)
	defer t.detach()
	stopped := make(chan struct{})
	defer func() { <-stopped }()
	over, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer close(stopped)
		select {
		case <-over.Done():
		case <-t.switched:
		}
		conn.Stop()
	}()
	for {
		arrived, err := conn.Wait(heartbeat)
		if err != nil {
			return err
		}
		select {
		case <-stopped:
			return nil
		default:
		}
		if arrived {
			if err := conn.Rest(t.leisure()); err != nil {
				return err
			}
		}
		if err := t.read(); err != nil {
			return err
		}
	}
}

// attach makes conn what events come from. There are no counts of them before the next census.
func (t *Table) attach(conn *procevents.Connector) {
	t.counting.Lock()
	defer t.counting.Unlock()
	t.conn = conn
	t.live.start()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.source.listening, t.source.tried, t.source.reason = true, true, ""
	t.source.subscriptions++
	t.hurry()
	message := "processes are counted by the kernel's process events"
	if t.source.subscriptions > 1 {
		message += ", which it was asked for anew"
	}
	t.said(Change{Level: zerolog.InfoLevel, From: accountingCensus, To: accountingEvents, Message: message})
}

// detach ends the subscription. Counts are those of censuses again.
func (t *Table) detach() {
	t.counting.Lock()
	defer t.counting.Unlock()
	t.conn.Close()
	t.conn = nil
	t.live.stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.source.listening, t.source.sound = false, false
	t.hurry()
}
