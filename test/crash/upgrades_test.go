package crash_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"relinkd/internal/faults"
	"relinkd/watch"
)

// The size of the upgrade race.
const (
	upgrades     = 10_000
	upgradePause = 100 // upgrades to a pause, on average
)

// TestUpgradeRace has a package manager put new versions at path as fast as it can, with some 100
// pauses, while the daemon publishes and rotates as fast as it can and, in the second race, an
// operator restores and manages the target. Each version that is in place at a pause comes in force,
// none is destroyed but by the next one, and nothing is left over. linker's TestUpgradeRace is the
// same without a daemon, where a newer file meets a publish far more often; there it is also shown
// that a plain rename in the place of the exchange would be seen.
func TestUpgradeRace(t *testing.T) {
	for _, c := range []struct {
		name string
		act  func(*site, *rand.Rand) (stop func() error)
		row  faults.Row
	}{
		{"upgrades", func(*site, *rand.Rand) func() error { return func() error { return nil } }, faults.Row{
			What: "the daemon, publishing and rotating as fast as it can",
		}},
		{"restore and manage", operator, faults.Row{
			What: "the daemon, while an operator restores and manages without a pause",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := upgrades
			if os.Getenv(longVariable) == "1" {
				n *= 10
			}
			upgradeRace(t, n, c.act)
			c.row.Injected = "a package manager that upgrades as fast as it can, and pauses some 100 times"
			c.row.Times = upgrades
			c.row.Survived = "each version in place at a pause comes in force, none is destroyed, none stays hidden"
			faults.Record(t, c.row)
		})
	}
}

func upgradeRace(t *testing.T, n int, act func(*site, *rand.Rand) (stop func() error)) {
	random := seeded(t)
	s := newSite(t, "symlink")
	p := &packager{path: s.path}
	defer p.close()
	must(t, p.upgrade())
	d := s.start()
	d.steady(p.version())
	load := keepExecuting(t, s.path)
	pauses, released := 0, 0
	for p.number < n && !t.Failed() {
		stop := act(s, random)
		for range 1 + random.IntN(2*upgradePause) {
			if random.IntN(20) == 0 { // so that some come while others are published
				<-time.After(upTo(random, 5*time.Millisecond))
			}
			if err := p.upgrade(); err != nil {
				t.Error(err)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if st, ok := d.target(); ok && st.State == watch.Released {
			released++
			s.restored(p)
			manage(t, s)
		}
		d.steady(p.version())
		s.isInPlace(p)
		pauses++
	}
	load.end()
	t.Logf("%d upgrades with %d pauses, at %d of which the target was restored; %d executions", p.number, pauses, released, load.runs.Load())
}

// operator restores the target and manages it again, over and over, at random moments.
func operator(s *site, r *rand.Rand) (stop func() error) {
	r = rand.New(rand.NewPCG(r.Uint64(), 0)) // one of its own
	over := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		var errs []error
		for n := 0; ; n++ {
			select {
			case <-over:
				ended <- errors.Join(errs...)
				return
			case <-time.After(upTo(r, 10*time.Millisecond)):
			}
			var err error
			if n%2 == 0 {
				_, err = s.client.Restore(context.Background(), name, false)
			} else {
				_, err = s.client.Manage(context.Background(), name)
			}
			if err != nil {
				errs = append(errs, err)
			}
		}
	}()
	return func() error {
		close(over)
		return <-ended
	}
}

func manage(t *testing.T, s *site) {
	t.Helper()
	_, err := s.client.Manage(context.Background(), name)
	must(t, err)
}

// restored fails the test unless the version in place stands at path alone, that very file.
func (s *site) restored(p *packager) {
	s.t.Helper()
	s.holds(s.path, p.version())
	want, err := p.inode()
	must(s.t, err)
	if got := inode(s.t, s.path); got != want {
		s.t.Errorf("path is inode %d, want %d, which was installed", got, want)
	}
	s.only(filepath.Dir(s.path), []string{name}, "")
}
