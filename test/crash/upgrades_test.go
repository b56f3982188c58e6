package crash_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"relinkd/api"
	"relinkd/internal/faults"
)

// The size of the upgrade race.
const (
	upgrades     = 10_000 // half of them where path is a symbolic link, half where it is a launcher
	upgradePause = 100    // upgrades to a pause, on average
)

// TestDaemonUpgradeRace has a package manager put new versions at path as fast as it can, with some 100
// pauses, while the daemon publishes and rotates as fast as it can and, every other time, an operator
// restores and manages the target. Each version that is in place at a pause comes in force, none is
// destroyed but by the next one, and nothing is left over. linker's TestUpgradeRace is the same
// without a daemon, where a newer file meets a publish far more often; there it is also shown that a
// plain rename in the place of the exchange would be seen.
func TestDaemonUpgradeRace(t *testing.T) {
	for _, publish := range []string{"symlink", "launcher"} {
		t.Run(publish, func(t *testing.T) { daemonUpgradeRace(t, publish) })
	}
	faults.Record(t, faults.Row{
		What:     "the daemon, rotating as fast as it can, while an operator restores and manages",
		Injected: "a package manager that upgrades as fast as it can, and pauses some 100 times",
		Times:    upgrades,
		Survived: "each version in place at a pause comes in force, none is destroyed, none stays hidden",
	})
}

func daemonUpgradeRace(t *testing.T, publish string) {
	n := upgrades / 2
	if os.Getenv(longVariable) == "1" {
		n *= 10
	}
	random := seeded(t)
	s := newSite(t, publish)
	p := &packager{path: s.path}
	defer p.close()
	must(t, p.upgrade())
	d := s.start()
	d.steady(p.version())
	load := keepExecuting(t, s.path)
	pauses, released := 0, 0
	for p.number < n && !t.Failed() {
		stop := func() error { return nil }
		if pauses%2 == 1 {
			stop = operator(s, random)
		}
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
		if st, ok := d.target(); ok && st.State == api.Released {
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
