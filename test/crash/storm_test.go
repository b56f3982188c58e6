package crash_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"relinkd/internal/faults"
)

// TestCrashStorm kills the daemon at random moments, while a package manager puts new versions at
// path at random moments and processes execute it without a pause. No execution fails, no version is
// destroyed but by the next one, and whenever the storm pauses, the version in place comes in force.
func TestCrashStorm(t *testing.T) {
	for _, c := range []struct {
		publish string
		kills   int
	}{{"symlink", 250}, {"launcher", 250}, {"none", 50}} {
		t.Run(c.publish, func(t *testing.T) {
			kills := c.kills
			if os.Getenv(longVariable) == "1" {
				kills *= 10
			}
			crashStorm(t, c.publish, kills)
			faults.Record(t, faults.Row{
				What:     fmt.Sprintf("the daemon (publish = %q) while a package manager upgrades", c.publish),
				Injected: "kill -9 at a random moment",
				Times:    c.kills,
				Survived: "every execution finds its file, no version is lost, the last one comes in force",
			})
		})
	}
}

// pauseEvery is how many kills lie between two looks at what came of them.
const pauseEvery = 25

// longestLife is when a daemon is killed at the latest, also where an upgrade takes longer: the
// kills would take minutes on a machine that has much else to do.
const longestLife = 150 * time.Millisecond

// mostRounds is how many times as many kills there are at most, until one has come in the midst of an upgrade:
// one in twenty does.
const mostRounds = 20

func crashStorm(t *testing.T, publish string, kills int) {
	random := seeded(t)
	s := newSite(t, publish)
	p := &packager{path: s.path}
	defer p.close()
	must(t, p.upgrade())
	d := s.start()
	d.steady(p.version())
	d.kill()
	span := s.upgradeTime(p)
	life := min(span+span/2, longestLife)

	load := keepExecuting(t, s.executed())
	left := map[string]int{}
	killed := 0
	inMidst := func() bool { return left["copies half made"] > 0 }
	for (killed < kills || !inMidst() && killed < mostRounds*kills) && !t.Failed() {
		stop := p.keepUpgrading(random, span)
		for range pauseEvery {
			d := s.start()
			select {
			case <-time.After(upTo(random, life)):
			case <-d.exited:
				t.Errorf("the daemon has ended before it was killed: %v", d.cmd.ProcessState)
			}
			d.kill()
			killed++
			for _, what := range s.leftOver() {
				left[what]++
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		d := s.start()
		d.steady(p.version())
		s.isInPlace(p)
		d.kill()
	}
	load.end()
	t.Logf("%d kills within %s of a start, %d upgrades, %d executions; left by kills: %s",
		killed, life.Round(time.Millisecond), p.number, load.runs.Load(), counts(left))
	if n := load.runs.Load(); n < int64(kills) {
		t.Errorf("%d executions are too few to prove anything", n)
	}
	if !inMidst() {
		t.Error("no kill came in the midst of an upgrade: this proves nothing")
	}
}

// upgradeTime is how long the daemon takes from its start until a version that came before is in
// force.
func (s *site) upgradeTime(p *packager) time.Duration {
	s.t.Helper()
	var all []time.Duration
	for range 5 {
		must(s.t, p.upgrade())
		began := time.Now()
		d := s.start()
		s.await("an upgrade", func() bool {
			content, err := executable(s.executed())
			return err == nil && versionOf(content) == p.version() && s.isPublished()
		}, func() string { return strings.Join(s.names(s.bin), " ") })
		all = append(all, time.Since(began))
		d.steady(p.version())
		d.kill()
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// isPublished reports whether what is executed leads to a copy.
func (s *site) isPublished() bool {
	if s.publish == "launcher" && !s.hasOurs() {
		return false
	}
	real, err := filepath.EvalSymlinks(s.private(name))
	if s.publish == "symlink" {
		real, err = filepath.EvalSymlinks(s.path)
	}
	return err == nil && strings.HasPrefix(filepath.Base(real), name+"_")
}

// isInPlace fails the test unless the version that the packager put at path last, that very file, is
// at path or kept as the pristine.
func (s *site) isInPlace(p *packager) {
	s.t.Helper()
	want, err := p.inode()
	must(s.t, err)
	where := s.path
	if s.isOurs() {
		where = s.pristine()
	}
	if got := inode(s.t, where); got != want {
		s.t.Errorf("%s is inode %d, want %d, which was installed", where, got, want)
	}
}

var leftovers = []struct {
	what string
	name *regexp.Regexp
}{
	{"copies half made", regexp.MustCompile(`^\.relinkd/imapd_\d+\.new$`)},
	{"a publish under way", regexp.MustCompile(`^\.relinkd/imapd\.(publish|back|before|out|launcher)$`)},
	{"a rotation under way", regexp.MustCompile(`^\.relinkd/imapd\.rotate$`)},
	{"an upgrade published", regexp.MustCompile(`^\.relinkd/imapd\.previous$`)},
}

// leftOver tells what a kill has left.
func (s *site) leftOver() (what []string) {
	names := s.names(s.bin)
	for _, n := range s.names(filepath.Join(s.bin, ".relinkd")) {
		names = append(names, ".relinkd/"+n)
	}
	for _, l := range leftovers {
		if slices.ContainsFunc(names, l.name.MatchString) {
			what = append(what, l.what)
		}
	}
	return what
}

func counts(m map[string]int) string {
	var all []string
	for _, what := range slices.Sorted(maps.Keys(m)) {
		all = append(all, fmt.Sprintf("%s %d", what, m[what]))
	}
	return strings.Join(all, ", ")
}
