package watch

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"testing"

	"relinkd/api"
)

// Not parallel: it counts what the whole process has open.
func TestNothingLeaks(t *testing.T) {
	s := newSite(t)
	s.install("0")
	d := s.start()
	d.steady("0")
	upgrade := func(i int) {
		version := fmt.Sprint("v", i)
		s.install(version)
		d.steady(version)
		if _, err := d.Verify(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	upgrade(0)
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // the collector closes files that are forgotten
	files, goroutines := open(t), runtime.NumGoroutine()
	for i := range 50 {
		for range 20 {
			if _, err := d.Rotate(t.Context(), name, 0); err != nil {
				t.Fatal(err)
			}
		}
		upgrade(i + 1)
	}
	flat := func() bool { return open(t) <= files && runtime.NumGoroutine() <= goroutines }
	if !within(deadline/10, flat) {
		t.Errorf("there were %d open files and %d goroutines, now %d and %d", files, goroutines, open(t), runtime.NumGoroutine())
	}
}

// Not parallel, as above. Verbs that act without a daemon leave nothing open either.
func TestNothingLeaksOffline(t *testing.T) {
	s := newSite(t)
	s.install("0")
	round := func() {
		for _, verb := range []func(*Watcher) (*api.Report, error){
			func(w *Watcher) (*api.Report, error) { return w.Manage(t.Context(), name) },
			func(w *Watcher) (*api.Report, error) { return w.Restore(t.Context(), name, false) },
		} {
			w := s.offline()
			_, err := verb(w)
			must(t, err)
			must(t, w.Close())
		}
	}
	round()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // the collector closes files that are forgotten
	files, goroutines := open(t), runtime.NumGoroutine()
	for range 10 {
		round()
	}
	flat := func() bool { return open(t) <= files && runtime.NumGoroutine() <= goroutines }
	if !within(deadline/10, flat) {
		t.Errorf("there were %d open files and %d goroutines, now %d and %d", files, goroutines, open(t), runtime.NumGoroutine())
	}
}

// open is the number of open files of this process.
func open(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(entries)
}
