package powercut

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"relinkd/api"
)

// history is what happened while a disk was recorded. A moment is how much had been recorded then, in
// bytes; what begins at a moment is in no disk that was cut before it.
type history struct {
	installed []moments // of version 1, 2, …: from its rename to path until that is durable
	phases    []phase
	restored  []moments // from the operator's word until relinkd has answered
	managed   []moments
	steady    map[int]int64 // the moment when a version was said to be in force
}

// moments is from when on something may be so, and from when on it must be.
type moments struct{ begun, done int64 }

// phase is what was going on.
type phase struct {
	name string
	end  int64
}

// live is the life of an installation from its first publishing to its end.
func (s *site) live(d *disk) *history {
	t := s.t
	t.Helper()
	h := &history{steady: map[int]int64{}}
	install := func() int {
		version := len(h.installed) + 1
		unpacked := s.write(version)
		begun := d.now()
		must(t, os.Rename(unpacked, s.path))
		must(t, syncDir(s.bin()))
		h.installed = append(h.installed, moments{begun, d.now()})
		return version
	}
	steady := func(version int) {
		s.steady(version)
		h.steady[version] = d.now()
	}
	ended := func(name string) { h.phases = append(h.phases, phase{name, d.now()}) }
	told := func(list *[]moments, verb func() (*api.Report, error)) {
		begun := d.now()
		_, err := verb()
		must(t, err)
		*list = append(*list, moments{begun, d.now()})
	}
	restore := func() (*api.Report, error) { return s.client.Restore(t.Context(), name, false) }
	manage := func() (*api.Report, error) { return s.client.Manage(t.Context(), name) }

	install()
	must(t, s.start())
	steady(1)
	ended("first publish")
	for range 2 * copies {
		_, err := s.client.Rotate(t.Context(), name, 0)
		must(t, err)
	}
	ended("rotations")
	steady(install())
	ended("upgrade")
	install()
	_, err := s.until("cloning", func(t api.TargetStatus) bool { return t.State == api.Cloning || t.State == api.Bypassed })
	must(t, err)
	steady(install())
	ended("upgrade overtaken by another")
	told(&h.restored, restore)
	ended("restore")
	told(&h.managed, manage)
	s.steady(len(h.installed))
	ended("manage again")
	must(t, s.stop())
	ended("stop")
	return h
}

// crowd has a neighbour on the same disk write and sync a file of its own over and over, as any
// server's do, until the returned function is called. It makes the file system commit in the midst of
// what others do.
func crowd(t *testing.T, dir string) (end func()) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "neighbour"))
	must(t, err)
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		pause := time.NewTicker(5 * time.Millisecond)
		defer pause.Stop()
		var err error
		for err == nil {
			select {
			case <-stop:
				ended <- f.Close()
				return
			case <-pause.C:
				_, err = f.WriteAt([]byte(time.Now().String()), 0)
				err = errors.Join(err, f.Sync())
			}
		}
		ended <- errors.Join(err, f.Close())
	}()
	end = sync.OnceFunc(func() {
		close(stop)
		if err := <-ended; err != nil {
			t.Errorf("the neighbour cannot write: %v", err)
		}
	})
	t.Cleanup(end)
	return end
}

// expectation is what may be found on a disk that was cut at a moment.
type expectation struct {
	newest   int  // the newest version that path may have
	packaged int  // the newest version that was durable; 0 for none
	inForce  int  // the newest version that relinkd has said to be in force; 0 for none
	plain    bool // a restore was done: path is the packaged file
	released bool // a restore was begun: relinkd may refuse to manage path
	managed  bool // no restore was begun, or its end was told
}

func (h *history) at(moment int64) expectation {
	e := expectation{managed: true}
	for i, m := range h.installed {
		if m.begun < moment {
			e.newest = i + 1
		}
		if m.done <= moment {
			e.packaged = i + 1
		}
	}
	for version, since := range h.steady {
		if since <= moment {
			e.inForce = max(e.inForce, version)
		}
	}
	for i, m := range h.restored {
		if m.begun >= moment {
			break
		}
		e.released, e.managed = true, false
		e.plain = m.done <= moment
		if i < len(h.managed) && h.managed[i].begun < moment {
			e.plain = false
			e.managed = h.managed[i].done <= moment
			e.released = !e.managed
		}
	}
	return e
}

// during is the phase of a moment.
func (h *history) during(moment int64) string {
	for _, p := range h.phases {
		if moment <= p.end {
			return p.name
		}
	}
	return fmt.Sprintf("the end (%d)", moment)
}
