package simulate

import (
	"bytes"
	"flag"
	"os"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"relinkd/pool"
)

var update = flag.Bool("update", false, "write testdata/table.md anew")

// compared is Compare(seed), which takes seconds.
var compared = sync.OnceValue(func() []Row { return Compare(seed) })

func TestTable(t *testing.T) {
	const name = "testdata/table.md"
	got := Table(compared())
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not what the simulation gives; if the change is meant, go test ./internal/simulate -update (-want +got):\n%s", name, diff)
	}
}

func TestCountsReturnToZero(t *testing.T) {
	connections := map[string]int{}
	for _, trace := range Traces(seed) {
		connections[trace.Name] = len(trace.Connections)
	}
	for _, r := range compared() {
		if r.Result.Left != 0 || r.Result.Served != connections[r.Trace] {
			t.Errorf("%s, %s: %d counts are left after %d connections of %d", r.Trace, r.Scheme.Name, r.Result.Left, r.Result.Served, connections[r.Trace])
		}
		// Every connection has a worker, which serves 30 at most and is retired once at most.
		if s := r.Result.Started; s*maxUses < r.Result.Served || s > r.Result.Served || r.Result.Retired > s {
			t.Errorf("%s, %s: %d workers served %d connections and %d were retired", r.Trace, r.Scheme.Name, s, r.Result.Served, r.Result.Retired)
		}
	}
}

// TestFindings holds what is said of the table.
func TestFindings(t *testing.T) {
	result := map[string]map[string]Result{}
	for _, r := range compared() {
		if result[r.Trace] == nil {
			result[r.Trace] = map[string]Result{}
		}
		result[r.Trace][r.Scheme.Name] = r.Result
		holds := r.Result.Highest <= r.Scheme.Policy.Threshold
		isAdaptive := r.Scheme.Policy.Rotation == pool.RotationAdaptive
		if want := isAdaptive && !r.Result.Saturated; holds != want {
			t.Errorf("%s, %s: %d on a copy, the threshold holds: %v, want %v", r.Trace, r.Scheme.Name, r.Result.Highest, holds, want)
		}
		if wants := r.Scheme.Name == withoutGrowth(adaptive()).Name; r.Result.Saturated != wants {
			t.Errorf("%s, %s: saturated: %v", r.Trace, r.Scheme.Name, r.Result.Saturated)
		}
	}
	web := result["webmail"]
	if web["adaptive"].Retired < 10*web["interval"].Retired {
		t.Error("webmail: adaptive no longer retires many times the workers that interval does: say so")
	}
	if r := web["adaptive, threshold = 300"]; r.Rotations != 0 || r.Retired != 0 {
		t.Errorf("webmail: %d rotations retired %d workers where all fit on one copy", r.Rotations, r.Retired)
	}
	if n := web["adaptive, launcher"].Retired + web["interval, launcher"].Retired; n != 0 {
		t.Errorf("webmail: %d workers retired with a launcher", n)
	}
}

func TestThresholdHoldsWhileThereIsRoom(t *testing.T) {
	for seed := range uint64(3) {
		for _, trace := range []Trace{loginStorm(seed), idle(seed), burst(seed)} {
			for _, s := range []Scheme{adaptive(), withoutGrowth(adaptive())} {
				r := Run(trace, s, seed)
				if r.HighestWithRoom > s.Policy.Threshold || r.HighestWithRoom < 150 {
					t.Errorf("seed %d, %s, %s: %d processes on a copy while others had room, threshold %d", seed, trace.Name, s.Name, r.HighestWithRoom, s.Policy.Threshold)
				}
				if !r.Saturated && r.Highest != r.HighestWithRoom {
					t.Errorf("seed %d, %s, %s: highest %d, with room %d, never saturated", seed, trace.Name, s.Name, r.Highest, r.HighestWithRoom)
				}
			}
		}
	}
}

func TestSeed(t *testing.T) {
	run := func(seed uint64) (results []Result) {
		for _, trace := range []Trace{loginStorm(seed), idle(seed)} {
			for _, s := range []Scheme{interval(), adaptive()} {
				results = append(results, Run(trace, s, seed))
			}
		}
		return results
	}
	first := run(7)
	if diff := cmp.Diff(first, run(7)); diff != "" {
		t.Errorf("the same seed gives other results: %s", diff)
	}
	if cmp.Equal(first, run(8)) {
		t.Error("another seed changes nothing")
	}
}

func TestREADMEQuotesTheTable(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("testdata/table.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(readme, table) {
		t.Error("README.md does not contain testdata/table.md as it is: paste it anew")
	}
}
