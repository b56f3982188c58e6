// Package crash_test runs the real daemon as it is shipped, kills it at any moment and races it with
// package managers, from outside. It must never look into the daemon otherwise than an
// administrator does.
package crash_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"relinkd/api"
	"relinkd/control"
	"relinkd/internal/fstest"
	"relinkd/internal/standin"
	"relinkd/linker/launcher"
)

const (
	name     = "imapd"
	copies   = 6
	patience = 30 * time.Second // for what takes milliseconds on a machine that has time
)

const (
	longVariable = "LONG_TESTS" // "1" for the long runs
	seedVariable = "STORM_SEED" // the number that a failed run has logged
)

// binary is the program under test, built once, as it is shipped: the race detector would leave most
// kills to the time before the daemon has begun with anything.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "relinkd")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "relinkd")
	if out, err := exec.Command("go", "build", "-o", path, "relinkd/cmd/relinkd").CombinedOutput(); err != nil {
		return path, fmt.Errorf("%v\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	path, err := binary()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot build relinkd:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// site is an install directory, the configuration of its daemon, and where that keeps its things.
type site struct {
	t       *testing.T
	dir     string // where everything is
	bin     string // the install directory
	path    string // in it
	publish string
	client  *control.Client
}

// newSite makes one with nothing installed.
func newSite(t *testing.T, publish string) *site {
	t.Helper()
	dir := scratch(t)
	s := &site{t: t, dir: dir, bin: filepath.Join(dir, "bin"), publish: publish}
	s.path = filepath.Join(s.bin, name)
	must(t, os.Mkdir(s.bin, 0o755))
	for _, d := range []string{dir, s.bin} { // whatever the umask
		must(t, os.Chmod(d, 0o755))
	}
	s.client = control.NewClient(filepath.Join(dir, "socket"))
	must(t, os.WriteFile(s.config(), fmt.Appendf(nil, `
[target.imapd]
path = %q
publish = %q
copies = %d
max_copies = %d
threshold = 1000
rotation = "interval"
interval = "10ms"
settle = { quiet = "5ms", max = "1s" }
[control]
socket = %q
[state]
dir = %q
[log]
format = "json"
`, s.path, publish, copies, copies, filepath.Join(dir, "socket"), s.state()), 0o644))
	must(t, os.Chmod(s.config(), 0o644))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of relinkd's log:\n%s", tail(s.log(), 60))
		}
	})
	return s
}

// scratch is a directory on a tmpfs, for a kill leaves the same on every file system, and waiting for a
// disk would leave time for fewer. An ordinary user, who cannot mount one, gets one anywhere.
func scratch(t *testing.T) string {
	if os.Geteuid() == 0 {
		return fstest.Small(t, 64<<20)
	}
	return fstest.Passable(t, t.TempDir())
}

func (s *site) config() string          { return filepath.Join(s.dir, "relinkd.toml") }
func (s *site) state() string           { return filepath.Join(s.dir, "state") }
func (s *site) copy(n int) string       { return fmt.Sprintf("%s_%03d", s.path, n) }
func (s *site) private(n string) string { return filepath.Join(s.bin, ".relinkd", n) }
func (s *site) pristine() string        { return s.private(name + ".pristine") }
func (s *site) log() string             { b, _ := os.ReadFile(filepath.Join(s.dir, "log")); return string(b) }
func (s *site) isOurs() bool            { return s.publish != "none" } // path, that is
func version(n int) string              { return "v" + strconv.Itoa(n) }
func tail(text string, lines int) string {
	return strings.Join(last(strings.Split(text, "\n"), lines), "\n")
}

func last[T any](all []T, n int) []T { return all[max(0, len(all)-n):] }

// executed is what a service would be told to execute.
func (s *site) executed() string {
	if s.isOurs() {
		return s.path
	}
	return s.private(name)
}

// daemon is a process of the program.
type daemon struct {
	s      *site
	cmd    *exec.Cmd
	exited chan struct{}
}

// start runs the daemon, and does not wait until it is ready. It is killed with the test. before
// is a command that executes it.
func (s *site) start(before ...string) *daemon {
	s.t.Helper()
	path, err := binary()
	must(s.t, err)
	out, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	must(s.t, err)
	defer out.Close()
	args := append(slices.Clone(before), path, "run", "--config", s.config())
	d := &daemon{s: s, cmd: exec.Command(args[0], args[1:]...), exited: make(chan struct{})}
	d.cmd.Stdout, d.cmd.Stderr = out, out
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // with a test that is killed itself
	must(s.t, d.cmd.Start())
	go func() {
		defer close(d.exited)
		_ = d.cmd.Wait() // how it ended is in ProcessState
	}()
	s.t.Cleanup(d.kill)
	return d
}

// kill ends it with no chance to do anything more. One that has ended already is no error.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.exited
}

// ended reports whether it has ended without having been killed.
func (d *daemon) ended() bool {
	select {
	case <-d.exited:
		return true
	default:
		return false
	}
}

