package simulate

import "time"

// What ends a worker without a rotation (cyrus-imapd, master/service.c): the limit of imapd -U 30, and
// an alarm when it has waited for a time that it draws from 60 to 120 s at its start; here all wait 90.
const (
	maxUses     = 30
	idleTimeout = 90 * time.Second
)

// service is Cyrus: a master and the processes that it has started, the workers. Each serves one
// connection at a time. Those that wait for one queue for the accept lock. A worker looks at its
// program file when it gets the lock, and then waits for a connection with the lock held: a rotation
// is seen by the others in turn, when they get it, and by the holder after one more connection.
type service struct {
	clock    *clock
	link     int                // the file that new workers execute, numbered as the daemon does
	launcher bool               // workers look at a launcher, which no rotation changes
	told     func(copy, by int) // called with +1 for a worker's start, -1 for its end

	waiting   []*worker   // in the order in which they began to; the first has the lock and has looked
	alarm     bool        // is set
	processes map[int]int // by copy
	highest   int         // of processes, at any time
	started   int
	retired   int // ended because of a rotation
	served    int // connections that have ended
}

type worker struct {
	copy, uses int
	since      time.Duration // when it last began to wait
}

// connect lets a worker serve a new connection: the holder of the lock or, when none waits, a new one.
func (s *service) connect(life time.Duration) {
	var w *worker
	if len(s.waiting) > 0 {
		w = s.waiting[0]
		s.passLock()
	} else {
		w = s.start()
	}
	w.uses++
	s.clock.after(life, func() { s.disconnect(w) })
}

// disconnect ends w's connection.
func (s *service) disconnect(w *worker) {
	s.served++
	if w.uses == maxUses {
		s.end(w)
		return
	}
	w.since = s.clock.now
	s.waiting = append(s.waiting, w)
	if len(s.waiting) == 1 {
		s.look()
	}
	s.setAlarm()
}

// setAlarm has workers end that have waited for idleTimeout: the first does so first.
func (s *service) setAlarm() {
	if s.alarm || len(s.waiting) == 0 {
		return
	}
	s.alarm = true
	s.clock.at(s.waiting[0].since+idleTimeout, func() {
		if len(s.waiting) > 0 && s.clock.now-s.waiting[0].since >= idleTimeout {
			s.end(s.waiting[0])
			s.passLock()
		}
		s.alarm = false
		s.setAlarm()
	})
}

// passLock takes the lock from the first of those that wait, which then waits no more.
func (s *service) passLock() {
	s.waiting = s.waiting[1:]
	s.look()
}

// look is what a worker does when it gets the lock; it ends when its program file has changed.
func (s *service) look() {
	for len(s.waiting) > 0 && !s.launcher && s.waiting[0].copy != s.link {
		s.retired++
		s.end(s.waiting[0])
		s.waiting = s.waiting[1:]
	}
}

func (s *service) start() *worker {
	w := &worker{copy: s.link}
	s.started++
	s.processes[w.copy]++
	if w.copy%generationSize > 0 {
		s.highest = max(s.highest, s.processes[w.copy])
	}
	s.told(w.copy, +1)
	return w
}

func (s *service) end(w *worker) {
	s.processes[w.copy]--
	s.told(w.copy, -1)
}
