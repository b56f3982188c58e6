package watch

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
)

// BenchmarkForeignStorm is what relinkd costs while processes that are none of its business begin and
// end as fast as they can: in percent of one core, and processes a second. Its counts must not be
// affected.
func BenchmarkForeignStorm(b *testing.B) {
	const during = 10 * time.Second
	for name, storm := range map[string]func(b *testing.B) (processes int){
		"idle": func(b *testing.B) int {
			<-time.After(during)
			return 0
		},
		"true": func(b *testing.B) int {
			path, err := exec.LookPath("true")
			must(b, err)
			l := startLoad(b, load{Path: path, For: during})
			defer l.end()
			return l.wait().Spawns
		},
		"compile": func(b *testing.B) int {
			gotool, err := exec.LookPath("go")
			if err != nil {
				b.Skipf("left out: %v", err)
			}
			build := exec.Command(gotool, "build", "-a", "-o", os.DevNull, "relinkd/config")
			build.Env = append(os.Environ(), "GOCACHE="+b.TempDir(), "GOFLAGS=-buildvcs=false")
			if out, err := build.CombinedOutput(); err != nil {
				b.Fatalf("%v\n%s", err, out)
			}
			return 0
		},
	} {
		b.Run(name, func(b *testing.B) {
			s := newSite(b)
			s.configure(func(c *config.Config) { c.Census.Events = config.EventsNetlink })
			s.install("1")
			d := s.start()
			d.waitFor("steady", func(st api.TargetStatus) bool { return st.State == api.Steady })
			for range 20 {
				hold(b, s.path)
			}
			d.waitFor("counted", func(st api.TargetStatus) bool { return st.Processes == 20 })
			cost, began := cpuTime(b), time.Now()
			processes := storm(b)
			took := time.Since(began)
			b.ReportMetric(100*float64(cpuTime(b)-cost)/float64(took), "%core")
			b.ReportMetric(float64(processes)/took.Seconds(), "processes/s")
			b.ReportMetric(0, "ns/op")
			st := d.target()
			if hand := countByHand(b, s)[st.Current]; st.Processes != 20 || shownCopy(b, &st).Processes != hand {
				b.Errorf("%d processes, %d by hand, want 20", st.Processes, hand)
			}
			if all, err := d.Status(b.Context()); err != nil || all.Overflows != 0 {
				b.Errorf("%+v, %v", all, err)
			}
		})
	}
}

// cpuTime is the processor time that this process has spent.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(unix.TimevalToNsec(u.Utime) + unix.TimevalToNsec(u.Stime))
}
