package proctable

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"relinkd/fsys"
)

// What was just made is known at once, to have no process; what is merely named waits for a census.
func TestMade(t *testing.T) {
	proc := t.TempDir()
	if err := os.Mkdir(filepath.Join(proc, "1"), 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := NewPlay(Options{Proc: proc, Interval: time.Minute, Events: EventsAuto})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	f := p.Follow(nil)
	before, made, named := fsys.ID{Dev: 1, Ino: 1}, fsys.ID{Dev: 1, Ino: 2}, fsys.ID{Dev: 1, Ino: 3}
	f.Set([]fsys.ID{before})
	if err := p.Step(func(read func()) { read() }); err != nil {
		t.Fatal(err)
	}
	f.Made([]fsys.ID{made})
	f.Set([]fsys.ID{before, made, named})
	c := f.Counts()
	for id, want := range map[fsys.ID]bool{before: true, made: true, named: false} {
		if c.Known(id) != want || c.Of(id) != 0 {
			t.Errorf("%v is known: %v, with %d processes; want %v", id, c.Known(id), c.Of(id), want)
		}
	}
}
