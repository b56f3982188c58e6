package demo

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"relinkd/api"
	"relinkd/console"
)

// picture is a frame with so many copies; copy n has n processes more than the one before.
func picture(n int) frame {
	t := api.TargetStatus{
		Name: target, State: api.Steady, Current: "standin_002",
		Threshold: 30, Mark: 24, Rotations: 7, ExecRate: 61.2, StaleProcesses: 3,
	}
	for i := range n {
		t.Copies = append(t.Copies, api.CopyStatus{
			Name: fmt.Sprintf("standin_%03d", i+1), Number: i + 1, Processes: 12 * i, Verified: true,
		})
	}
	return frame{
		elapsed: 4200 * time.Millisecond, length: 10 * time.Second, path: "/tmp/x/standin", target: t,
		tally:  tally{spawns: 500, alive: 240, highest: 25},
		events: []event{{4 * time.Second, "upgrade: a new version"}},
	}
}

func TestTerminalPicture(t *testing.T) {
	s := &terminal{screen: console.Screen{Width: 42}}
	want := []string{
		"standin -> standin_002, steady, 4 of 10 s",
		"/tmp/x/standin",
		"240 processes, 61 new a second, 3 of an",
		"older version, 500 spawns, 0 failed, 7",
		"rotations, highest 25 of 30",
		"",
		" 001 .........................|......   0",
		">002 ############.............|......  12",
		" 003 #########################|......  24",
		" 004 ################################  36!",
		"",
		"  4.0 s  upgrade: a new version",
	}
	if diff := cmp.Diff(want, s.compose(picture(4))); diff != "" {
		t.Errorf("picture (-want +got):\n%s", diff)
	}
}

func TestTerminalColours(t *testing.T) {
	s := &terminal{screen: console.Screen{Width: 40, Colour: true}}
	all := strings.Join(s.compose(picture(4)), "\n")
	for _, want := range []string{
		s.screen.Paint(">002", console.Strong),
		s.screen.Paint(strings.Repeat("#", 12), console.Good),
		s.screen.Paint(strings.Repeat("#", 30), console.Bad),
	} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing in\n%s", want, all)
		}
	}
}

func TestTerminalStaysInside(t *testing.T) {
	for _, n := range []int{0, 1, 12, 13, 24} {
		for _, width := range []int{1, 9, 20, 33, 40, 80, 81, 200} {
			s := &terminal{screen: console.Screen{Width: width, Colour: true}}
			lines := s.compose(picture(n))
			for _, line := range lines {
				if w := ansi.StringWidth(line); w > width {
					t.Errorf("%d copies, %d columns: %d in %q", n, width, w, line)
				}
			}
			if width >= 80 && len(lines) > 24 {
				t.Errorf("%d copies, %d columns: %d lines, want 24 at most", n, width, len(lines))
			}
		}
	}
}

func TestTerminalRedrawsInPlace(t *testing.T) {
	var out bytes.Buffer
	s := &terminal{out: &out, screen: console.Screen{Width: 80}}
	s.draw(picture(3))
	first := strings.Count(out.String(), "\n")
	out.Reset()
	s.draw(picture(5))
	if want := fmt.Sprintf("\x1b[%dA\r", first); !strings.HasPrefix(out.String(), want) {
		t.Errorf("the second frame begins %q, want %q", out.String()[:10], want)
	}
	out.Reset()
	s.end()
	if out.String() != showCursor+wrap {
		t.Errorf("at the end %q, want the terminal as it was", out.String())
	}
}

func TestNothingDrawnNothingToPutRight(t *testing.T) {
	var out bytes.Buffer
	(&terminal{out: &out}).end()
	if out.Len() != 0 {
		t.Errorf("%q, want nothing", out.String())
	}
}

func TestPlainIsALineASecond(t *testing.T) {
	var out bytes.Buffer
	s := &plain{out: &out}
	f := picture(2)
	f.events = nil
	for _, ms := range []time.Duration{0, 100, 900, 1050, 1990, 2000} {
		if ms == 900 {
			f.events = append(f.events, event{850 * time.Millisecond, "deletion: the link is removed"})
		}
		f.elapsed = ms * time.Millisecond
		s.draw(f)
	}
	numbers := "standin -> standin_002: 240 processes, 61 new a second, 3 of an older version, 500 spawns, 0 failed, 7 rotations, highest 25 of 30\n"
	want := "  0.0 s  " + numbers +
		"  0.8 s  deletion: the link is removed\n" +
		"  1.1 s  " + numbers +
		"  2.0 s  " + numbers
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestScreenFitsTheOutput(t *testing.T) {
	t.Setenv("TERM", "xterm")
	if s, ok := newScreen(Options{Terminal: true, Screen: console.Screen{Width: 70}}).(*terminal); !ok || s.screen.Width != 70 {
		t.Errorf("on a terminal: %+v", s)
	}
	t.Setenv("TERM", "dumb")
	if s, ok := newScreen(Options{Terminal: true}).(*plain); !ok {
		t.Errorf("on a dumb terminal: %+v", s)
	}
	if s, ok := newScreen(Options{JSON: true, Terminal: true}).(silent); !ok {
		t.Errorf("with JSON: %+v", s)
	}
}
