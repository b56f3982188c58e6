package watch

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
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

// open is the number of open files of this process.
func open(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(entries)
}
