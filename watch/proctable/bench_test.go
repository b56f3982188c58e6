package proctable

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// benchProcesses is how many processes BenchmarkCensus starts: 500, or as many as
// RELINKD_BENCH_PROCESSES says. 12000 is the mail site that relinkd comes from.
func benchProcesses(b *testing.B) int {
	b.Helper()
	text := os.Getenv("RELINKD_BENCH_PROCESSES")
	if text == "" {
		return 500
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		b.Fatalf("RELINKD_BENCH_PROCESSES is %q, want a number of processes", text)
	}
	return n
}

// BenchmarkCensus counts real processes, spread over 60 executables, and compares the census with a
// C loop of the same system calls and with the usual tools, over the same processes in the same
// run: "censuses" is how many censuses each costs. What is compared is processor time, which other
// work on the machine disturbs least.
func BenchmarkCensus(b *testing.B) {
	const copies = 60
	n := benchProcesses(b)
	exes := files(b, "", copies)
	m := newMaster(b)
	for i := range n {
		m.start(exes[i%copies])
	}
	table := newTable(b, "/proc")
	f, ids := follow(b, table, exes...)
	take(b, table)
	sum := 0
	for _, id := range ids {
		sum += f.Counts().Of(id)
	}
	if sum != n {
		b.Fatalf("counted %d processes, want %d", sum, n)
	}

	var census float64 // nanoseconds of processor time
	b.Run("relinkd", func(b *testing.B) {
		b.ReportAllocs()
		before := cpuTime(b)
		for b.Loop() {
			take(b, table)
		}
		census = float64(cpuTime(b)-before) / float64(b.N)
		b.ReportMetric(census, "cpu-ns/op")
		b.ReportMetric(census/float64(table.Stats().Processes), "cpu-ns/process")
	})
	b.Run("c", func(b *testing.B) {
		loop := filepath.Join(b.TempDir(), "census")
		if out, err := exec.Command("cc", "-O2", "-o", loop, "testdata/census.c").CombinedOutput(); err != nil {
			b.Skipf("left out the C loop, which cannot be compiled: %v %s", err, out)
		}
		b.ResetTimer()
		out, err := exec.Command(loop, strconv.Itoa(b.N)).Output()
		if err != nil {
			b.Fatal(err)
		}
		spent, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(spent, "cpu-ns/op")
		b.ReportMetric(spent/census, "censuses")
	})
	for _, tool := range [][]string{{"pgrep", "-c", "imapd"}, {"fuser", exes[0]}} {
		b.Run(tool[0], func(b *testing.B) {
			path, err := exec.LookPath(tool[0])
			if err != nil {
				b.Skipf("left out %s: %v", tool[0], err)
			}
			var spent time.Duration
			for b.Loop() {
				cmd := exec.Command(path, tool[1:]...)
				if err := cmd.Run(); err != nil {
					b.Fatalf("%s: %v", strings.Join(tool, " "), err)
				}
				spent += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			}
			each := float64(spent) / float64(b.N)
			b.ReportMetric(each, "cpu-ns/op")
			b.ReportMetric(each/census, "censuses")
		})
	}
}

// cpuTime is the processor time that this process has spent.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(unix.TimevalToNsec(u.Utime) + unix.TimevalToNsec(u.Stime))
}
