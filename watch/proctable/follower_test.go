package proctable

import (
	"context"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"relinkd/fsys"
)

// bubble runs fn with a fake clock and a running table over a fake procfs. The first census has
// been taken when fn begins. A census itself takes no time on that clock.
func bubble(t *testing.T, interval time.Duration, fn func(t *testing.T, b *clocked)) {
	t.Helper()
	proc, exes := newFakeProc(t), files(t, "", 3)
	synctest.Test(t, func(t *testing.T) {
		table, err := New(Options{Proc: proc.dir, Interval: interval})
		if err != nil {
			t.Fatal(err)
		}
		defer table.Close()
		// Processor time is real even in a bubble; there a census costs what it takes: nothing.
		table.spend = func(work func() error) (time.Duration, error) { return 0, work() }
		b := &clocked{t: t, table: table, proc: proc, exes: exes}
		for _, exe := range exes {
			b.ids = append(b.ids, idOf(t, exe))
		}
		b.run(func() { fn(t, b) })
	})
}

type clocked struct {
	t     *testing.T
	table *Table
	proc  *fakeProc
	exes  []string
	ids   []fsys.ID
}

// run calls fn while the table runs, and checks that Run ends well with its context.
func (b *clocked) run(fn func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan error)
	go func() { ended <- b.table.Run(ctx) }()
	synctest.Wait()
	fn()
	cancel()
	if err := <-ended; err != nil {
		b.t.Errorf("Run returned %v after its context ended, want nil", err)
	}
}

// pass lets d go by, and whatever is due then happen.
func (b *clocked) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// censuses checks how many there have been.
func (b *clocked) censuses(when string, want int) {
	b.t.Helper()
	if got := b.table.Stats().Censuses; got != want {
		b.t.Errorf("%s: %d censuses, want %d", when, got, want)
	}
}

func TestReady(t *testing.T) {
	table := newTable(t, newFakeProc(t).dir)
	select {
	case <-table.Ready():
		t.Error("ready before the first census")
	default:
	}
	for range 2 {
		take(t, table)
		select {
		case <-table.Ready():
		default:
			t.Error("not ready after a census")
		}
	}
}

func TestInterval(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		interval, after time.Duration
		want            int
	}{
		{time.Second, 10 * time.Second, 11},
		{60 * time.Second, 10 * time.Second, 11}, // for kernel events, of which there are none
		{20 * ms, time.Second, 51},
	} {
		t.Run(c.interval.String(), func(t *testing.T) {
			bubble(t, c.interval, func(t *testing.T, b *clocked) {
				b.censuses("at once", 1)
				b.pass(c.after)
				b.censuses("after "+c.after.String(), c.want)
			})
		})
	}
}

func TestSetInterval(t *testing.T) {
	bubble(t, time.Second, func(t *testing.T, b *clocked) {
		b.pass(300 * time.Millisecond)
		b.table.SetInterval(400 * time.Millisecond)
		b.pass(100 * time.Millisecond)
		b.censuses("400 ms after the one before", 2)
		b.table.SetInterval(time.Minute)
		b.pass(999 * time.Millisecond)
		b.censuses("just below a second after the one before", 2)
		b.pass(time.Millisecond)
		b.censuses("a second after the one before", 3)
	})
}

// A census that took long puts off the next one, whoever wants it and from the first on.
func TestTenthOfACore(t *testing.T) {
	proc := newFakeProc(t)
	synctest.Test(t, func(t *testing.T) {
		b := &clocked{t: t, table: newTable(t, proc.dir)}
		f := b.table.Follow(nil)
		f.Set(nil)
		take(t, b.table)
		b.table.last.cost = 200 * time.Millisecond
		f.Set([]fsys.ID{{Dev: 1, Ino: 1}})
		f.Due(0)
		b.run(func() {
			b.pass(1999 * time.Millisecond)
			b.censuses("before ten times its length", 1)
			b.pass(time.Millisecond)
			b.censuses("after ten times its length", 2)
		})
	})
}

