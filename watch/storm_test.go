package watch

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"relinkd/api"
	"relinkd/config"
)

// storm is what happens to a target under two loads for a while.
type storm struct {
	status  *api.Status
	target  api.TargetStatus
	spawns  int
	rate    float64       // the highest rate that the status has shown
	latency time.Duration // the longest
	mark    int           // the lowest
	sampled int           // the most processes on one copy that were ever found in /proc by hand
}

const stormTime = 10 * time.Second

// blow lets two loads storm a daemon that has 60 copies at a threshold of 200, and checks what must be
// so in any way of counting: no execution fails, and when the storm is over the counts are right.
func blow(t *testing.T, s *site, d *daemon, alive int) storm {
	t.Helper()
	var loads []*runningLoad
	for i := range 2 {
		loads = append(loads, startLoad(t, load{Path: s.path, Alive: alive / 2, For: stormTime, Seed: uint64(i)}))
	}
	b := storm{mark: math.MaxInt}
	over := make(chan struct{})
	sampling := make(chan int)
	go func() { // somebody else's count
		most := 0
		for {
			for _, n := range countByHand(t, s) {
				most = max(most, n)
			}
			select {
			case <-over:
				sampling <- most
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	done := make(chan loadResult)
	for _, l := range loads {
		go func() { done <- l.wait() }()
	}
	for left := len(loads); left > 0; {
		select {
		case r := <-done:
			left--
			b.spawns += r.Spawns
		case <-time.After(20 * time.Millisecond):
			st := d.target()
			b.rate, b.mark = max(b.rate, st.ExecRate), min(b.mark, st.Mark)
			b.latency = max(b.latency, time.Duration(st.EventLatencySeconds*float64(time.Second)))
		}
	}
	close(over)
	b.sampled = <-sampling
	eventually(t, "the counts are those of /proc", func() bool {
		b.target = d.target()
		hand := countByHand(t, s)
		for _, c := range b.target.Copies {
			if hand[c.Name] != c.Processes {
				return false
			}
		}
		return b.target.Processes > 0
	})
	var err error
	b.status, err = d.Status(t.Context())
	must(t, err)
	t.Logf("%d executions in %v, at most %.0f a second; %d rotations %+v; most on a copy: %d, %d by hand; lowest mark %d, longest latency %v; %d overflows, %q",
		b.spawns, stormTime, b.rate, b.target.Rotations, b.target.RotationsByReason, b.target.PeakCopyProcesses, b.sampled, b.mark, b.latency,
		b.status.Overflows, b.status.AccountingReason)
	if b.sampled > b.target.PeakCopyProcesses && b.status.Overflows == 0 {
		t.Errorf("%d processes were found on one copy, relinkd says at most %d", b.sampled, b.target.PeakCopyProcesses)
	}
	if b.target.Rotations == 0 {
		t.Error("the link was never moved: this proves nothing")
	}
	return b
}

// countByHand is how many processes execute each file of the install directory, by the names that
// /proc shows.
func countByHand(t testing.TB, s *site) map[string]int {
	t.Helper()
	exes, err := filepath.Glob("/proc/[0-9]*/exe")
	must(t, err)
	counts := map[string]int{}
	for _, exe := range exes {
		if to, err := os.Readlink(exe); err == nil && filepath.Dir(to) == s.dir {
			counts[filepath.Base(to)]++
		}
	}
	return counts
}

func stormSite(t *testing.T, events config.Events) *site {
	t.Helper()
	if testing.Short() {
		t.Skip("left out with -short: ten seconds of executions as fast as they go")
	}
	s := newSite(t, func(c *config.Target) {
		c.Copies, c.MaxCopies, c.Threshold, c.RotateAt, c.MinDwell = 60, 60, 200, 0.5, time.Second
	})
	s.configure(func(c *config.Config) { c.Census.Events = events })
	s.install("1")
	return s
}

// With kernel events the threshold holds at whatever rate processes begin. No copy gets more than the
// mark and what begins in the longest time that an event took.
func TestStorm(t *testing.T) {
	s := stormSite(t, config.EventsNetlink)
	niced(t)
	d := s.start()
	d.waitFor("steady", func(st api.TargetStatus) bool { return st.State == api.Steady })
	needNetlink(t, d)
	b := blow(t, s, d, 3000)
	late := int(math.Ceil(b.latency.Seconds() * b.rate))
	if most := b.target.Threshold/2 + late; b.target.PeakCopyProcesses > most {
		t.Errorf("%d processes on one copy: more than the mark and the %d that begin in %v", b.target.PeakCopyProcesses, late, b.latency)
	}
	if b.target.PeakCopyProcesses > b.target.Threshold && late < b.target.Threshold/2 {
		t.Errorf("%d processes on one copy, the threshold is %d", b.target.PeakCopyProcesses, b.target.Threshold)
	}
	if b.status.Overflows != 0 || b.status.Accounting != "netlink" {
		t.Errorf("status: %+v", b.status)
	}
}

// needNetlink skips a test where the kernel tells of no events.
func needNetlink(t *testing.T, d *daemon) {
	t.Helper()
	st, err := d.Status(t.Context())
	must(t, err)
	if st.Accounting != "netlink" {
		t.Skipf("left out: no kernel process events here: %s", st.AccountingReason)
	}
}

// Events that are lost are found out, counted and made up for.
func TestStormOverflow(t *testing.T) {
	s := stormSite(t, config.EventsNetlink)
	s.receiveBuffer = 1 // as small as the kernel makes it: a few events
	niced(t)
	d := s.start()
	d.waitFor("steady", func(st api.TargetStatus) bool { return st.State == api.Steady })
	needNetlink(t, d)
	b := blow(t, s, d, 1000)
	if b.status.Overflows == 0 {
		t.Error("no event was lost: this proves nothing")
	}
	eventually(t, "events count again", func() bool {
		st, err := d.Status(t.Context())
		return err == nil && st.Accounting == "netlink" && st.AccountingReason == ""
	})
}

// Without events no copy gets more than the threshold and what begins between two censuses.
func TestStormCensus(t *testing.T) {
	s := stormSite(t, config.EventsOff)
	niced(t)
	d := s.start()
	d.waitFor("steady", func(st api.TargetStatus) bool { return st.State == api.Steady })
	b := blow(t, s, d, 1000)
	unseen := int(math.Ceil(b.latency.Seconds() * float64(b.spawns) / stormTime.Seconds() * 2))
	if b.target.PeakCopyProcesses > b.target.Threshold/2+unseen {
		t.Errorf("%d processes on one copy: more than the mark and twice what begins in %v", b.target.PeakCopyProcesses, b.latency)
	}
	if b.status.Accounting != "census" || !strings.Contains(b.status.AccountingReason, "off") {
		t.Errorf("status: %+v", b.status)
	}
}

// BenchmarkExecToLink is how long it takes from an exec, as the kernel tells the time, until the link
// has been moved because of it: in nanoseconds the median, the 99th percentile and the longest. With a
// threshold of 2 nearly every execution moves the link.
func BenchmarkExecToLink(b *testing.B) {
	s := newSite(b, func(c *config.Target) {
		c.Copies, c.MaxCopies, c.Threshold, c.RotateAt = 60, 60, 4, 0.5
	})
	s.configure(func(c *config.Config) { c.Census.Events = config.EventsNetlink })
	s.install("1")
	niced(b)
	d := s.start()
	d.waitFor("steady", func(st api.TargetStatus) bool { return st.State == api.Steady })
	l := startLoad(b, load{Path: s.path, Alive: 30, For: 20 * time.Second})
	l.wait()
	d.stop()
	var took []time.Duration
	for line := range strings.Lines(s.log.String()) {
		var said struct {
			Message string
			Took    float64 `json:"event_to_link"` // milliseconds
		}
		must(b, json.Unmarshal([]byte(line), &said))
		if said.Message == "rotated" && said.Took > 0 {
			took = append(took, time.Duration(said.Took*float64(time.Millisecond)))
		}
	}
	slices.Sort(took)
	if len(took) == 0 {
		b.Fatal("no rotation")
	}
	at := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))]) }
	b.ReportMetric(float64(len(took)), "rotations")
	b.ReportMetric(at(0.5), "p50-ns")
	b.ReportMetric(at(0.99), "p99-ns")
	b.ReportMetric(at(1), "max-ns")
	b.ReportMetric(0, "ns/op")
}

// Processes that are none of relinkd's business change nothing that it counts, however many they are.
func TestForeignStorm(t *testing.T) {
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	const ours = 20
	for range ours {
		hold(t, s.path)
	}
	d.waitFor("counted", func(st api.TargetStatus) bool { return st.Processes == ours })
	foreign, err := exec.LookPath("true")
	must(t, err)
	l := startLoad(t, load{Path: foreign, For: 2 * time.Second})
	spawns := l.wait().Spawns
	hold(t, s.path)
	st := d.waitFor("one more is counted", func(st api.TargetStatus) bool { return st.Processes == ours+1 })
	if hand := countByHand(t, s)[st.Current]; hand != ours+1 || st.PeakCopyProcesses != ours+1 || st.Rotations != 0 {
		t.Errorf("%d by hand, after %d foreign processes: %+v", hand, spawns, st)
	}
	if spawns < 100 {
		t.Errorf("%d foreign processes: this proves nothing", spawns)
	}
}
