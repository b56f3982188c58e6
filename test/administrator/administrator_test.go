// Package administrator_test lets an administrator at random loose on an install directory that relinkd
// manages: every tool's way of changing files, packages, crashes, full and read-only disks, relinkd's own
// verbs. It knows nothing of how relinkd works, but what must hold after each step.
package administrator_test

import (
	"fmt"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/internal/faults"
	"relinkd/internal/fstest"
)

const (
	longVariable = "LONG_TESTS" // "1" for an hour of it
	seedVariable = "STORM_SEED" // the number that a failed run has logged

	// The walks of a short run are the same each time: what it finds has to do with what was changed, and new
	// paths are for the long run, or for STORM_SEED.
	shortSeed  = 1
	shortWalks = 100 // two minutes in all, a way of publishing beside the others
	fewWalks   = 15  // of an ordinary user, who can do less

	programVariable = "RELINKD" // another relinkd than that of this repository
	longTime        = time.Hour
	shrinkTime      = 2 * time.Minute
	leastSteps      = 6
	mostSteps       = 14
	leastTaken      = 50 // in all walks of a way of publishing
)

// TestAdministrator walks, for each way of publishing: so many times, or with LONG_TESTS=1 for an hour. A walk that
// finds something wrong is made shorter as far as it goes, and told step by step.
func TestAdministrator(t *testing.T) {
	program := os.Getenv(programVariable)
	if program == "" {
		program = build(t)
	}
	long := os.Getenv(longVariable) == "1"
	seed := shortSeed
	if long {
		seed = rand.IntN(1 << 40)
	}
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		seed, err = strconv.Atoi(text)
		must(t, err)
	}
	most := shortWalks
	switch {
	case long:
		most = math.MaxInt
	case os.Geteuid() != 0:
		most = fewWalks
	}
	if os.Geteuid() == 0 { // no step waits for a real disk
		usual := os.TempDir() // t.Setenv allows no parallel subtests
		must(t, os.Setenv("TMPDIR", fstest.Small(t, 256<<20)))
		t.Cleanup(func() { os.Setenv("TMPDIR", usual) })
	}
	for _, publish := range ways {
		t.Run(publish, func(t *testing.T) {
			t.Parallel()
			root, on := place(t)
			walks, steps := 0, 0
			for end := time.Now().Add(longTime); walks < most && time.Now().Before(end); walks++ {
				drawn := drawWalk(seed+walks, on.point != "")
				steps += len(drawn)
				wrong := walkOnce(t, program, root, on, publish, drawn)
				if wrong == nil {
					continue
				}
				least, wrong := shrink(drawn, wrong, func(steps []step) *failure { return walkOnce(t, program, root, on, publish, steps) })
				t.Fatalf("%s=%d, in the walk of %d steps, and in this one of %d:\n%s", seedVariable, seed+walks, len(drawn), len(least), wrong)
			}
			t.Logf("%d walks of %d steps", walks, steps)
			if steps < leastTaken {
				t.Errorf("%d steps prove nothing", steps)
			}
			faults.Record(t, faults.Row{
				What:     fmt.Sprintf("managed, released or stopped (publish = %q)", publish),
				Injected: "an administrator's steps at random: files, packages, disks, crashes, verbs",
				Times:    leastTaken,
				Survived: "the daemon lives, the newest program is kept, the status tells whether path executes, restore gives the program back",
			})
		})
	}
}

var ways = []string{"symlink", "launcher", "none"}

// failure is what was wrong in a walk, and all that there is to know of it.
type failure struct {
	wrong, story string
}

func (f *failure) String() string { return f.wrong + "\n" + f.story }

// kind is that which all walks have in common that fail in the same way.
func (f *failure) kind() string { return f.wrong[:min(len(f.wrong), 30)] }

// shrink leaves out steps, many at first, as long as the walk fails in the same way.
func shrink(steps []step, first *failure, walk func([]step) *failure) ([]step, *failure) {
	end := time.Now().Add(shrinkTime)
	for size := len(steps) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(steps) && time.Now().Before(end); {
			fewer := slices.Delete(slices.Clone(steps), at, at+size)
			if f := walk(fewer); f != nil && f.kind() == first.kind() {
				steps, first = fewer, f
			} else {
				at += size
			}
		}
	}
	return steps, first
}

// place is where walks take place: an ext4 of root's own, which an administrator can fill and mount
// read-only, or any directory of an ordinary user.
func place(t *testing.T) (root string, on disk) {
	if os.Geteuid() != 0 {
		t.Log("not root: no other owners, capabilities, access lists, immutable files, full or read-only disks")
		return t.TempDir(), disk{}
	}
	d := fstest.Ext4(t, 16<<20, "-O", "^has_journal")
	for dir := d.Point; dir != "/"; dir = filepath.Dir(dir) { // others must come through
		info, err := os.Stat(dir)
		must(t, err)
		if info.Mode().Perm()&0o011 != 0o011 {
			must(t, os.Chmod(dir, 0o755))
		}
	}
	return d.Point, disk{d.Point}
}

