package proctable

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"relinkd/fsys"
	"relinkd/watch/procevents"
)

// world is a process table in memory: what each process executes.
type world map[int32]fsys.ID

func (w world) executable(pid int32) (fsys.ID, bool) {
	id, ok := w[pid]
	return id, ok
}

// census notes all processes, as a census of /proc does.
func (w world) census(into *processes, counts []int) {
	for pid, id := range w {
		if place, ok := into.in[id]; ok {
			into.put(pid, place)
			counts[place]++
		}
	}
}

// tracked is a live with the counts that its changes make, as a Table keeps them.
type tracked struct {
	live
	in      index
	counts  []int
	certain []int // at the last census
}

func newTracked(n int) *tracked {
	r := &tracked{in: index{}}
	for i := range n {
		r.in[fsys.ID{Dev: 1, Ino: uint64(i)}] = i
	}
	r.start()
	return r
}

// tell applies events that were read at once.
func (r *tracked) tell(w world, batch []procevents.Event) {
	for i, e := range batch {
		if !outdated(batch, i) {
			r.apply(e, w.executable).correct(r.counts)
		}
	}
}

// census takes one during which each of meanwhile happens.
func (r *tracked) census(w world, now time.Time, before, after func()) {
	pids := r.begin(r.in)
	v := view{in: r.in, known: slices.Repeat([]bool{true}, len(r.in))}
	v.tally.counts = make([]int, len(r.in))
	before()
	w.census(pids, v.tally.counts)
	after()
	r.certain = r.end(&v, w.executable, now)
	r.counts = v.tally.counts
}

func (r *tracked) check(t *testing.T, what string, w world) {
	t.Helper()
	want := make([]int, len(r.in))
	for _, id := range w {
		if place, ok := r.in[id]; ok {
			want[place]++
		}
	}
	if !slices.Equal(r.counts, want) {
		t.Fatalf("%s: counted %v, there are %v", what, r.counts, want)
	}
	known := make([]int, len(r.in))
	for _, place := range r.known.place {
		known[place]++
	}
	if !slices.Equal(known, want) {
		t.Fatalf("%s: processes %v, there are %v", what, known, want)
	}
}

// However processes begin, execute, fork and end, in whatever order their events are read relative to
// what /proc shows by then, and whatever happens while a census goes through them: once all events are
// read, the counts are those of the processes that there are. Pids are few, so they are used again all
// the time.
func TestAnyOrderOfEvents(t *testing.T) {
	for seed := range uint64(200) {
		anyOrder(t, seed)
	}
}

func anyOrder(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	w := world{}
	r := newTracked(3)
	var queue []procevents.Event
	exe := func() fsys.ID { return fsys.ID{Dev: 1, Ino: random.Uint64N(5)} } // two are not counted
	happen := func() {
		pid := random.Int32N(20) + 1
		switch _, alive := w[pid]; {
		case !alive:
			w[pid] = w[random.Int32N(20)+1] // what another one executes, or nothing
			queue = append(queue, procevents.Event{Kind: procevents.Fork, PID: pid})
		case random.IntN(2) == 0:
			w[pid] = exe()
			queue = append(queue, procevents.Event{Kind: procevents.Exec, PID: pid})
		default:
			delete(w, pid)
			queue = append(queue, procevents.Event{Kind: procevents.Exit, PID: pid})
		}
	}
	some := func() {
		for range random.IntN(30) {
			if random.IntN(2) == 0 {
				happen()
			} else {
				n := random.IntN(len(queue) + 1)
				r.tell(w, queue[:n])
				queue = queue[n:]
			}
		}
	}
	r.counts = make([]int, 3)
	now := time.Now()
	for round := range 20 {
		r.census(w, now, some, some)
		some()
		r.tell(w, queue)
		queue = nil
		r.check(t, fmt.Sprint("seed ", seed, ", round ", round), w)
		if r.silent(now.Add(2 * suspicion)) {
			t.Fatalf("seed %d: every event was told, yet the kernel is said to be silent", seed)
		}
	}
}