// target is the target's status; false while the daemon does not answer yet.
func (d *daemon) target() (api.TargetStatus, bool) {
	if d.ended() {
		d.s.t.Fatalf("relinkd has ended: %v", d.cmd.ProcessState)
	}
	st, err := d.s.client.Status(context.Background())
	if err != nil || len(st.Targets) != 1 {
		return api.TargetStatus{}, false
	}
	return st.Targets[0], true
}

// steady waits until a version is in force and all is well, and checks what stands on disk: nothing
// may be left over, and every copy must be of that version.
func (d *daemon) steady(version string) {
	s := d.s
	s.t.Helper()
	var st api.TargetStatus
	s.await("steady with "+version, func() bool {
		var ok bool
		st, ok = d.target()
		return ok && st.State == api.Steady && st.Generation.SHA256 == sha(version)
	}, func() string { return fmt.Sprintf("%+v", st) })
	if len(st.Copies) != copies || slices.ContainsFunc(st.Copies, func(c api.CopyStatus) bool { return !c.Verified }) {
		s.t.Errorf("with %s in force the copies are %+v", version, st.Copies)
	}
	s.runs(s.executed(), version)
	for n := range copies {
		s.holds(s.copy(n+1), version)
	}
	private := []string{name}
	if s.isOurs() {
		if !s.hasOurs() {
			s.t.Errorf("path is no %s of relinkd's", s.publish)
		}
		s.holds(s.pristine(), version)
		private = append(private, name+".pristine")
	} else {
		s.holds(s.path, version)
	}
	// dpkg may have more to do, and a rotation may be under way.
	s.only(s.bin, append([]string{".relinkd", name}, copyNames()...), `^imapd\.dpkg-(new|tmp)$`)
	s.only(filepath.Join(s.bin, ".relinkd"), private, `^imapd\.(previous|rotate|generation-[0-9a-f]{64})$`)
}

func copyNames() (names []string) {
	for n := range copies {
		names = append(names, fmt.Sprintf("%s_%03d", name, n+1))
	}
	return names
}

// hasOurs reports whether path is what publish says.
func (s *site) hasOurs() bool {
	if s.publish == "symlink" {
		text, err := os.Readlink(s.path)
		return err == nil && text == ".relinkd/imapd"
	}
	want, err := launcher.New(s.private(name))
	must(s.t, err)
	content, err := os.ReadFile(s.path)
	return err == nil && bytes.Equal(content, want)
}

// executable is the content of what is executed by the name path, which may be a launcher of it.
func executable(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if to, is := launcher.Executes(content); err == nil && is {
		return os.ReadFile(to)
	}
	return content, err
}

// only fails the test unless dir holds these names and, it may be, some that match also.
func (s *site) only(dir string, names []string, also string) {
	s.t.Helper()
	there := s.names(dir)
	if also != "" {
		there = slices.DeleteFunc(there, regexp.MustCompile(also).MatchString)
	}
	slices.Sort(names)
	if !slices.Equal(there, names) {
		s.t.Errorf("%s holds %q, want %q", dir, there, names)
	}
}

// names lists a directory, sorted; nothing for a missing one.
func (s *site) names(dir string) (names []string) {
	s.t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// holds fails the test unless path is, or leads to, a version.
func (s *site) holds(path, version string) {
	s.t.Helper()
	content, err := executable(path)
	if err != nil || !bytes.Equal(content, standin.ELF(version)) {
		s.t.Errorf("%s does not hold %s: %v, %s", path, version, err, versionOf(content))
	}
}

// versionOf names the version that a stand-in ends in.
func versionOf(content []byte) string {
	if i := bytes.LastIndexByte(content, 'v'); i >= 0 {
		return string(content[i:])
	}
	return "no stand-in"
}

// runs fails the test unless executing path runs a version.
func (s *site) runs(path, version string) {
	s.t.Helper()
	cmd := exec.Command(path)
	in, err := cmd.StdinPipe()
	must(s.t, err)
	must(s.t, cmd.Start())
	var content []byte
	s.await("launch", func() bool {
		content, err = os.ReadFile(fmt.Sprintf("/proc/%d/exe", cmd.Process.Pid))
		must(s.t, err)
		_, is := launcher.Executes(content)
		return !is
	}, func() string { return "a launcher still" })
	must(s.t, in.Close())
	must(s.t, cmd.Wait())
	if !bytes.Equal(content, standin.ELF(version)) {
		s.t.Errorf("executing %s runs %s, want %s", path, versionOf(content), version)
	}
}

// await waits until cond holds. state describes what is there instead.
func (s *site) await(what string, cond func() bool, state func() string) {
	s.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !cond(); <-tick.C {
		if time.Now().After(end) {
			s.t.Fatalf("waited %s in vain for %s; it is %s", patience, what, state())
		}
	}
}

func sha(version string) string {
	sum := sha256.Sum256(standin.ELF(version))
	return hex.EncodeToString(sum[:])
}

// seeded is a source of random numbers that a failed run can be repeated with.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		must(t, err)
	}
	t.Logf("%s=%d", seedVariable, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// upTo is a random time below d.
func upTo(r *rand.Rand, d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// inode is the number of the file path, not of what it leads to.
func inode(t testing.TB, path string) uint64 {
	t.Helper()
	var st syscall.Stat_t
	must(t, syscall.Lstat(path, &st))
	return st.Ino
}
