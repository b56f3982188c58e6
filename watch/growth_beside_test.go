package watch

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/pool"
)

// small is a pool of two copies that may grow by one, and of which two processes fill each.
func small(c *config.Target) { c.Copies, c.MaxCopies, c.Threshold, c.RotateAt = 2, 3, 2, 0.5 }

// fill begins processes, one by one, until the pool must grow.
func (d *daemon) fill() {
	d.s.t.Helper()
	for n := range 3 {
		hold(d.s.t, d.s.path)
		d.waitFor("another process", func(st api.TargetStatus) bool { return st.Processes+st.StaleProcesses >= n+1 })
	}
}

// A pool grows while its copies are made anew: a process that begins then needs its place as well.
func TestGrowsWhileCopiesAreMadeAnew(t *testing.T) {
	s := newSite(t, small)
	s.install("1")
	d := s.start()
	d.steady("1")
	reached, free := s.calls.hold("clone: create", pool.CopyName(name, 1))
	defer free()
	done := make(chan error, 1)
	go func() { _, err := d.Reclone(t.Context(), name); done <- err }()
	<-reached
	d.fill()
	d.waitFor("a third copy", func(st api.TargetStatus) bool { return len(st.Copies) == 3 && st.State == api.Cloning })
	free()
	must(t, <-done)
	if st := d.steady("1"); len(st.Copies) != 3 {
		t.Errorf("%d copies", len(st.Copies))
	}
}

// An adoption fails when its copies have their names, while the pool grows: what was in force stays, and whoever
// makes more copies of it meanwhile ends.
func TestAdoptFailsWhileThePoolGrows(t *testing.T) {
	s := newSite(t, small)
	s.install("1")
	d := s.start()
	d.steady("1")
	reached, adopt := s.calls.hold("clone: create", pool.CopyName(name, 1))
	defer adopt()
	done := make(chan error, 1)
	go func() { _, err := d.Adopt(t.Context(), name, s.file("2")); done <- err }()
	<-reached
	grown, grow := s.calls.hold("commit: sync", "")
	defer grow()
	d.fill()
	<-grown
	s.calls.on("adopt: rename", func(string) error { return unix.EIO })
	s.calls.on("adopt: unlink", func(path string) error { // the adoption has failed
		if strings.HasSuffix(path, ".adopt") {
			grow()
		}
		return nil
	})
	adopt()
	if err := <-done; !errors.Is(err, api.ErrRefused) {
		t.Errorf("adopt: %v", err)
	}
	d.steady("1")
	s.onlyKnown()
}
