package watch

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"relinkd/api"
	"relinkd/watch/proctable"
)

// kept is how many events of a target, and of the daemon itself, are kept: so many rotations, and so
// many of all other kinds. What rotates all day long pushes nothing else out.
const kept = 1000

// history is the last events of all targets. Those who add to it never wait for those who read: a reader
// that is too slow misses what was pushed out meanwhile. It is safe for concurrent use.
type history struct {
	mu      sync.Mutex
	last    uint64            // the ID of the last event
	targets map[string]*diary // by name; "" is the daemon itself
	news    chan struct{}     // closed with the next event; nil while nobody waits for it
}

// diary is the events of one target.
type diary struct{ rotations, others ring }

// ring is the last events of a kind, in the order of their IDs.
type ring struct {
	events []api.Event
	next   int // the oldest one, where there are as many as are kept
}

func newHistory() *history { return &history{targets: map[string]*diary{}} }

// add keeps e, and gives it its ID and, unless it has one, its time.
func (h *history) add(e api.Event) api.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	e.ID = h.last
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	d := h.targets[e.Target]
	if d == nil {
		d = new(diary)
		h.targets[e.Target] = d
	}
	if e.Kind == api.EventRotation {
		d.rotations.add(e)
	} else {
		d.others.add(e)
	}
	if h.news != nil {
		close(h.news)
		h.news = nil
	}
	return e
}

func (r *ring) add(e api.Event) {
	if len(r.events) < kept {
		r.events = append(r.events, e)
		return
	}
	r.events[r.next] = e
	r.next = (r.next + 1) % kept
}

// after appends to found those of r that came after the event with that ID.
func (r *ring) after(id uint64, found []api.Event) []api.Event {
	for i := range r.events {
		if e := &r.events[(r.next+i)%len(r.events)]; e.ID > id {
			found = append(found, *e)
		}
	}
	return found
}

// knows reports whether anything is kept of the target.
func (h *history) knows(target string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.targets[target] != nil
}

// after is what is kept of a target, or of all and the daemon itself for "", since the event with the
// ID after, in the order of IDs. An ID that was never given is of another daemon's: everything is since.
// The channel is closed when there is more.
func (h *history) after(target string, after uint64) ([]api.Event, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.news == nil {
		h.news = make(chan struct{})
	}
	if after > h.last {
		after = 0
	}
	found := []api.Event{}
	for name, d := range h.targets {
		if target == "" || name == target {
			found = d.others.after(after, d.rotations.after(after, found))
		}
	}
	slices.SortFunc(found, func(a, b api.Event) int { return cmp.Compare(a.ID, b.ID) })
	return found, h.news
}

// Events is what is kept of a target, or of all and the daemon itself for "", since the event with the
// ID after, in the order of IDs; 0 is for all that is kept, and so is an ID that this daemon never gave.
func (w *Watcher) Events(_ context.Context, target string, after uint64) ([]api.Event, error) {
	if err := w.hasEvents(target); err != nil {
		return nil, err
	}
	events, _ := w.history.after(target, after)
	return events, nil
}

// Follow calls tell with what Events returns and then with each further event, one after the other,
// until ctx ends, which is no error, or tell returns one, which is Follow's. A tell that takes longer
// than new events take to push out a thousand misses some.
func (w *Watcher) Follow(ctx context.Context, target string, after uint64, tell func(api.Event) error) error {
	if err := w.hasEvents(target); err != nil {
		return err
	}
	for {
		events, news := w.history.after(target, after)
		for _, e := range events {
			if ctx.Err() != nil {
				return nil
			}
			if err := tell(e); err != nil {
				return err
			}
			after = e.ID
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.ctx.Done():
			return errStopped
		case <-news:
		}
	}
}

// hasEvents refuses the name of what never was a target.
func (w *Watcher) hasEvents(target string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.cfg.Target(target); !ok && target != "" && !w.history.knows(target) {
		return fmt.Errorf("%w: %q: the configuration has %s", api.ErrNoTarget, target, names(w.cfg))
	}
	return nil
}

// Trouble tells the log and the history that something went wrong which is no target's business.
func (w *Watcher) Trouble(err error) {
	w.happened(zerolog.ErrorLevel, api.Event{Kind: api.EventError, Reason: err.Error(), Message: err.Error()})
}

// counting tells of what has changed in where counts come from.
func (w *Watcher) counting(c proctable.Change) {
	w.happened(c.Level, api.Event{Kind: api.EventCounting, Reason: c.Reason, From: c.From, To: c.To, Message: c.Message})
}

// happened tells the log and the history of e, which is the daemon's own.
func (w *Watcher) happened(level zerolog.Level, e api.Event) {
	e = w.history.add(e)
	logged(w.log.WithLevel(level), &e).Msg(e.Message)
}