func TestDue(t *testing.T) {
	const ms = time.Millisecond
	bubble(t, time.Second, func(t *testing.T, b *clocked) {
		f, g := b.table.Follow(nil), b.table.Follow(nil)
		b.pass(time.Second)
		b.censuses("at the interval", 2)

		f.Due(100 * ms)
		g.Due(50 * ms)
		b.pass(49 * ms)
		b.censuses("before the first is due", 2)
		b.pass(1 * ms)
		b.censuses("when the first is due", 3)
		b.pass(999 * ms)
		b.censuses("when the other was due: the same census was for both", 3)
		b.pass(1 * ms)
		b.censuses("an interval later", 4)

		f.Due(100 * ms)
		f.Due(300 * ms)
		b.pass(299 * ms)
		b.censuses("when the earlier wish was due, of a follower that has another now", 4)
		b.pass(1 * ms)
		b.censuses("when the later wish is due", 5)

		f.Due(5 * time.Second)
		b.pass(time.Second)
		b.censuses("at the interval, which is sooner", 6)

		f.Due(0)
		b.pass(0)
		b.censuses("at once", 7)
		f.Due(-time.Hour)
		b.pass(0)
		b.censuses("at once, too late already", 8)

		g.Due(100 * ms)
		g.Close()
		b.pass(999 * ms)
		b.censuses("when one that has closed was due", 8)
	})
}

// What is asked for while a census runs is for the next one.
func TestAskedDuringCensus(t *testing.T) {
	proc := newFakeProc(t)
	synctest.Test(t, func(t *testing.T) {
		table := newTable(t, proc.dir)
		f := table.Follow(nil)
		f.Set(nil)
		check := func(when string, fresh bool, want time.Duration) {
			t.Helper()
			if c := f.Counts(); c.Fresh != fresh {
				t.Errorf("%s: fresh is %v, want %v", when, c.Fresh, fresh)
			}
			if got := time.Until(table.next()); got != want {
				t.Errorf("%s: next census in %v, want in %v", when, got, want)
			}
		}
		v := table.begin()
		f.Due(250 * time.Millisecond)
		table.apply(v, v.tally.counts)
		check("Due during a census", true, 250*time.Millisecond)

		v = table.begin()
		f.Set([]fsys.ID{{Dev: 1, Ino: 1}})
		table.apply(v, v.tally.counts)
		check("Set during a census", false, 0)

		take(t, table)
		check("a census after both", true, maxInterval)
	})
}

func TestSet(t *testing.T) {
	bubble(t, time.Second, func(t *testing.T, b *clocked) {
		b.proc.exec(10, b.exes[0])
		b.proc.exec(11, b.exes[1])
		b.proc.exec(12, b.exes[1])
		var told atomic.Int64
		f := b.table.Follow(func() { told.Add(1) })
		if c := f.Counts(); c.Fresh || c.Of(b.ids[0]) != 0 {
			t.Errorf("counts before Set: fresh %v, %d processes", c.Fresh, c.Of(b.ids[0]))
		}
		check := func(when string, fresh bool, want ...int) {
			t.Helper()
			c := f.Counts()
			if c.Fresh != fresh {
				t.Errorf("%s: fresh is %v, want %v", when, c.Fresh, fresh)
			}
			for i, n := range want {
				if got := c.Of(b.ids[i]); got != n {
					t.Errorf("%s: %d processes of executable %d, want %d", when, got, i+1, n)
				}
			}
		}

		f.Set(b.ids[:1])
		check("set", false, 0, 0)
		f.Due(time.Second) // does not put off what Set asked for
		b.pass(0)
		b.censuses("set", 2)
		check("set and counted", true, 1, 0)
		if n := told.Load(); n != 1 {
			t.Errorf("told %d times of the counts asked for, want 1", n)
		}

		f.Set([]fsys.ID{b.ids[0], b.ids[0]})
		check("set to the same", true, 1, 0)
		b.pass(0)
		b.censuses("set to the same", 2)

		b.proc.exec(13, b.exes[0])
		f.Set([]fsys.ID{b.ids[1], b.ids[0]})
		check("set to more", false, 1, 0) // still the counts of the census before
		b.pass(0)
		check("set to more and counted", true, 2, 2)

		f.Set(nil)
		check("set to none", true, 2, 2) // there is nothing to look for
		b.pass(time.Second)
		check("set to none and counted", true, 0, 0)
		b.censuses("in all", 4)
	})
}

