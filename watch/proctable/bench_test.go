package proctable

import (
	"fmt"
	"os"
	"strconv"
	"testing"
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

// BenchmarkCensus counts real processes, spread over 60 executables.
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
	b.Run(fmt.Sprintf("processes=%d", n), func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			take(b, table)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(table.Stats().Processes), "ns/process")
	})
}
