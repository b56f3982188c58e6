package cyrus_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// load is a number of clients that log in again and again until they are stopped.
type load struct {
	address string
	quit    chan struct{}
	clients sync.WaitGroup

	mu    sync.Mutex
	tally tally
}

// tally is what the clients of a load saw.
type tally struct {
	Logins  int // sessions that went well from connect to logout
	Refused int // no connection, or none that a server spoke on
	Failed  int // the session broke off or was answered with NO or BAD
	Errors  []string

	began   time.Time
	elapsed time.Duration
	times   []time.Duration // connect to login, sorted
	workers map[process]int // sessions that went well, by the process that served them
}

// startLoad starts clients of two kinds: fresh ones connect for each login and leave after a NOOP;
// patient ones stay for a hundred commands, so that their processes live across rotations.
func startLoad(t *testing.T, address string, fresh, patient int) *load {
	t.Helper()
	l := &load{address: address, quit: make(chan struct{})}
	l.tally.began, l.tally.workers = time.Now(), map[process]int{}
	for n := range fresh + patient {
		commands := 1
		if n >= fresh {
			commands = 100
		}
		l.clients.Go(func() {
			for !l.stopping() {
				l.session(n, commands)
			}
		})
	}
	t.Cleanup(func() { l.stop() })
	return l
}

func (l *load) stopping() bool {
	select {
	case <-l.quit:
		return true
	default:
		return false
	}
}

// session is one login with so many commands after it, fewer if the load is being stopped.
func (l *load) session(number, commands int) {
	began := time.Now()
	c, err := dial(l.address)
	if err != nil {
		l.count(func(r *tally) { r.Refused++ }, err)
		return
	}
	defer c.close()
	if err := c.login(user(number)); err != nil {
		l.count(func(r *tally) { r.Failed++ }, err)
		return
	}
	took := time.Since(began)
	for n := 0; n < commands && (n == 0 || !l.stopping()); n++ {
		command := "NOOP"
		if n%10 == 9 {
			command = "SELECT INBOX"
		}
		if _, err := c.command(command); err != nil {
			l.count(func(r *tally) { r.Failed++ }, err)
			return
		}
	}
	if err := c.logout(); err != nil {
		l.count(func(r *tally) { r.Failed++ }, err)
		return
	}
	l.count(func(r *tally) { r.Logins++; r.times = append(r.times, took); r.workers[c.pid]++ }, nil)
}

func (l *load) count(add func(*tally), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	add(&l.tally)
	if err != nil && len(l.tally.Errors) < 5 {
		l.tally.Errors = append(l.tally.Errors, fmt.Sprintf("after %v: %v", time.Since(l.tally.began).Round(time.Millisecond), err))
	}
}

// logins is how many sessions went well so far.
func (l *load) logins() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tally.Logins
}

// lost is how many sessions did not go well so far.
func (l *load) lost() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tally.lost()
}

// stop lets every client finish its session and returns what they saw.
func (l *load) stop() tally {
	if !l.stopping() {
		close(l.quit)
		l.clients.Wait()
		l.tally.elapsed = time.Since(l.tally.began)
		slices.Sort(l.tally.times)
	}
	return l.tally
}

// lost is how many sessions did not go well.
func (r tally) lost() int { return r.Refused + r.Failed }

func (r tally) quantile(q float64) time.Duration {
	if len(r.times) == 0 {
		return 0
	}
	return r.times[int(q*float64(len(r.times)-1))].Round(100 * time.Microsecond)
}

func (r tally) String() string {
	s := fmt.Sprintf("%d logins in %v (%.0f/s), %d refused, %d failed, p50 %v p99 %v max %v",
		r.Logins, r.elapsed.Round(time.Millisecond), float64(r.Logins)/r.elapsed.Seconds(),
		r.Refused, r.Failed, r.quantile(.5), r.quantile(.99), r.quantile(1))
	if len(r.Errors) > 0 {
		s += "\n" + strings.Join(r.Errors, "\n")
	}
	return s
}