// Counts that were handed out belong to their census for ever, and followers do not disturb each
// other.
func TestCountsDoNotChange(t *testing.T) {
	proc, exes := newFakeProc(t), files(t, "", 3)
	table := newTable(t, proc.dir)
	f, ids := follow(t, table, exes[:2]...)
	proc.exec(10, exes[0])
	take(t, table)
	first := f.Counts()

	proc.exec(10, exes[1])
	g, _ := follow(t, table, exes[1:]...)
	take(t, table)
	second := f.Counts()
	if first.Of(ids[0]) != 1 || first.Of(ids[1]) != 0 {
		t.Errorf("the first census's counts are %d and %d now, want 1 and 0", first.Of(ids[0]), first.Of(ids[1]))
	}
	if second.Of(ids[0]) != 0 || second.Of(ids[1]) != 1 || g.Counts().Of(ids[1]) != 1 {
		t.Errorf("the second census's counts are %d and %d, want 0 and 1", second.Of(ids[0]), second.Of(ids[1]))
	}
	if !second.At.After(first.At) {
		t.Errorf("the second census began at %v, the first at %v", second.At, first.At)
	}

	g.Close()
	proc.exec(11, exes[1])
	take(t, table)
	if c := f.Counts(); c.Of(ids[1]) != 2 || !c.Fresh {
		t.Errorf("after another follower closed: %d processes, fresh %v; want 2, true", c.Of(ids[1]), c.Fresh)
	}
	if n := len(table.last.in); n != 2 {
		t.Errorf("after another follower closed %d executables are looked for, want 2", n)
	}
}

func TestNotify(t *testing.T) {
	const ms = time.Millisecond
	bubble(t, time.Second, func(t *testing.T, b *clocked) {
		var told atomic.Int64
		f := b.table.Follow(func() { told.Add(1) })
		f.Set(b.ids[:2])
		b.pass(0)
		check := func(when string, want int64) {
			t.Helper()
			if got := told.Swap(0); got != want {
				t.Errorf("%s: told %d times, want %d", when, got, want)
			}
		}
		check("the first counts", 1)
		b.pass(3 * time.Second)
		check("three intervals in which nothing happens", 3)

		f.Due(100 * ms)
		b.pass(100 * ms)
		check("an early census that changes nothing", 0)
		b.proc.exec(10, b.exes[1])
		f.Due(100 * ms)
		b.pass(100 * ms)
		check("an early census that finds a process", 1)
		b.proc.exec(10, b.exes[0])
		f.Due(100 * ms)
		b.pass(100 * ms)
		check("a process that went over to another executable", 1)
		b.proc.exec(11, b.exes[2])
		f.Due(100 * ms)
		b.pass(100 * ms)
		check("a process of an executable that is not followed", 0)
		b.proc.exit(10)
		f.Due(100 * ms)
		b.pass(100 * ms)
		check("a process that ended", 1)
		f.Set(b.ids[:1])
		b.pass(0)
		check("less than was known before", 0)
		f.Set(b.ids[:2])
		b.pass(0)
		check("and again all of it, by the same census", 0)
		f.Set(b.ids)
		b.pass(0)
		check("fresh again, and more than before", 1)
		f.Set(b.ids[:1])

		f.Close()
		b.proc.exec(10, b.exes[0])
		b.pass(3 * time.Second)
		check("closed", 0)
	})
}

