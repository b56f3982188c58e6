package watch

import (
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"relinkd/api"
	"relinkd/pool"
)

// Rotations are told one by one, in the log and the history, as long as there are no more than
// singly in a span of time. Further ones are counted, and told of together when the span ends; as long
// as that goes on the spans become longer, and nothing is told but their sums.
const (
	singly       = 10
	shortestSpan = 10 * time.Second
	longestSpan  = time.Minute
)

// summary is the rotations of a span of time.
type summary struct {
	began time.Time
	span  time.Duration // 0 before the first
	told  int           // one by one
	more  int           // and further ones
	storm bool          // there were further ones in the span before
	from  int           // where the first of the further ones moved on from
	to    int           // where the last one led to
	why   pool.Reason   // of them, "" for several
	took  time.Duration // the slowest of them
}

// note counts a rotation and reports whether it is to be told of by itself. What was over must have been ended.
func (s *summary) note(now time.Time, from, to int, why pool.Reason, took time.Duration) bool {
	if s.span == 0 {
		s.began, s.span = now, shortestSpan
	}
	if s.told < singly && !s.storm {
		s.told++
		return true
	}
	if s.more++; s.more == 1 {
		s.from, s.why, s.took = from, why, took
	}
	if s.why != why {
		s.why = ""
	}
	s.to, s.took = to, max(s.took, took)
	return false
}

// over reports whether the span has ended by now.
func (s *summary) over(now time.Time) bool { return s.span > 0 && now.Sub(s.began) >= s.span }

// end begins anew, and returns what has ended.
func (s *summary) end() (ended summary) {
	ended = *s
	*s = summary{storm: ended.more > 0}
	if s.storm { // the next span follows at once
		s.began, s.span = ended.began.Add(ended.span), min(2*ended.span, longestSpan)
	}
	return ended
}

// due is when over will be, if that matters to anybody; zero otherwise.
func (s *summary) due() time.Time {
	if s.more == 0 {
		return time.Time{}
	}
	return s.began.Add(s.span)
}

// rotated tells of a rotation, or counts it where there are too many to tell of.
func (t *target) rotated(from, to int, why pool.Reason, took time.Duration) {
	now := t.rotatedAt
	if t.summary.over(now) {
		t.sumUp()
	}
	if !t.summary.note(now, from, to, why, took) {
		return
	}
	name, before := pool.CopyName(t.base(), to), pool.CopyName(t.base(), from)
	t.happened(zerolog.InfoLevel, api.Event{
		Time: now, Kind: api.EventRotation, Reason: string(why), From: before, To: name, Seconds: took.Seconds(),
		Message: fmt.Sprintf("rotated from %s to %s (%s)", before, name, why),
	})
}

// sumUp tells of the rotations that were counted only.
func (t *target) sumUp() {
	s := t.summary.end()
	if s.more == 0 {
		return
	}
	from, to := pool.CopyName(t.base(), s.from), pool.CopyName(t.base(), s.to)
	t.happened(zerolog.InfoLevel, api.Event{
		Kind: api.EventRotation, Reason: string(s.why), From: from, To: to, Seconds: s.took.Seconds(),
		Message: fmt.Sprintf("%s further rotations in %s, from %s on, to %s at last; the slowest took %s", thousands(s.more), s.span, from, to, s.took.Round(time.Microsecond)),
	})
}

// thousands is n with a comma at each thousand.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
