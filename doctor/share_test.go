package doctor

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"relinkd/internal/standin"
)

// write makes a file of a host, and the directories above it.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// runs lets a process of the host run exe, with these lines in maps.
func runs(t *testing.T, h Host, pid int, exe, maps string) {
	t.Helper()
	write(t, h.process(pid, "maps"), maps)
	if err := os.Symlink(exe, h.process(pid, "exe")); err != nil {
		t.Fatal(err)
	}
}

// installed is a host and an executable on it.
func installed(t *testing.T) (Host, string) {
	t.Helper()
	root := t.TempDir()
	path := filepath.Join(root, "bin", "imapd")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := standin.Write(path, "1"); err != nil {
		t.Fatal(err)
	}
	h := HostAt(root)
	write(t, filepath.Join(h.Sys, "devices/system/cpu/online"), "0-2,4\n")
	return h, path
}

func dynamic(exe string) string {
	return strings.ReplaceAll(`55d0c0000000-55d0c0010000 r--p 00000000 08:01 1201   EXE
55d0c0010000-55d0c0050000 r-xp 00010000 08:01 1201                       EXE
55d0c1000000-55d0c1021000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000028000 r--p 00000000 08:01 77                         /usr/lib/x86_64-linux-gnu/libc.so.6
7f0000028000-7f00001bd000 r-xp 00028000 08:01 77                         /usr/lib/x86_64-linux-gnu/libc.so.6
7f00001bd000-7f0000215000 r--p 001bd000 08:01 77                         /usr/lib/x86_64-linux-gnu/libc.so.6
7f0000300000-7f0000301000 rw-s 00000000 08:01 78                         /var/lib/a file (deleted)
7f0000400000-7f0000401000 rw-p 00000000 00:00 0 
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0                          [stack]
`, "EXE", exe)
}

func TestShareOfAProcess(t *testing.T) {
	h, path := installed(t)
	runs(t, h, 40, "/proc/self/exe", dynamic("/proc/self/exe")) // another program
	runs(t, h, 42, path, dynamic(path))
	copied := path + "_007"
	if err := standin.Write(copied, "1"); err != nil {
		t.Fatal(err)
	}
	runs(t, h, 43, copied, dynamic(copied))
	got, err := ShareOf(h, path)
	if err != nil {
		t.Fatal(err)
	}
	if got.PID == 43 { // procfs lists in no order here
		got.PID = 42
	}
	want := &Share{Path: path, PID: 42, Processes: 2, Mappings: 9, Own: 2, Cores: 4, Others: []Mapped{
		{"/usr/lib/x86_64-linux-gnu/libc.so.6", 3}, {"/var/lib/a file (deleted)", 1},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	said := strings.Join(got.Sentences(), "\n")
	for _, part := range []string{
		"imapd (process 42, one of 2) has 9 mappings: 2 of the executable, 4 of 2 other files, 3 of no file.",
		"2 of 6 (33 %); libc.so.6 and the like keep theirs",
		"no difference between 1 and 60 copies",
		"This host has 4 cores.",
		"measure before and after",
	} {
		if !strings.Contains(said, part) {
			t.Errorf("%q is not said:\n%s", part, said)
		}
	}
}

// What the real kernel says of a static program.
func TestShareOfARealProcess(t *testing.T) {
	_, path := installed(t)
	cmd := exec.Command(path)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer stdin.Close()
	got, err := ShareOf(ThisHost(), path)
	if err != nil {
		t.Fatal(err)
	}
	if got.PID != cmd.Process.Pid || got.Processes != 1 || got.Own == 0 || got.Mappings <= got.Own || !got.Static || got.Cores == 0 {
		t.Errorf("process %d: %+v", cmd.Process.Pid, got)
	}
	if said := strings.Join(got.Sentences(), "\n"); !strings.Contains(said, "(100 %)") && !strings.Contains(said, ": 100 %.") {
		t.Error(said)
	}
}

func TestShareWithoutAProcess(t *testing.T) {
	h, path := installed(t)
	got, err := ShareOf(h, path)
	if err != nil {
		t.Fatal(err)
	}
	if got.PID != 0 || !got.Static || got.Own == 0 || got.Mappings != 0 {
		t.Errorf("%+v", got)
	}
	if said := got.Sentences()[0]; !strings.HasPrefix(said, "No process runs imapd. The executable is static") {
		t.Error(said)
	}
	sh, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	got, err = ShareOf(h, sh)
	if err != nil {
		t.Fatal(err)
	}
	if got.Static || len(got.Others) == 0 || got.Own == 0 {
		t.Errorf("%s: %+v", sh, got)
	}
	if said := strings.Join(got.Sentences(), "\n"); !strings.Contains(said, "keep theirs") || strings.Contains(said, "Measured with 12,000") {
		t.Error(said)
	}
}

func TestShareOfNothing(t *testing.T) {
	h, path := installed(t)
	if s, err := ShareOf(h, path+"x"); err == nil {
		t.Errorf("%+v", s)
	}
	write(t, path+".sh", "#!/bin/sh\n")
	if s, err := ShareOf(h, path+".sh"); err == nil || !strings.Contains(err.Error(), "imapd.sh") {
		t.Errorf("%+v, %v", s, err)
	}
}

// A fifo is not waited for, at path or in the pristine's place.
func TestShareOfAFifo(t *testing.T) {
	h, path := installed(t)
	pristine := filepath.Join(filepath.Dir(path), ".relinkd", "imapd.pristine")
	if err := os.MkdirAll(filepath.Dir(pristine), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, fifo := range []string{pristine, path + ".fifo"} {
		if err := unix.Mkfifo(fifo, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := ShareOf(h, path); err != nil || s.Own == 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := ShareOf(h, path+".fifo"); err == nil {
		t.Errorf("%+v", s)
	}
}

func TestParseMapsRefusesWhatIsNone(t *testing.T) {
	for _, text := range []string{"\n", "a b c d\n", "nonsense\n"} {
		if _, _, err := parseMaps(strings.NewReader(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestPercentNeverFlatters(t *testing.T) {
	for _, c := range []struct {
		part, of int
		want     string
	}{{5, 236, "2 %"}, {1, 300, "below 1 %"}, {0, 0, "0 %"}, {5, 5, "100 %"}, {199, 200, "99 %"}, {0, 9, "0 %"}} {
		if got := percent(c.part, c.of); got != c.want {
			t.Errorf("%s of %d: %q, want %q", strconv.Itoa(c.part), c.of, got, c.want)
		}
	}
}
