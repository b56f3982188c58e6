package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"relinkd/config"
	"relinkd/pool"
)

// messages is what events say, in their order.
func messages(events []Event) (all []string) {
	for _, e := range events {
		all = append(all, e.Message)
	}
	return all
}

func TestHistory(t *testing.T) {
	h := newHistory()
	for i, target := range []string{"", "a", "b", "a"} {
		e := h.add(Event{Target: target, Kind: EventState, Message: fmt.Sprint(i + 1)})
		if e.ID != uint64(i+1) || time.Since(e.Time) > time.Minute {
			t.Errorf("event %d has ID %d and time %v", i, e.ID, e.Time)
		}
	}
	h.add(Event{Target: "b", Kind: EventRotation, Message: "5"})
	for _, test := range []struct {
		target string
		after  uint64
		want   []string
	}{
		{"", 0, []string{"1", "2", "3", "4", "5"}}, {"", 3, []string{"4", "5"}}, {"a", 0, []string{"2", "4"}}, {"b", 3, []string{"5"}},
		{"a", 4, nil}, {"c", 0, nil}, {"", 5, nil}, {"b", 6, []string{"3", "5"}},
	} {
		if got, _ := h.after(test.target, test.after); !slices.Equal(messages(got), test.want) {
			t.Errorf("of %q after %d: %q, want %q", test.target, test.after, messages(got), test.want)
		}
	}
}

// The last thousand are kept, and rotations push out nothing but rotations.
func TestHistoryIsBounded(t *testing.T) {
	h := newHistory()
	h.add(Event{Target: "a", Kind: EventUpgrade, Message: "upgrade"})
	for i := range 2*kept + 7 {
		h.add(Event{Target: "a", Kind: EventRotation, Message: fmt.Sprint(i)})
	}
	got, _ := h.after("", 0)
	if len(got) != kept+1 || got[0].Message != "upgrade" || got[1].Message != fmt.Sprint(kept+7) || got[kept].Message != fmt.Sprint(2*kept+6) {
		t.Errorf("%d events, from %q and %q to %q", len(got), got[0].Message, got[1].Message, got[len(got)-1].Message)
	}
	if !slices.IsSortedFunc(got, func(a, b Event) int { return int(a.ID) - int(b.ID) }) {
		t.Error("they are out of order")
	}
	for range kept {
		h.add(Event{Target: "a", Kind: EventState, Message: "state"})
	}
	if got, _ := h.after("", 0); len(got) != 2*kept || slices.Contains(messages(got), "upgrade") {
		t.Errorf("%d events, of which the first is %q", len(got), got[0].Message)
	}
}

// Ten rotations are told of, and what comes beyond that is counted, in spans that grow.
func TestSummary(t *testing.T) {
	var s summary
	now := time.Now()
	told, sums := 0, []summary{}
	rotate := func(why pool.Reason, took time.Duration) {
		if s.over(now) {
			if ended := s.end(); ended.more > 0 {
				sums = append(sums, ended)
			}
		}
		if s.note(now, 1, 2, why, took) {
			told++
		}
	}
	for range 25 { // in 10 s no more than ten
		rotate(pool.ReasonThreshold, time.Millisecond)
		now = now.Add(time.Second)
	}
	if told != 25 || len(sums) != 0 || !s.due().IsZero() {
		t.Fatalf("at one a second %d are told of, and %d sums", told, len(sums))
	}
	now = now.Add(shortestSpan)
	began := now
	for range 10000 { // in 100 s
		rotate(pool.ReasonThreshold, time.Millisecond)
		now = now.Add(10 * time.Millisecond)
	}
	if told != 35 {
		t.Errorf("in a storm %d are told of by themselves, want 10", told-25)
	}
	if len(sums) != 3 || sums[0].more != 990 || sums[1].more != 2000 || sums[2].more != 4000 || sums[0].why != pool.ReasonThreshold {
		t.Errorf("sums: %+v", sums)
	}
	if due := began.Add(130 * time.Second); !s.due().Equal(due) {
		t.Errorf("the next sum is due %v after the beginning, want %v", s.due().Sub(began), due.Sub(began))
	}
	rotate(reasonOperator, time.Second)
	now = now.Add(longestSpan)
	if !s.over(now) {
		t.Fatal("a minute later the span is not over")
	}
	if last := s.end(); last.more != 3001 || last.why != "" || last.took != time.Second || last.span != longestSpan {
		t.Errorf("the last sum: %+v", last)
	}
	now = now.Add(longestSpan)
	rotate(pool.ReasonThreshold, 0)
	if told != 36 || s.span != shortestSpan {
		t.Errorf("after the storm: %d, %+v", told, s)
	}
}

// The life of a target is in its history, and who follows it hears of it as it happens.
func TestEvents(t *testing.T) {
	s := newSite(t, func(c *config.Target) { c.Copies, c.MaxCopies, c.Threshold, c.RotateAt = 2, 3, 2, 0.5 })
	s.install("1")
	d := s.start()
	ctx, enough := context.WithCancel(context.Background())
	heard, ended := make(chan Event, 100), make(chan error, 1)
	go func() { ended <- d.Follow(ctx, name, 0, func(e Event) error { heard <- e; return nil }) }()
	d.waitFor("steady", func(st TargetStatus) bool { return st.State == Steady })
	if _, err := d.Rotate(ctx, name, 2); err != nil {
		t.Fatal(err)
	}
	events, err := d.Events(ctx, name, 0)
	must(t, err)
	i := slices.IndexFunc(events, func(e Event) bool { return e.Kind == EventRotation })
	if i < 0 {
		t.Fatalf("no rotation among %q", messages(events))
	}
	if e := events[i]; e.From != "imapd_001" || e.To != "imapd_002" || e.Reason != "operator" || e.Seconds <= 0 || e.Target != name {
		t.Errorf("%+v", e)
	}
	if !slices.ContainsFunc(events, func(e Event) bool { return e.Kind == EventState && e.To == string(Steady) }) {
		t.Errorf("it does not become steady: %q", messages(events))
	}
	for _, want := range events {
		if got := <-heard; got != want {
			t.Errorf("heard %+v, want %+v", got, want)
		}
	}
	enough()
	must(t, <-ended)
	if _, err := d.Events(context.Background(), "nobody", 0); !errors.Is(err, ErrNoTarget) {
		t.Errorf("of no target: %v", err)
	}
}
