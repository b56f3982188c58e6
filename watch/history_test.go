package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"relinkd/api"
	"relinkd/config"
	"relinkd/pool"
)

// messages is what events say, in their order.
func messages(events []api.Event) (all []string) {
	for _, e := range events {
		all = append(all, e.Message)
	}
	return all
}

func TestHistory(t *testing.T) {
	h := newHistory()
	for i, target := range []string{"", "a", "b", "a"} {
		e := h.add(api.Event{Target: target, Kind: api.EventState, Message: fmt.Sprint(i + 1)})
		if e.ID != uint64(i+1) || time.Since(e.Time) > time.Minute {
			t.Errorf("event %d has ID %d and time %v", i, e.ID, e.Time)
		}
	}
	h.add(api.Event{Target: "b", Kind: api.EventRotation, Message: "5"})
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
	h.add(api.Event{Target: "a", Kind: api.EventUpgrade, Message: "upgrade"})
	for i := range 2*kept + 7 {
		h.add(api.Event{Target: "a", Kind: api.EventRotation, Message: fmt.Sprint(i)})
	}
	got, _ := h.after("", 0)
	if len(got) != kept+1 || got[0].Message != "upgrade" || got[1].Message != fmt.Sprint(kept+7) || got[kept].Message != fmt.Sprint(2*kept+6) {
		t.Errorf("%d events, from %q and %q to %q", len(got), got[0].Message, got[1].Message, got[len(got)-1].Message)
	}
	if !slices.IsSortedFunc(got, func(a, b api.Event) int { return int(a.ID) - int(b.ID) }) {
		t.Error("they are out of order")
	}
	for range kept {
		h.add(api.Event{Target: "a", Kind: api.EventState, Message: "state"})
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
	heard, ended := make(chan api.Event, 1000), make(chan error, 1)
	go func() { ended <- d.Follow(ctx, "", 0, func(e api.Event) error { heard <- e; return nil }) }()
	d.steady("1")
	first := api.ShortHash(d.target().Generation.SHA256)
	_, err := d.Rotate(ctx, name, 2)
	must(t, err)
	for i := range 3 { // the mark is 1: two processes fill two copies, and then a third is made
		hold(t, s.path)
		d.waitFor("another process", func(st api.TargetStatus) bool { return st.Processes == i+1 })
	}
	d.waitFor("a third copy", func(st api.TargetStatus) bool { return len(st.Copies) == 3 })
	s.install("2")
	d.waitFor("the upgrade", func(st api.TargetStatus) bool {
		return st.State == api.Steady && api.ShortHash(st.Generation.SHA256) != first
	})
	second := api.ShortHash(d.target().Generation.SHA256)
	must(t, os.Remove(s.copy(1)))
	d.waitFor("the copy is made again", func(api.TargetStatus) bool { return d.told(api.EventRepair, "copies made again") != nil })
	_, err = d.Reload(ctx)
	must(t, err)
	_, err = d.Restore(ctx, name, false)
	must(t, err)
	_, err = d.Manage(ctx, name)
	must(t, err)

	for _, want := range []api.Event{
		{Target: name, Kind: api.EventRotation, Reason: "operator", From: "imapd_001", To: "imapd_002"},
		{Target: name, Kind: api.EventUpgrade, To: first},
		{Target: name, Kind: api.EventState, From: "cloning", To: "steady"},
		{Target: name, Kind: api.EventGrowth, To: "imapd_003"},
		{Target: name, Kind: api.EventUpgrade, From: first, To: second},
		{Target: name, Kind: api.EventRepair, Reason: "gone", To: "imapd_001"},
		{Kind: api.EventReload, Reason: "success"},
		{Target: name, Kind: api.EventRestore, Reason: "by an operator's word"},
		{Target: name, Kind: api.EventManage, Reason: "by an operator's word"},
	} {
		got := d.told(want.Kind, want.Reason, want.From, want.To)
		if got == nil {
			t.Errorf("nothing tells of %+v", want)
			continue
		}
		timed := want.Kind == api.EventRotation || want.Kind == api.EventUpgrade || want.Kind == api.EventGrowth || want.Kind == api.EventReload
		if got.Message == "" || timed != (got.Seconds > 0) || got.Target != want.Target || time.Since(got.Time) > time.Minute {
			t.Errorf("%+v", got)
		}
	}
	if d.told(api.EventCounting) == nil {
		t.Error("nothing tells where counts come from")
	}
	events, err := d.Events(ctx, "", 0)
	must(t, err)
	for _, want := range events {
		if got := <-heard; got != want {
			t.Fatalf("heard %+v, want %+v", got, want)
		}
	}
	enough()
	must(t, <-ended)
	if t.Failed() {
		t.Logf("%q", messages(events))
	}
	if _, err := d.Events(context.Background(), "nobody", 0); !errors.Is(err, api.ErrNoTarget) {
		t.Errorf("of no target: %v", err)
	}
}

// told is the last event of a kind with the reason, from and to, as far as they are given and not "".
func (d *daemon) told(kind api.EventKind, reasonFromTo ...string) *api.Event {
	events, err := d.Events(context.Background(), "", 0)
	must(d.s.t, err)
	want := append(reasonFromTo, "", "", "")
	for _, e := range slices.Backward(events) {
		is := []string{e.Reason, e.From, e.To}
		if e.Kind == kind && !slices.ContainsFunc([]int{0, 1, 2}, func(i int) bool { return want[i] != "" && want[i] != is[i] }) {
			return &e
		}
	}
	return nil
}

// What goes wrong is an event, with the error that the status shows.
func TestErrorEvents(t *testing.T) {
	s := newSite(t)
	must(t, os.WriteFile(s.path, []byte("#!/bin/sh\n"), 0o755))
	d := s.start()
	st := d.waitFor("degraded", func(st api.TargetStatus) bool { return st.State == api.Degraded })
	if e := d.told(api.EventError, st.Reason); e == nil || e.Target != name || !strings.Contains(e.Message, st.Reason) {
		t.Errorf("error: %+v", e)
	}
	if e := d.told(api.EventState, st.Reason, "", "degraded"); e == nil {
		t.Errorf("the state is not told of")
	}
	s.mu.Lock()
	s.cfgErr = errors.New("relinkd.toml:3: nonsense")
	s.mu.Unlock()
	if _, err := d.Reload(context.Background()); err == nil {
		t.Error("a bad configuration is taken")
	}
	if e := d.told(api.EventReload, "failure"); e == nil || !strings.Contains(e.Message, "relinkd.toml:3: nonsense") {
		t.Errorf("reload: %+v", e)
	}
	d.Trouble(errors.New("cannot serve metrics"))
	if e := d.told(api.EventError, "cannot serve metrics"); e == nil || e.Target != "" {
		t.Errorf("trouble: %+v", e)
	}
}

// A storm of rotations is summed up in the log, and allocates nothing a rotation.
func TestRotationsAreSummedUp(t *testing.T) {
	s := newSite(t, func(c *config.Target) {
		c.Rotation, c.Interval, c.Threshold = config.RotationInterval, time.Millisecond, 1
	})
	s.install("1")
	d := s.start()
	rotations := d.waitFor("a storm", func(st api.TargetStatus) bool { return st.Rotations >= 5*singly }).Rotations
	d.stop()
	var told int
	var last api.Event
	events, _ := d.history.after(name, 0)
	for _, e := range events {
		if e.Kind == api.EventRotation {
			told++
			last = e
		}
	}
	further := 0
	if _, err := fmt.Sscanf(strings.ReplaceAll(last.Message, ",", ""), "%d further rotations", &further); err != nil || told != singly+1 {
		t.Fatalf("%d events, the last one %q", told, last.Message)
	}
	if further+singly < rotations {
		t.Errorf("%d rotations are told of, of %d or more", further+singly, rotations)
	}
	if n := strings.Count(s.log.String(), `"level":"info","target":"imapd","event":"rotation"`); n != singly+1 {
		t.Errorf("%d lines of the log", n)
	}
	var sum summary
	now := time.Now()
	if n := testing.AllocsPerRun(1000, func() { sum.note(now, 1, 2, pool.ReasonThreshold, time.Millisecond) }); n > 0 {
		t.Errorf("%v allocations a rotation", n)
	}
}