// A process that a census finds and no event has told of means that events do not come.
func TestSilence(t *testing.T) {
	counted := fsys.ID{Dev: 1}
	nothing := func() {}
	for name, c := range map[string]struct {
		unheard func(w world)
		told    []procevents.Event // after the census
		silent  bool
	}{
		"all was told":             {func(world) {}, nil, false},
		"a beginning":              {func(w world) { w[2] = counted }, nil, true},
		"an end":                   {func(w world) { delete(w, 1) }, nil, true},
		"another executable":       {func(w world) { w[1] = fsys.ID{Dev: 1, Ino: 1} }, nil, true},
		"of one that is not ours":  {func(w world) { w[2] = fsys.ID{Dev: 9} }, nil, false},
		"told a little late":       {func(w world) { w[2] = counted }, []procevents.Event{{Kind: procevents.Exec, PID: 2}}, false},
		"told of another":          {func(w world) { w[2] = counted }, []procevents.Event{{Kind: procevents.Exec, PID: 3}}, true},
		"one told late, one never": {func(w world) { w[2], w[3] = counted, counted }, []procevents.Event{{Kind: procevents.Exec, PID: 2}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			w, r := world{1: counted}, newTracked(2)
			r.census(w, now, nothing, nothing) // the first has nothing to compare with
			if r.silent(now.Add(2*suspicion)) || !r.sound {
				t.Fatal("silent after the first census")
			}
			c.unheard(w)
			r.census(w, now, nothing, nothing)
			r.tell(w, c.told)
			if r.silent(now.Add(suspicion)) {
				t.Error("silent before an event could have come")
			}
			if got := r.silent(now.Add(2 * suspicion)); got != c.silent {
				t.Errorf("silent: %v, want %v", got, c.silent)
			}
			r.check(t, "after the census", w)
		})
	}
}

// After a loss the counts are not sound until a census that began later is complete; that one has
// nothing to say about silence.
func TestLoss(t *testing.T) {
	counted := fsys.ID{Dev: 1}
	now := time.Now()
	nothing := func() {}
	w, r := world{1: counted}, newTracked(1)
	r.census(w, now, nothing, nothing)
	w[2] = counted
	r.lose()
	if r.sound {
		t.Error("sound after a loss")
	}
	r.census(w, now, r.lose, nothing)
	if r.sound {
		t.Error("sound after a loss while the census went on")
	}
	if r.certain[0] != 1 {
		t.Errorf("%d for certain, want the one that was known before the census", r.certain[0])
	}
	r.census(w, now, r.lose, nothing)
	if r.certain[0] != 2 {
		t.Errorf("%d for certain after two censuses have found both", r.certain[0])
	}
	w[3] = counted
	r.census(w, now, func() { delete(w, 1) }, r.lose)
	if r.certain[0] != 1 {
		t.Errorf("%d for certain, of one that has ended, one that has begun and one that stayed", r.certain[0])
	}
	r.census(w, now, nothing, nothing)
	if !r.sound || r.silent(now.Add(2*suspicion)) {
		t.Errorf("sound: %v, silent: %v after the repairing census", r.sound, r.silent(now.Add(2*suspicion)))
	}
	r.check(t, "repaired", w)
}

// What is followed may change with a census: what is newly followed was not told of, and is no silence.
func TestIndexChanges(t *testing.T) {
	now := time.Now()
	nothing := func() {}
	a, b := fsys.ID{Dev: 1}, fsys.ID{Dev: 1, Ino: 1}
	w, r := world{1: a, 2: b, 3: b}, newTracked(1)
	r.census(w, now, nothing, nothing)
	r.in = index{b: 0, a: 1}
	r.census(w, now, nothing, nothing)
	r.check(t, "one more executable", w)
	r.in = index{b: 0}
	r.census(w, now, nothing, nothing)
	r.check(t, "one executable less", w)
	if r.silent(now.Add(2 * suspicion)) {
		t.Error("silent")
	}
}

// A peak is the most that a census has found; while events are lost, the most of those that were known before
// it. It stays when they end.
func TestPeak(t *testing.T) {
	for name, c := range map[string]struct {
		events bool // and each census loses some
		want   []int
	}{
		"censuses alone":        {false, []int{2, 3, 3}},
		"while events are lost": {true, []int{0, 2, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			proc, exes := newFakeProc(t), files(t, "", 1)
			table := newTable(t, proc.dir)
			if c.events {
				table.live.start()
				table.spend = func(work func() error) (time.Duration, error) {
					err := work()
					table.live.lose()
					return 0, err
				}
			}
			f, ids := follow(t, table, exes...)
			proc.exec(2, exes[0])
			proc.exec(3, exes[0])
			for i, happens := range []func(){func() {}, func() { proc.exec(4, exes[0]) }, func() { proc.exit(2); proc.exit(3) }} {
				happens()
				take(t, table)
				if peak := f.Counts().Peak(ids[0]); peak != c.want[i] {
					t.Errorf("the peak is %d after census %d, want %d", peak, i+1, c.want[i])
				}
			}
		})
	}
}