// drawWalk draws the steps of a walk, of those that can be taken here. They are drawn evenly: what draws small
// numbers more often, as for shrinking, would have an administrator do what comes first in the alphabet.
func drawWalk(seed int, isRoot bool) []step {
	var dos, ons []string
	for _, do := range slices.Sorted(maps.Keys(actions)) {
		if a := actions[do]; isRoot || !a.root {
			dos = append(dos, slices.Repeat([]string{do}, a.often)...)
		}
	}
	for _, on := range slices.Sorted(maps.Keys(places)) {
		ons = append(ons, slices.Repeat([]string{on}, max(1, often[on]))...)
	}
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	steps := make([]step, leastSteps+random.IntN(mostSteps-leastSteps+1))
	for i := range steps {
		s := step{Do: dos[random.IntN(len(dos))], N: random.IntN(8)}
		if actions[s.Do].on {
			s.On = ons[random.IntN(len(ons))]
		}
		steps[i] = s
	}
	return steps
}

// walkOnce is one walk, from the installing of the program to the restoring of it; nil when all was well.
func walkOnce(t *testing.T, program, root string, on disk, publish string, steps []step) *failure {
	begin := time.Now()
	dir, err := os.MkdirTemp(root, "walk")
	must(t, err)
	own, err := os.MkdirTemp("", "administrator")
	must(t, err)
	site, err := newSite(program, dir, own, publish)
	must(t, err)
	w := &walk{site: site, disk: on}
	defer w.clean(t)
	wrong := w.all(steps)
	if wrong == "" {
		return nil
	}
	story := fmt.Sprintf("publish = %q; the steps:\n%s\nwhat stands there:\n%s\nthe end of the log:\n%s\n(after %s)",
		publish, strings.Join(w.story, "\n"), w.tree(), w.log(), time.Since(begin).Round(time.Millisecond))
	short := strings.NewReplacer(w.root, "ROOT", w.own, "OWN")
	return &failure{short.Replace(wrong), short.Replace(story)}
}

// all takes the steps, and returns what has gone wrong.
func (w *walk) all(steps []step) (wrong string) {
	content := w.program()
	w.before()
	if err := w.create(w.path, content, 0o755); err != nil {
		return err.Error()
	}
	w.put(content)
	if err := w.start(); err != nil {
		return err.Error()
	}
	if wrong := w.settle(); wrong != "" {
		return "at the beginning: " + wrong
	}
	for _, s := range steps {
		if wrong := w.take(s); wrong != "" {
			return wrong
		}
	}
	w.tell("all is put right, and the program restored")
	w.free()
	if w.d == nil {
		if err := w.start(); err != nil {
			return err.Error()
		}
	}
	w.before()
	if wrong := w.settle(); wrong != "" {
		return wrong
	}
	if wrong := w.restore("--force"); wrong != "" {
		return wrong
	}
	return w.settle()
}

// take takes a step.
func (w *walk) take(s step) (wrong string) {
	a := actions[s.Do]
	w.tell("%s", s)
	defer func(begin time.Time) { w.tell("  (%s)", time.Since(begin).Round(time.Millisecond)) }(time.Now())
	if s.On == "state-dir" && s.Do != "rm" {
		w.spoiled = true
	}
	w.before()
	w.hampered = w.hampered || hampers[s.Do] || hampers[s.On]
	w.shuts = s.On == "private-dir"
	w.mends = w.canBeMended(s) && w.d != nil && w.atRest() // the status may be of before the step before
	newest := w.newest
	w.touched = w.touched || w.d == nil
	err := a.do(w, s.On, s.N)
	if b, is := err.(broken); is {
		return string(b)
	}
	if err != nil {
		w.tell("  %v", err)
	}
	w.after(newest)
	return w.settle()
}

// canBeMended reports whether relinkd stands the step without harm or makes good by itself what it does.
func (w *walk) canBeMended(s step) bool {
	switch {
	case !w.sound, w.hampered, !mended[s.On] && !mended[s.Do]:
		return false
	case meant[s.Do]: // an ordinary user may shut the daemon out too
		return s.On == "private-dir" && os.Geteuid() == 0
	case s.Do == "fifo" && s.On == "private-dir": // it is a stranger's, and stays
		return false
	}
	return true
}

// free takes away what keeps files from being changed.
func (w *walk) free() {
	if w.disk.point == "" {
		return
	}
	_ = w.disk.readOnly(false)
	_ = os.Remove(filepath.Join(w.disk.point, "filler"))
	for _, dir := range []string{w.root, w.own} {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && (d.IsDir() || d.Type().IsRegular()) {
				_ = chattr(path, false)
			}
			return nil
		})
	}
}

// clean ends the walk and leaves nothing.
func (w *walk) clean(t *testing.T) {
	if err := w.end(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	w.free()
	for _, dir := range []string{w.root, w.own} {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				_ = unix.Chmod(path, 0o700)
			}
			return nil
		})
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}
}

// build makes the program as it is shipped.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "relinkd")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", program, "relinkd/cmd/relinkd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
