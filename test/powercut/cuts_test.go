package powercut

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
)

// recording is all that was written to a disk, and what went on meanwhile.
type recording struct {
	disk    *disk
	history *history
	events  []event
	ends    []int64 // how much was recorded after each event, in bytes
}

func (r *recording) String() string {
	flushes, bytes := 0, 0
	for _, e := range r.events {
		bytes += len(e.data)
		if e.flush {
			flushes++
		}
	}
	return fmt.Sprintf("%d writes of %d KiB together and %d flushes", len(r.events)-flushes, bytes>>10, flushes)
}

// tell describes a cut.
func (r *recording) tell(c cut) string {
	return fmt.Sprintf("power cut during %s, after event %d of %d, %.0f %% of the unflushed kept",
		r.history.during(r.moment(c.at)), c.at, len(r.events), 100*c.kept)
}

// moment is how much had been recorded at a cut.
func (r *recording) moment(at int) int64 {
	if at == 0 {
		return 0
	}
	return r.ends[at-1]
}

// choose chooses power cuts, perPhase in each phase: one at its end, a good third right after a flush,
// the others anywhere, with none, some or all of the writes since.
func (r *recording) choose(perPhase int, chance *rand.Rand) (cuts []cut) {
	first := 0
	for _, p := range r.history.phases {
		end := sort.Search(len(r.ends), func(i int) bool { return r.ends[i] > p.end })
		var flushes []int
		for i := first; i < end; i++ {
			if r.events[i].flush {
				flushes = append(flushes, i+1)
			}
		}
		for n := range perPhase {
			c := cut{at: first + chance.IntN(end-first+1), kept: []float64{0, 0.2, 0.5, 0.8, 1}[chance.IntN(5)], seed: chance.Uint64()}
			switch {
			case n == 0: // what was told a moment ago must be durable
				c.at, c.kept = end, 0
			case n%2 == 0 && len(flushes) > 0:
				c.at = flushes[chance.IntN(len(flushes))]
			}
			cuts = append(cuts, c)
		}
		first = end
	}
	slices.SortStableFunc(cuts, func(a, b cut) int { return a.at - b.at })
	return cuts
}

// fail has the power fail at each of the cuts, inserts the disk as it is left, and calls examine. It
// returns, by cut, what examine has found to be wrong, and ends when that is enough to know.
func (r *recording) fail(t *testing.T, cuts []cut, examine func(expectation) error) (harm map[cut]error) {
	t.Helper()
	const enough = 10
	harm = map[cut]error{}
	durable, flushed, read := maps.Clone(r.disk.base), 0, 0
	for _, c := range cuts {
		for ; read < c.at; read++ {
			if !r.events[read].flush {
				continue
			}
			for _, e := range r.events[flushed:read] {
				durable.write(e.offset, e.data, func() bool { return true })
			}
			flushed = read + 1
		}
		must(t, r.disk.insert(c.left(durable, r.events[flushed:c.at])))
		err := examine(r.history.at(r.moment(c.at)))
		must(t, unmount(r.disk.point))
		if err != nil {
			harm[c] = err
		}
		if len(harm) == enough {
			break
		}
	}
	return harm
}
