package proctable

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// readDirents is what getdents64 writes for dir, in one piece.
func readDirents(t testing.TB, dir string) []byte {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []byte
	buf := make([]byte, 4096)
	for {
		n, err := unix.Getdents(int(f.Fd()), buf)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return all
		}
		all = append(all, buf[:n]...)
	}
}

func TestCutDirent(t *testing.T) {
	dir := t.TempDir()
	want := []string{".", "..", "1", "12", strings.Repeat("7", 255)}
	for i := range 300 { // more than one call of getdents64
		want = append(want, "name-"+strings.Repeat("x", i%9)+string(rune('a'+i%26))+strings.Repeat("y", i/26))
	}
	slices.Sort(want)
	want = slices.Compact(want)
	for _, name := range want {
		if name == "." || name == ".." {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for rest := readDirents(t, dir); len(rest) > 0; {
		name, more, ok := cutDirent(rest)
		if !ok {
			t.Fatalf("malformed entry after %q", got)
		}
		got = append(got, string(name))
		rest = more
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("names are %q, want %q", got, want)
	}
}

func FuzzCutDirent(f *testing.F) {
	f.Add(readDirents(f, "/proc/self"))
	f.Add([]byte{})
	f.Add(make([]byte, direntName))
	f.Add(slices.Repeat([]byte{0xff}, 64))
	f.Fuzz(func(t *testing.T, buf []byte) {
		for rest := buf; len(rest) > 0; {
			name, more, ok := cutDirent(rest)
			if !ok {
				return
			}
			if len(more) >= len(rest) {
				t.Fatalf("no progress: %d bytes left of %d", len(more), len(rest))
			}
			if len(name) > len(rest)-len(more)-direntName-1 {
				t.Fatalf("name of %d bytes in an entry of %d", len(name), len(rest)-len(more))
			}
			if slices.Contains(name, 0) {
				t.Fatalf("name %q goes on after its end", name)
			}
			rest = more
		}
	})
}

func TestIsPID(t *testing.T) {
	for name, want := range map[string]bool{
		"1": true, "32768": true, "4194304": true, "2147483647": true,
		"": false, ".": false, "..": false, "self": false, "thread-self": false,
		"12a": false, "-1": false, "+1": false, " 1": false, "1/": false, "1:": false,
		"12345678901": false, // no pid_t is that long: it would not fit in the path
	} {
		if got := isPID([]byte(name)); got != want {
			t.Errorf("isPID(%q) = %v, want %v", name, got, want)
		}
	}
}
