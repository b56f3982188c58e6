package watch

import (
	"os"
	"strings"
	"testing"
	"time"

	"relinkd/api"
	"relinkd/config"
)

// surge is processes that come and stay, more than a pool has room for at the beginning.
type surge struct {
	name               string
	publish            config.Publish
	copies, threshold  int
	rate, burst, total int
	upgrade            bool // in the middle
}

// surges are those of every run, and with LONG_TESTS those for which relinkd is made.
func surges() []surge {
	all := []surge{
		{"growth, threshold 40", config.PublishSymlink, 5, 40, 150, 1, 450, false},
		{"upgrade, threshold 40", config.PublishNone, 5, 40, 150, 1, 450, true},
		{"by tens, threshold 60", config.PublishLauncher, 3, 60, 150, 10, 450, false},
	}
	if os.Getenv("LONG_TESTS") == "" {
		return all
	}
	for _, publish := range ways {
		all = append(all,
			surge{"founding profile, " + string(publish), publish, 50, 200, 800, 1, 12_000, false},
			surge{"founding profile, upgrade, " + string(publish), publish, 60, 200, 800, 1, 12_000, true},
			surge{"threshold 20, " + string(publish), publish, 10, 20, 200, 1, 1500, true},
			surge{"threshold 40, " + string(publish), publish, 10, 40, 400, 1, 3000, true},
			surge{"threshold 200 by tens, " + string(publish), publish, 10, 200, 800, 10, 6000, true})
	}
	return all
}

// No copy passes its threshold while the pool grows, or is made anew, and processes go on beginning: as
// somebody else counts them, and as long as the status has promised it.
func TestGrowthStorm(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: seconds of executions at a rate")
	}
	for _, c := range surges() {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, func(cfg *config.Target) {
				cfg.Publish, cfg.Copies, cfg.MaxCopies, cfg.Threshold, cfg.MinDwell = c.publish, c.copies, 240, c.threshold, time.Second
			})
			s.configure(func(cfg *config.Config) { cfg.Census.Events = config.EventsNetlink })
			s.quiet = true
			s.install("1")
			niced(t)
			d := s.start()
			d.waitFor("steady", func(st api.TargetStatus) bool { return st.State == api.Steady })
			needNetlink(t, d)
			began := d.waitFor("promised", func(st api.TargetStatus) bool { return st.ThresholdPromised })
			executed := s.path
			if c.publish == config.PublishNone {
				executed = s.privateLink()
			}
			l := startLoad(t, load{Path: executed, For: 2 * time.Minute, Rate: c.rate, Total: c.total, Burst: c.burst})
			if c.upgrade {
				d.waitFor("half of them run", func(st api.TargetStatus) bool { return st.Processes >= c.total/2 })
				s.install("2")
			}
			started := l.wait().Spawns
			end := d.waitFor("all are counted", func(st api.TargetStatus) bool {
				return st.Processes+st.StaleProcesses+st.SourceProcesses == started && st.State == api.Steady
			})
			most, on := 0, ""
			for name, n := range countByHand(t, s) { // nothing has ended: it is as much as there ever was
				if name = strings.TrimSuffix(name, " (deleted)"); n > most && strings.Contains(name, "_") {
					most, on = n, name
				}
			}
			promised := !end.UnpromisedAt.After(began.UnpromisedAt)
			t.Logf("%d processes, at %.0f a second, on %d copies; most on a copy: %d of %d, %s; mark %d, %d unseen, latency %.1f ms; promised all the time: %v",
				started, end.ExecRate, len(end.Copies), most, c.threshold, on, end.Mark, end.UnseenProcesses, 1000*end.EventLatencySeconds, promised)
			if most > c.threshold && promised {
				t.Errorf("%d processes run %s, and a threshold of %d was promised all the time", most, on, c.threshold)
			}
			if !c.upgrade && len(end.Copies) <= c.copies {
				t.Errorf("the pool has not grown from %d copies: this proves nothing", c.copies)
			}
			if started < c.total {
				t.Errorf("%d processes were started of %d", started, c.total)
			}
		})
	}
}
