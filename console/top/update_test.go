package top

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"

	"relinkd/api"
	"relinkd/control"
)

func TestSort(t *testing.T) {
	s := start(t, 80, 24, status(target("imapd", 5, 3)))
	s.shows("5 copies by number")
	order := func() (numbers []int) {
		shown, _ := s.shown()
		for _, c := range s.copies(shown) {
			numbers = append(numbers, c.Number)
		}
		return numbers
	}
	if got := order(); !slices.Equal(got, []int{1, 2, 3, 4, 5}) {
		t.Errorf("by number: %v", got)
	}
	s.press("s")
	s.shows("5 copies fullest first")
	s.status.Targets[0].Copies[4].Processes = 200
	if got := order(); !slices.Equal(got, []int{5, 1, 2, 3, 4}) {
		t.Errorf("by load: %v", got)
	}
	if got := s.status.Targets[0].Copies[0].Number; got != 1 {
		t.Errorf("the status itself was sorted: it begins with %d", got)
	}
	s.press("s")
	s.shows("5 copies by number")
}

func TestTargets(t *testing.T) {
	three := status(target("imapd", 2, 1), target("lmtpd", 2, 1), target("pop3d", 2, 1))
	s := start(t, 80, 24, three)
	for _, step := range []struct{ key, want string }{
		{"t", "lmtpd (2 of 3)"}, {"tab", "pop3d (3 of 3)"}, {"t", "imapd (1 of 3)"}, {"shift+tab", "pop3d (3 of 3)"},
	} {
		s.press(step.key)
		s.shows(step.want)
	}
	s.answer(1, status(target("aaad", 2, 1), target("pop3d", 2, 1))) // a reload: the target stays
	s.shows("pop3d (2 of 2)")
	s.answer(2, status(target("aaad", 2, 1)))
	s.shows("aaad: steady")
	s.answer(3, status())
	s.press("t", "s", "down", "end", "r")
	s.shows("no target is configured", "no copy that a link leads to")
}

func TestScroll(t *testing.T) {
	s := start(t, 80, 24, status(target("imapd", 240, 130)))
	s.shows(" 001 ", "1 to 60 of 240 copies", "↓")
	s.showsNot("↑", " 061 ")
	s.press("up")
	s.shows(" 001 ")
	s.press("down", "j")
	s.shows("11 to 70 of 240 copies", "↑")
	s.press("k", "pgdown")
	s.shows("66 to 125 of 240 copies")
	s.press("end", "pgdown")
	s.shows("181 to 240 of 240 copies", " 240 ")
	s.showsNot("↓")
	s.press("pgup")
	s.shows("121 to 180 of 240 copies")
	s.press("home")
	s.shows("1 to 60 of 240 copies")
	s.press("space", "G")
	s.send(tea.WindowSizeMsg{Width: 200, Height: 60}) // all fit now
	s.shows("240 copies by number", " 001 ", " 240 ")
	s.press("end")
	s.answer(1, status(target("imapd", 3, 1))) // fewer than were scrolled over
	s.shows(" 001 ")
}

func TestRotate(t *testing.T) {
	for _, test := range []struct {
		name    string
		keys    []string
		answer  *api.Report
		err     error
		rotated []string
		want    string
	}{
		{"yes", []string{"r", "y"}, &api.Report{Target: "lmtpd", Done: []string{"rotated from lmtpd_002 to lmtpd_003"}}, nil,
			[]string{"lmtpd 0"}, "lmtpd: rotated from lmtpd_002 to lmtpd_003"},
		{"no", []string{"r", "n"}, nil, nil, nil, "not rotated"},
		{"another key", []string{"r", "q"}, nil, nil, nil, "not rotated"},
		{"y alone", []string{"y"}, nil, nil, nil, "q quit"},
		{"for root alone", []string{"r", "y"}, nil, fmt.Errorf("this is for root alone: try again as root: %w", control.ErrDenied),
			[]string{"lmtpd 0"}, "not rotated: this is for root alone: try again as root"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := &daemon{report: test.answer, err: test.err}
			s := start(t, 80, 24, status(target("imapd", 2, 1), target("lmtpd", 4, 1)))
			s.daemon = d
			s.press("t")
			for _, key := range test.keys {
				s.press(key)
				if key == "r" {
					s.shows("Rotate lmtpd away from lmtpd_002 now? Waiting Cyrus workers end. (y/n)")
					if s.next != nil {
						t.Fatal("something is done before the question is answered")
					}
				}
			}
			if s.next != nil {
				s.shows("rotating lmtpd")
				s.send(s.next())
			}
			if !slices.Equal(d.rotated, test.rotated) {
				t.Errorf("rotated %q, want %q", d.rotated, test.rotated)
			}
			s.shows(test.want)
			s.press("down")
			s.shows("q quit")
		})
	}
}

// A target that changes while the question stands is the one that was asked about.
func TestRotateWhatWasAskedAbout(t *testing.T) {
	d := &daemon{report: &api.Report{}}
	s := start(t, 80, 24, status(target("imapd", 2, 1), target("lmtpd", 4, 1)))
	s.daemon = d
	s.press("r")
	s.answer(1, status(target("aaad", 2, 1), target("imapd", 2, 1)))
	s.shows("Rotate imapd away")
	s.press("y")
	s.send(s.next())
	if !slices.Equal(d.rotated, []string{"imapd 0"}) {
		t.Errorf("rotated %q", d.rotated)
	}
}

func TestALauncherSparesTheWorkers(t *testing.T) {
	launched := target("imapd", 2, 1)
	launched.Publish = "launcher"
	s := start(t, 80, 24, status(launched))
	s.press("r")
	s.shows("Rotate imapd away from imapd_002 now? (y/n)")
}