func TestRate(t *testing.T) {
	bubble(t, 500*time.Millisecond, func(t *testing.T, b *clocked) {
		f, other := b.table.Follow(nil), b.table.Follow(nil)
		pid := 100
		b.proc.exec(pid, b.exes[0])
		b.pass(250 * time.Millisecond)
		f.Set(b.ids[:2])
		other.Set(b.ids[2:])
		b.pass(0)
		if got := f.Rate(); got != 0 {
			t.Errorf("rate is %v when nothing was known before, want 0", got)
		}
		near := func(when string, want float64) {
			t.Helper()
			if got := f.Rate(); math.Abs(got-want) > 0.02*4 {
				t.Errorf("%s: %v processes a second, want %v", when, got, want)
			}
		}
		for range 60 { // 30 s
			b.proc.exec(pid+1, b.exes[0])
			b.proc.exec(pid+2, b.exes[1])
			pid += 2
			b.pass(500 * time.Millisecond)
		}
		near("two new ones each half second", 4)
		for i := range 60 { // the sum of the counts stays, and yet a process begins each time
			b.proc.exec(pid, b.exes[i%2])
			b.pass(500 * time.Millisecond)
		}
		near("one new one for each that ended, on the other executable", 2)
		b.pass(40 * time.Second)
		near("nothing happens", 0)
		if got := other.Rate(); got != 0 {
			t.Errorf("rate of an executable with no process is %v, want 0", got)
		}
	})
}

func TestLatency(t *testing.T) {
	const ms = time.Millisecond
	bubble(t, 400*ms, func(t *testing.T, b *clocked) {
		f := b.table.Follow(nil)
		check := func(when string, want time.Duration) {
			t.Helper()
			if got := f.Latency(); got != want {
				t.Errorf("%s: latency is %v, want %v", when, got, want)
			}
		}
		check("after one census", 400*ms)
		b.pass(400 * ms)
		check("at the interval", 400*ms)
		f.Due(30 * ms)
		b.pass(30 * ms)
		check("after an early census", 30*ms)
		b.pass(10 * ms)
		check("shortly after", 30*ms)
		b.pass(300 * ms)
		check("long after", 310*ms)
	})
}

func TestLatencyCountsTheCensusItself(t *testing.T) {
	proc := newFakeProc(t)
	synctest.Test(t, func(t *testing.T) {
		b := &clocked{t: t, table: newTable(t, proc.dir)}
		f := b.table.Follow(nil)
		take(t, b.table)
		b.pass(100 * time.Millisecond)
		v := b.table.begin()
		b.pass(20 * time.Millisecond)
		v.took = time.Since(v.began)
		b.table.apply(v, v.tally.counts)
		if got := f.Latency(); got != 120*time.Millisecond {
			t.Errorf("latency is %v for a census that began after 100 ms and took 20 ms, want 120ms", got)
		}
	})
}

func TestStats(t *testing.T) {
	proc := newFakeProc(t)
	proc.exec(10, files(t, "", 1)[0])
	table := newTable(t, proc.dir)
	if s := table.Stats(); s.Censuses != 0 || s.Processes != 0 || s.LastDuration != 0 {
		t.Errorf("before the first census: %+v", s)
	}
	take(t, table)
	take(t, table)
	s := table.Stats()
	if s.Accounting != "census" || s.Overflows != 0 || s.Censuses != 2 || s.Processes != 2 || s.LastDuration <= 0 || s.Durations.Total() != 2 {
		t.Errorf("after two censuses of two processes: %+v", s)
	}
	const reason = `census.events is "off": a new process is seen within 1s, or ten times the length of a census if that is more`
	if s.AccountingReason != reason {
		t.Errorf("the reason is %q, want %q", s.AccountingReason, reason)
	}
}
