package simulate

import (
	"testing"
	"time"
)

// site is a service whose link is moved by hand.
type site struct {
	clock clock
	*service
}

func newSite() *site {
	s := &site{}
	s.service = &service{clock: &s.clock, link: 1, processes: map[int]int{}, told: func(int, int) {}}
	return s
}

// visit serves n connections at once, until all have ended.
func (s *site) visit(n int) {
	for range n {
		s.connect(time.Second)
	}
	s.until(s.clock.now + time.Second)
}

// until lets time pass.
func (s *site) until(when time.Duration) {
	s.clock.at(when, func() {})
	for s.clock.now < when || !s.clock.over() {
		s.clock.next()
	}
}

// want compares what the site has come to.
func (s *site) want(t *testing.T, started, retired, onFirst, onSecond int) {
	t.Helper()
	if s.started != started || s.retired != retired || s.processes[1] != onFirst || s.processes[2] != onSecond {
		t.Errorf("%d started, %d retired, %d and %d run; want %d, %d, %d and %d",
			s.started, s.retired, s.processes[1], s.processes[2], started, retired, onFirst, onSecond)
	}
}

func TestWorkersAreReused(t *testing.T) {
	s := newSite()
	for range maxUses {
		s.visit(5)
	}
	s.want(t, 5, 0, 0, 0) // each has served its last
	s.visit(5)
	s.want(t, 10, 0, 5, 0)
}

func TestIdleWorkersEnd(t *testing.T) {
	s := newSite()
	s.visit(5)
	s.until(s.clock.now + idleTimeout - time.Nanosecond)
	s.want(t, 5, 0, 5, 0)
	s.visit(2) // the two that have waited longest are in use again
	s.want(t, 5, 0, 2, 0)
	s.until(s.clock.now + idleTimeout)
	s.want(t, 5, 0, 0, 0)
}

func TestRotationRetires(t *testing.T) {
	s := newSite()
	s.visit(5)
	s.link = 2
	s.want(t, 5, 0, 5, 0) // nobody has looked yet
	s.connect(time.Second)
	s.want(t, 5, 4, 1, 0) // the holder of the lock serves once more, the others look in turn
	s.until(s.clock.now + time.Second)
	s.want(t, 5, 5, 0, 0)
	s.visit(1)
	s.want(t, 6, 5, 0, 1)
}

func TestRotationRetiresBusyWorkersLater(t *testing.T) {
	s := newSite()
	for range 5 {
		s.connect(time.Second)
	}
	s.link = 2
	s.until(time.Second - 1)
	s.want(t, 5, 0, 5, 0)
	s.until(time.Second)
	s.want(t, 5, 5, 0, 0)
}

func TestRotationAndBackRetiresNobody(t *testing.T) {
	s := newSite()
	s.visit(5)
	s.link = 2
	s.link = 1 // the file is the same again
	s.visit(5)
	s.want(t, 5, 0, 5, 0)
}

func TestLauncherRetiresNobody(t *testing.T) {
	s := newSite()
	s.launcher = true
	s.visit(5)
	s.link = 2
	s.visit(6)
	s.want(t, 6, 0, 5, 1)
}
