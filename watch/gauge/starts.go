package gauge

import "time"

// SurgeWindow is the time within which a surge is counted: the least latency that a mark trusts in.
const SurgeWindow = 10 * time.Millisecond

// slots divide the SurgeWindow. One more than fit in it are counted, so that none is missed.
const slots = 10

// learning is how long processes must have been watched before it is known how fast they begin.
const learning = time.Second

// Starts measures how the processes of one target begin. The zero Starts knows nothing.
type Starts struct {
	rate    Rate
	started int       // processes that are not in the rate yet
	since   time.Time // when the watching began; zero for not yet
	rated   time.Time // until when the rate is reckoned

	first  time.Time // when the slot 0 began
	slot   int64     // the last one of those that recent holds
	recent [slots + 1]int
	inside int // the sum of recent
	surge  Window[int]
}

// Began takes note of a process that began at the time at, and returns how many have begun within the
// SurgeWindow until then, this one included. News may come a little out of order.
func (s *Starts) Began(at time.Time) int {
	s.started++
	s.turn(at)
	s.recent[int(s.slot%int64(len(s.recent)))]++
	s.inside++
	s.surge.Add(s.inside, at)
	return s.inside
}

// Found takes note of n more processes of which nobody knows when they began.
func (s *Starts) Found(n int) { s.started += n }

// turn lets go of the slots before the window that ends at the time at.
func (s *Starts) turn(at time.Time) {
	if s.first.IsZero() {
		s.first = at
	}
	slot := int64(at.Sub(s.first) / (SurgeWindow / slots))
	if slot-s.slot > int64(len(s.recent)) {
		s.recent, s.inside, s.slot = [slots + 1]int{}, 0, slot
	}
	for s.slot < slot {
		s.slot++
		i := int(s.slot % int64(len(s.recent)))
		s.inside -= s.recent[i]
		s.recent[i] = 0
	}
}

// Inside is how many processes have begun within the SurgeWindow until now.
func (s *Starts) Inside(now time.Time) int {
	s.turn(now)
	return s.inside
}

// Until takes what has been noted into the rate, which is reckoned until the time at from then on. The
// first call begins the watching.
func (s *Starts) Until(at time.Time) {
	if s.since.IsZero() {
		s.since = at
	}
	if gap := at.Sub(s.rated); gap > 0 {
		if !s.rated.IsZero() {
			s.rate.Add(s.started, gap)
		}
		s.started, s.rated = 0, at
	}
}

// PerSecond is how many processes begin a second, as of the last Until: exponentially weighted over 0.5 s
// or over 5 s, whichever gives more.
func (s *Starts) PerSecond() float64 { return s.rate.PerSecond() }

// Surge is the most processes that have begun within one SurgeWindow lately: in the last half minute or so.
func (s *Starts) Surge(now time.Time) int { return s.surge.Most(now) }

// Known reports whether processes have been watched for long enough to tell how fast they begin.
func (s *Starts) Known(now time.Time) bool { return !s.since.IsZero() && now.Sub(s.since) >= learning }
