package install

import (
	"testing"
	"time"

	"relinkd/fsys"
)

// TestWait steps the rule of arrival by a clock of its own: quiet 1 s, max 5 s.
func TestWait(t *testing.T) {
	t0 := time.Unix(1_000_000, 0)
	at := func(s float64) time.Time { return t0.Add(time.Duration(s * float64(time.Second))) }
	file := func(ino uint64, changed float64) fsys.Info {
		ns := at(changed).UnixNano()
		return fsys.Info{ID: fsys.ID{Dev: 1, Ino: ino}, Size: 10, Mtime: ns, Ctime: ns}
	}
	for _, tt := range []struct {
		name string
		do   func(a *arrival)
		file fsys.Info
		now  float64
		want float64
	}{
		{"renamed: the drain", func(a *arrival) { a.created(file(1, 0), at(0)) }, file(1, 0), 0.004, 0.006},
		{"renamed: at once", func(a *arrival) { a.created(file(1, 0), at(0)) }, file(1, 0), 0.01, 0},
		{"created, then written", func(a *arrival) { a.created(file(1, 0), at(0)); a.wrote(at(0.5)) }, file(1, 0.5), 0.6, 0.9},
		{"created, then changed without an event", func(a *arrival) { a.created(file(1, 0), at(0)) }, file(1, 0.5), 0.6, 0.9},
		{"the inode number was used again", func(a *arrival) { a.created(file(1, -9), at(0)) }, file(1, 0.5), 0.6, 0.9},
		{"written, then another was renamed there",
			func(a *arrival) { a.created(file(1, 0), at(0)); a.wrote(at(0.5)); a.created(file(2, 0.6), at(0.6)) }, file(2, 0.6), 0.7, 0},
		{"no event: changed lately", func(a *arrival) {}, file(1, 0), 0.25, 0.75},
		{"no event: at rest", func(a *arrival) {}, file(1, 0), 1, 0},
		{"no event: mtime is old, ctime is not", func(a *arrival) {},
			fsys.Info{ID: fsys.ID{Ino: 1}, Mtime: at(-99).UnixNano(), Ctime: at(0).UnixNano()}, 0.25, 0.75},
		{"no event: mtime is to come", func(a *arrival) {},
			fsys.Info{ID: fsys.ID{Ino: 1}, Mtime: at(99).UnixNano(), Ctime: at(-9).UnixNano()}, 0, 0},
		{"an event of another file", func(a *arrival) { a.created(file(2, 0), at(0)) }, file(1, 0), 0.25, 0.75},
		{"incomplete: left alone", func(a *arrival) { a.incomplete(at(0)) }, file(1, -9), 0.4, 0.6},
		{"incomplete, replaced by a rename", func(a *arrival) { a.incomplete(at(0)); a.created(file(2, -9), at(0.1)) }, file(2, -9), 0.2, 0},
		{"no way to ask for writers", func(a *arrival) { a.created(file(1, 0), at(0)); a.doubt() }, file(1, 0), 0.25, 0.75},
		{"max cuts the quiet short", func(a *arrival) {
			for s := 0.0; s <= 4.5; s += 0.5 {
				a.wrote(at(s))
			}
		}, file(1, 4.5), 4.6, 0.4},
		{"max has passed", func(a *arrival) {
			for s := 0.0; s <= 5; s += 0.5 {
				a.wrote(at(s))
			}
		}, file(1, 5), 5, 0},
		{"max counts across new files", func(a *arrival) {
			for s := 0.0; s <= 5; s += 0.5 {
				a.created(file(uint64(s*2), s), at(s))
				a.wrote(at(s))
			}
		}, file(10, 5), 5, 0},
		{"max counts anew after a file was taken", func(a *arrival) { a.wrote(at(0)); a.wrote(at(4)); a.taken(); a.wrote(at(5)) }, file(1, 5), 5, 1},
		{"max counts anew after a rest", func(a *arrival) { a.wrote(at(0)); a.wrote(at(60)) }, file(1, 60), 60, 1},
		{"incomplete when max has passed", func(a *arrival) {
			for s := 0.0; s <= 6; s++ {
				a.incomplete(at(s))
			}
		}, file(1, 6), 6, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := arrival{quiet: time.Second, max: 5 * time.Second}
			tt.do(&a)
			want := time.Duration(tt.want * float64(time.Second))
			if got := a.wait(tt.file, at(tt.now)); got.Round(time.Microsecond) != want {
				t.Errorf("wait = %v, want %v", got, want)
			}
		})
	}
}

// TestWaitEnds asks at each due time of a file that changes before it: it must be taken at max.
func TestWaitEnds(t *testing.T) {
	t0 := time.Unix(1_000_000, 0)
	a := arrival{quiet: time.Second, max: 5 * time.Second}
	now := t0
	for range 100 {
		file := fsys.Info{ID: fsys.ID{Ino: 1}, Mtime: now.UnixNano(), Ctime: now.UnixNano()}
		wait := a.wait(file, now)
		if wait == 0 {
			if got := now.Sub(t0); got != a.max {
				t.Fatalf("taken after %v, want %v", got, a.max)
			}
			return
		}
		now = now.Add(wait)
	}
	t.Fatal("never taken")
}
