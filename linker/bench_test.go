package linker

import (
	"maps"
	"slices"
	"testing"
	"time"
)

// BenchmarkRotate has the bar of DESIGN.md §11: 10,000 a second on ext4, 100,000 ns/op. Set TMPDIR
// to an ext4 with a journal. One without, as some virtual machines have for their root, passes over
// every inode that was deleted within the last minute before it gives one out (recently_deleted in
// fs/ext4/ialloc.c), which tens of thousands of rotations a minute make ten times slower.
func BenchmarkRotate(b *testing.B) {
	s := newSite(b, b.TempDir())
	l := s.open(nil)
	defer l.Close()
	for i := 0; b.Loop(); i++ {
		must(b, l.Rotate(i%copies+1))
	}
}

// BenchmarkPublish is a publish and the restore that makes the next one possible; most of it is
// waiting for the disk.
func BenchmarkPublish(b *testing.B) {
	s := newSite(b, b.TempDir())
	l := s.open(nil)
	defer l.Close()
	for b.Loop() {
		must(b, l.Rotate(1))
		must(b, l.Publish(s.lstat(s.path)))
		if _, err := l.Restore(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkExec is how long a process takes from its beginning to its end, by what it is executed through:
// a copy by itself, a symbolic link and a launcher in turn.
func BenchmarkExec(b *testing.B) {
	took := map[string][]time.Duration{}
	ways := map[string]string{}
	for form := range Launcher + 1 {
		s := newSiteOf(b, b.TempDir(), form).published()
		ways[form.String()], ways["copy"] = s.path, s.copy(1)
	}
	names := slices.Sorted(maps.Keys(ways))
	for b.Loop() {
		for _, name := range names {
			began := time.Now()
			must(b, run(ways[name]))
			took[name] = append(took[name], time.Since(began))
		}
	}
	for name, all := range took {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Microseconds()), name+"-p50-µs")
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), name+"-p99-µs")
	}
}
