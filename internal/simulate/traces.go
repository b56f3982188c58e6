package simulate

import (
	"cmp"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Connection is one client's: it begins at Start and ends Life later.
type Connection struct{ Start, Life time.Duration }

// Trace is what clients do from 0 to End. Connections are in the order of their starts, all before
// End; they may outlast it.
type Trace struct {
	Name        string
	End         time.Duration
	Connections []Connection
	Upgrade     time.Duration // when an upgrade puts a new executable at path; 0 for never
}

// capacity is the processes for which the original scheme was built: 60 copies of 200.
const capacity = 12_000

// length is that of every trace.
const length = 20 * time.Minute

// Traces makes all traces; the same seed makes the same ones.
func Traces(seed uint64) []Trace {
	return []Trace{loginStorm(seed), webmail(seed), idle(seed), burst(seed), growth(seed), upgrade(seed)}
}

// loginStorm is the morning: everybody logs in within 200 s, at up to 120 a second, and stays.
func loginStorm(seed uint64) Trace {
	const lasts = 200 * time.Second
	r := random(seed, "login storm")
	t := Trace{Name: "login storm", End: length}
	for len(t.Connections) < capacity {
		share := r.Float64()
		// The rate swells from nothing to twice the mean and back.
		if swell := math.Sin(math.Pi * share); r.Float64() < swell*swell {
			t.add(scale(lasts, share), length)
		}
	}
	return t.sorted()
}

// webmail is a connection for every click: 200 a second, each of 0.05 to 2 s.
func webmail(seed uint64) Trace {
	r := random(seed, "webmail")
	t := Trace{Name: "webmail", End: length}
	for range 200 * int(length.Seconds()) {
		t.add(within(r, 0, length), within(r, 50*time.Millisecond, 2*time.Second))
	}
	return t.sorted()
}

// idle is phones and desktops that wait for mail: 12,000 arrive within 10 minutes; each stays for 20
// minutes in the mean and is back half a second later, so that 10 a second come and go.
func idle(seed uint64) Trace {
	const stay, pause = 20 * time.Minute, 500 * time.Millisecond
	r := random(seed, "idle")
	t := Trace{Name: "idle", End: length}
	for range capacity {
		for start := within(r, 0, 10*time.Minute); start < t.End; {
			life := scale(stay, r.ExpFloat64())
			t.add(start, life)
			start += life + pause
		}
	}
	return t.sorted()
}

// burst is a day of 12,000 that began slowly, until twice as many more come within a minute, which
// begins at any second of the clock's.
func burst(seed uint64) Trace {
	const slowly = 10 * time.Minute
	r := random(seed, "burst")
	t := Trace{Name: "burst", End: length}
	for range capacity {
		t.add(within(r, 0, slowly), length)
	}
	begins := slowly + within(r, 0, time.Minute)
	for range 2 * capacity {
		t.add(within(r, begins, begins+time.Minute), length)
	}
	return t.sorted()
}

// growth is a pool of 50 copies that is too small: 12,000 come, 800 a second, and stay.
func growth(seed uint64) Trace { return rush(seed, "growth", capacity) }

// upgrade is the same until there are 6,000, when an upgrade comes, and goes on.
func upgrade(seed uint64) Trace {
	t := rush(seed, "upgrade", capacity)
	t.Upgrade = t.Connections[6000].Start
	return t
}

// rush is n connections, 800 a second, that stay.
func rush(seed uint64, name string, n int) Trace {
	const perSecond = 800
	r := random(seed, name)
	t := Trace{Name: name, End: length}
	for range n {
		t.add(within(r, 0, time.Duration(n)*time.Second/perSecond), length)
	}
	return t.sorted()
}

func (t *Trace) add(start, life time.Duration) {
	t.Connections = append(t.Connections, Connection{start, life})
}

// sorted is t in the order of the starts.
func (t Trace) sorted() Trace {
	slices.SortFunc(t.Connections, func(a, b Connection) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Life, b.Life))
	})
	return t
}

// random is a source of its own for each seed and purpose: a change of one trace leaves the others.
func random(seed uint64, purpose string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(purpose))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// within is any time from a on, before b.
func within(r *rand.Rand, a, b time.Duration) time.Duration {
	return a + scale(b-a, r.Float64())
}

// scale rounds so that the last bit of a product, in which machines differ, changes no result.
func scale(d time.Duration, by float64) time.Duration {
	return time.Duration(float64(d) * by).Round(time.Microsecond)
}