func TestDaemonGoesAndComesBack(t *testing.T) {
	s := start(t, 80, 24, status(target("imapd", 4, 1)))
	s.answer(1, status(target("imapd", 4, 2)))
	s.press("r", "n")
	s.shows("not rotated")
	s.press("r")
	s.send(statusMsg{err: errGone, at: now.Add(3 * time.Second)})
	if s.next == nil {
		t.Fatal("the daemon is not asked again")
	}
	s.shows("NO ANSWER since 14:02:33; below is how it was", "14:02:31", "▸003", "start it", "14:02:33 relinkd does not answer")
	s.showsNot("Rotate", "not rotated")
	s.send(statusMsg{err: errors.New("no answer within 5s"), at: now.Add(9 * time.Second)})
	s.shows("NO ANSWER since 14:02:33", "no answer within 5s")
	s.press("r")
	s.shows("relinkd does not answer: nothing can be rotated now")
	s.answer(15, status(target("imapd", 4, 0)))
	s.shows("healthy: imapd is steady", "14:02:45 relinkd answers again, after 12s", "▸001", "q quit", "0.0 rotations/s")
	s.showsNot("NO ANSWER", "nothing can be rotated")
}

func TestHelpTellsEveryKey(t *testing.T) {
	s := start(t, 80, 30, status(target("imapd", 4, 1)))
	s.press("?")
	for _, k := range keys {
		s.shows(k.key)
	}
	s.showsNot("what has happened")
	s.press("?")
	s.shows("what has happened")
	s.press("?", "esc")
	s.shows("what has happened")
}

func TestQuit(t *testing.T) {
	for _, key := range []string{"q", "ctrl+c"} {
		s := start(t, 80, 24, status())
		s.press(key)
		if s.next == nil || reflect.TypeOf(s.next()) != reflect.TypeFor[tea.QuitMsg]() {
			t.Errorf("%s does not quit", key)
		}
	}
}

func TestRates(t *testing.T) {
	r := rate{}
	for _, step := range []struct {
		after time.Duration
		count int
		want  float64
	}{
		{0, 10, 0},
		{time.Second, 14, 4},
		{2 * time.Second, 14, 2},
		{5 * time.Second, 20, 2},
		{6 * time.Second, 20, 1.2}, // of the five seconds since 14
		{30 * time.Second, 20, 0},
		{31 * time.Second, 3, 0}, // another daemon's
		{32 * time.Second, 5, 2},
		{32 * time.Second, 5, 2},
	} {
		r = r.with(step.count, now.Add(step.after))
		if got := r.perSecond(); got != step.want {
			t.Errorf("after %v: %v a second, want %v", step.after, got, step.want)
		}
	}
}

func TestLog(t *testing.T) {
	var l log
	first := event(1, 0, "imapd", api.EventState, "a")
	l = l.with([]api.Event{first, event(3, 2*time.Second, "lmtpd", api.EventState, "of another target")})
	l = l.with([]api.Event{first, event(2, time.Second, "", api.EventReload, "b")}) // told again, and late
	again := event(1, 3*time.Second, "imapd", api.EventState, "c")                  // of a daemon that counts anew
	l = l.with([]api.Event{again, again})
	text := ""
	for _, e := range l.last(10, "imapd") {
		text += e.Message
	}
	if text != "abc" {
		t.Errorf("the log has %q, want abc", text)
	}
	if got := l.last(1, "imapd"); len(got) != 1 || got[0].Message != "c" {
		t.Errorf("its last is %v", got)
	}
	for i := range uint64(2 * keep) {
		l = l.with([]api.Event{event(i+10, time.Duration(i)*time.Minute, "imapd", api.EventState, "x")})
	}
	if len(l.events) != keep || len(l.known) != keep {
		t.Errorf("%d events are kept, and %d are known, want %d", len(l.events), len(l.known), keep)
	}
}

// A daemon that does not answer counts as gone.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, 80, 24, status())
		s.daemon = &hung{}
		s.send(askMsg{})
		if msg := s.next().(statusMsg); msg.err == nil || msg.err.Error() != "no answer within 5s" {
			t.Errorf("a daemon that hangs: %+v", msg)
		}
	})
}

type hung struct{ daemon }

func (*hung) Status(ctx context.Context) (*api.Status, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// Events are followed from one daemon to the next.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		d := &teller{then: cancel}
		var told []uint64
		follow(ctx, d, func(events []api.Event) {
			for _, e := range events {
				told = append(told, e.ID)
			}
		})
		if want := []uint64{1, 2, 3, 1, 2, 3}; !slices.Equal(told, want) {
			t.Errorf("told of %v, want %v", told, want)
		}
		if want := []uint64{2, 2}; !slices.Equal(d.after, want) {
			t.Errorf("followed after %v, want %v", d.after, want)
		}
	})
}

// teller is a daemon that ends after its third event, is gone once, and is started anew once.
type teller struct {
	daemon
	asked int
	after []uint64
	then  func()
}

func (d *teller) Events(context.Context, string, uint64) ([]api.Event, error) {
	if d.asked++; d.asked == 2 {
		return nil, errGone
	}
	return []api.Event{{ID: 1}, {ID: 2}}, nil
}

func (d *teller) Follow(ctx context.Context, _ string, after uint64, tell func(api.Event) error) error {
	d.after = append(d.after, after)
	if len(d.after) == 2 {
		defer d.then()
	}
	return tell(api.Event{ID: 3})
}
