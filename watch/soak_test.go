package watch

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"relinkd/api"
	"relinkd/config"
	"relinkd/internal/faults"
)

// holdings is what a process could leak.
type holdings struct {
	goroutines  int
	descriptors int
	heap        uint64 // bytes in use after a collection
}

// holding is what this process holds now.
func holding(t testing.TB) (h holdings) {
	t.Helper()
	runtime.GC()
	runtime.GC() // what finalizers have let go of in the first one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fds, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return holdings{runtime.NumGoroutine(), len(fds), m.HeapAlloc}
}

// descriptors is what each descriptor of this process is of.
func descriptors(t testing.TB) (all []string) {
	fds, err := filepath.Glob("/proc/self/fd/*")
	must(t, err)
	for _, fd := range fds {
		to, _ := os.Readlink(fd) // one may be gone
		all = append(all, to)
	}
	return all
}

// Hours of rotations, upgrades, reloads, verbs and censuses under load leave nothing behind: neither
// descriptors nor goroutines nor memory: one of either that a round leaves is seen. LONG_TESTS=1 makes it
// one hour.
func TestSoak(t *testing.T) {
	during := 20 * time.Second
	switch {
	case testing.Short():
		t.Skip("left out with -short: it takes half a minute")
	case os.Getenv("LONG_TESTS") != "":
		during = time.Hour
	}
	s := newSite(t, func(c *config.Target) { c.Copies, c.MaxCopies, c.Threshold, c.RotateAt = 8, 12, 12, 0.5 })
	s.quiet = true
	s.configure(func(c *config.Config) { c.Census.Interval = time.Second })
	s.install("0")
	d := s.start()
	d.steady("0")

	random := rand.New(rand.NewPCG(1, 1))
	done := map[string]int{}
	version, next := "0", 0
	round := func() {
		switch what := random.IntN(8); what {
		case 0, 1:
			next++
			version = fmt.Sprint(next)
			s.install(version)
			d.waitFor("the upgrade is in force", func(st api.TargetStatus) bool { return st.State == api.Steady && st.Generation.SHA256 == sha(version) })
			done["upgrades"]++
		case 2:
			s.retarget(func(c *config.Target) { c.Copies = 4 + random.IntN(5); c.Threshold = 8 + random.IntN(8) })
			_, err := d.Reload(t.Context())
			must(t, err)
			done["reloads"]++
		case 3:
			if _, err := d.Verify(t.Context(), name); !errors.Is(err, errOvertaken) { // by a copy that grows
				must(t, err)
			}
			done["verifications"]++
		case 4:
			_, err := d.Reclone(t.Context(), name)
			must(t, err)
			done["clonings anew"]++
		case 5:
			if random.IntN(4) > 0 {
				return
			}
			r, err := d.Restore(t.Context(), name, false)
			must(t, err)
			if len(r.Warnings) > 0 {
				t.Fatalf("restored with %q", r.Warnings)
			}
			_, err = d.Manage(t.Context(), name)
			must(t, err)
			done["restores"]++
		case 6:
			_, err := d.Plan(t.Context())
			must(t, err)
			done["plans"]++
		default:
			for range 50 {
				_, err := d.Rotate(t.Context(), name, 0)
				must(t, err)
			}
			done["rotations by hand"] += 50
		}
	}
	storm := func(d time.Duration) {
		l := startLoad(t, load{Path: s.path, Alive: 40, For: d, Pause: 2 * time.Millisecond, Seed: random.Uint64()})
		for until := time.Now().Add(d); time.Now().Before(until); {
			round()
		}
		l.wait()
		l.end()
	}
	rest := func() holdings {
		s.retarget(func(c *config.Target) { c.Copies, c.Threshold = 8, 12 })
		_, err := d.Reload(t.Context())
		must(t, err)
		d.waitFor("at rest", func(st api.TargetStatus) bool {
			return st.State == api.Steady && st.Processes+st.StaleProcesses+st.SourceProcesses == 0
		})
		return holding(t)
	}
	storm(during / 4) // caches fill, and maps grow to their size
	before := rest()
	storm(during * 3 / 4)
	after := rest()
	within(deadline, func() bool {
		after = holding(t)
		return after.goroutines <= before.goroutines && after.descriptors <= before.descriptors
	})
	if after.goroutines > before.goroutines || after.descriptors > before.descriptors {
		t.Errorf("goroutines or descriptors are more than before: %+v, %+v\n%s", before, after, descriptors(t))
	}
	st := d.target()
	t.Logf("%v: %v, %d rotations; %+v before, %+v after", during, done, st.Rotations, before, after)
	if after.heap > before.heap*5/4+1<<20 {
		t.Errorf("the heap has grown from %d to %d bytes", before.heap, after.heap)
	}
	if st.Rotations < 100 || done["upgrades"] < 5 || done["reloads"] < 2 {
		t.Errorf("%d rotations, %v: this proves nothing", st.Rotations, done)
	}
	faults.Record(t, faults.Row{
		What: "a while of use", Injected: "rotations, upgrades, reloads, verbs and censuses under load", Times: 100,
		Survived: "no execution fails; descriptors, goroutines and memory are what they were",
	})
}
