package pool

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"relinkd/fsys"
)

const (
	benchCopies = 60
	benchSize   = 2 << 20 // bytes of the executable
)

func BenchmarkChoose(b *testing.B) {
	p := Policy{Threshold: 200, RotateAt: 0.9, MaxCopies: 240, MinDwell: time.Second, Rotation: RotationAdaptive}
	v := View{Current: 17, Latency: 100 * time.Microsecond, Rate: 100}
	for n := 1; n <= benchCopies; n++ {
		v.Loads = append(v.Loads, Load{Number: n, Processes: 180 + n%3})
	}
	v.Loads[4].Processes = 20
	b.ReportAllocs()
	for b.Loop() {
		if d := Choose(p, v); d.To != 5 {
			b.Fatalf("decision %+v", d)
		}
	}
}

// BenchmarkClone60 compares the making of 60 durable and checked copies of a 2 MiB executable with
// cp and one sync of the same bytes. The bar is 1.5.
func BenchmarkClone60(b *testing.B) {
	dir := b.TempDir()
	p, src := benchPool(b, dir)
	b.Run("Stage", func(b *testing.B) {
		for b.Loop() {
			s, err := p.Stage(b.Context(), src, numbers(benchCopies))
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if err := s.Discard(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
	b.Run("cp", func(b *testing.B) {
		copies := filepath.Join(dir, "cp")
		script := `for n in $(seq "$3"); do cp -p --reflink=auto "$1" "$2/$n"; done; sync -f "$2"`
		for b.Loop() {
			if err := os.Mkdir(copies, 0o755); err != nil {
				b.Fatal(err)
			}
			if out, err := exec.Command("sh", "-ec", script, "sh", src.File().Name(), copies, "60").CombinedOutput(); err != nil {
				b.Fatalf("cp: %v: %s", err, out)
			}
			b.StopTimer()
			if err := os.RemoveAll(copies); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
}

// BenchmarkCommit is the time in which 60 staged copies replace 60 others.
func BenchmarkCommit(b *testing.B) {
	p, src := benchPool(b, b.TempDir())
	for b.Loop() {
		b.StopTimer()
		s, err := p.Stage(b.Context(), src, numbers(benchCopies))
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, err := s.Commit(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// benchPool is an empty pool in dir with a source of benchSize bytes that do not compress.
func benchPool(b *testing.B, dir string) (*Pool, *Source) {
	content := make([]byte, benchSize)
	random := rand.NewChaCha8([32]byte{})
	if _, err := random.Read(content); err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(dir, "imapd")
	if err := os.WriteFile(path, content, 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, ".relinkd"), 0o755); err != nil {
		b.Fatal(err)
	}
	install, err := fsys.OpenDir(dir, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { install.Close() })
	private, err := install.OpenDir(".relinkd")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { private.Close() })
	f, err := install.Open("imapd")
	if err != nil {
		b.Fatal(err)
	}
	src, err := ReadSource(context.Background(), f)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { src.Close() })
	return New(install, private, "imapd"), src
}

// numbers is 1 to n.
func numbers(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i + 1
	}
	return all
}
