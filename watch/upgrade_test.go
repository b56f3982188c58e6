package watch

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"relinkd/api"
	"relinkd/config"
	"relinkd/internal/standin"
)

func TestFirstPublish(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	packaged := lstat(t, s.path)
	d := s.start()
	st := d.steady("1")
	if lstat(t, s.pristine()).ID != packaged.ID {
		t.Error("the pristine is not the packaged file itself")
	}
	s.runs(s.path, "1")
	if len(st.Copies) != 3 || st.Current != "imapd_001" || st.Path != s.path || st.PrivateLink != s.privateLink() ||
		st.Publish != "symlink" || st.Threshold != 1000 || st.MaxCopies != 3 || st.Generation.Since.IsZero() || st.Rotations != 0 {
		t.Errorf("status: %+v", st)
	}
}

// Each upgrade is one way in which a package manager or an administrator replaces the executable.
func TestUpgrade(t *testing.T) {
	for _, u := range []struct {
		name    string
		upgrade func(s *site, version string)
		atomic  bool // path is executable throughout
	}{
		{"dpkg", func(s *site, v string) {
			s.backup(s.path + ".dpkg-tmp")
			must(s.t, standin.Write(s.path+".dpkg-new", v))
			must(s.t, os.Rename(s.path+".dpkg-new", s.path))
			must(s.t, os.Remove(s.path+".dpkg-tmp"))
		}, true},
		{"rpm", func(s *site, v string) {
			must(s.t, standin.Write(s.path+";6b04a258", v))
			must(s.t, os.Rename(s.path+";6b04a258", s.path))
		}, true},
		{"mv", func(s *site, v string) {
			build := s.path + ".build"
			must(s.t, standin.Write(build, v))
			command(s.t, "mv", "-f", build, s.path)
		}, true},
		{"install", func(s *site, v string) { s.persist("install", "-m755", s.file(v), s.path) }, false},
		{"rm; cp", func(s *site, v string) {
			// Like cp, but not through the link if path is back already.
			s.persist("sh", "-c", `rm "$1"; set -C; cat "$0" >"$1" && chmod 755 "$1"`, s.file(v), s.path)
		}, false},
		{"cp --remove-destination", func(s *site, v string) { s.persist("cp", "--remove-destination", s.file(v), s.path) }, false},
	} {
		for _, publish := range waysOurs {
			t.Run(fmt.Sprintf("%s, %s", u.name, publish), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, func(c *config.Target) { c.Publish = publish })
				s.install("1")
				d := s.start()
				before := d.steady("1")
				held := hold(t, s.path)
				d.waitFor("the held process is seen", func(st api.TargetStatus) bool { return st.Processes == 1 })
				end := func() {}
				if u.atomic {
					end = execLoop(t, s.path)
				}
				last := "1"
				for i := 2; i <= 4; i++ {
					last = strconv.Itoa(i)
					_, err := d.Rotate(t.Context(), name, 2)
					must(t, err)
					u.upgrade(s, last)
					st := d.steady(last)
					if st.Current != "imapd_001" {
						t.Errorf("after the upgrade %s is current, not the first copy", st.Current)
					}
					if slices.ContainsFunc(st.Copies, func(c api.CopyStatus) bool { return c.Inode == before.Copies[c.Number-1].Inode }) {
						t.Error("a copy has the inode that it had before the upgrade")
					}
					before = st
					s.runs(s.path, last)
				}
				end()
				d.waitFor("the held process is stale", func(st api.TargetStatus) bool { return st.StaleProcesses == 1 && st.Processes == 0 })
				release(t, held)
				d.waitFor("no process is stale", func(st api.TargetStatus) bool { return st.StaleProcesses == 0 })
				d.stop()
				s.runs(s.path, last)
			})
		}
	}
}

// persist runs a command that removes path and makes it again, until it succeeds: on a busy machine
// path may be put back in between, and the command fails.
func (s *site) persist(args ...string) {
	s.t.Helper()
	eventually(s.t, strings.Join(args, " "), func() bool { return ask(s.t, request{Op: "run", Args: args}).Error == "" })
}

func linkText(t testing.TB, path string) string {
	t.Helper()
	text, err := os.Readlink(path)
	must(t, err)
	return text
}

// A cp writes through the link into a copy, which is meant as an upgrade or is an accident: relinkd
// cannot know, so it keeps what was written and says how to adopt it.
func TestCopyThroughTheLink(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	changed := d.steady("1").Current
	command(t, "cp", s.file("2"), s.path)
	drifted := s.private(changed + ".drifted")
	eventually(t, "the changed file is kept", func() bool { return !lstat(t, drifted).ID.IsZero() })
	d.waitFor("the private link has left the changed copy", func(st api.TargetStatus) bool { return st.Current != changed })
	d.steady("1")
	s.holds(drifted, "2")
	s.runs(s.path, "1")
	said(t, []string{s.log.String()}, "relinkd adopt imapd FILE")
}

func TestPathRemovedByHand(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	removed := time.Now()
	must(t, os.Remove(s.path))
	eventually(t, "path is put back", func() bool { return !lstat(t, s.path).ID.IsZero() })
	if absent := time.Since(removed); absent < 20*time.Millisecond {
		t.Errorf("put back after %s: an installer at work would fail", absent)
	}
	st := d.waitFor("the status tells", func(st api.TargetStatus) bool { return st.State == api.Steady && st.Reason != "" })
	said(t, []string{st.Reason}, "path was removed by somebody and put back")
	d.steady("1")
	s.runs(s.path, "1")
}

// A file that comes while copies are made of the one before it wins.
func TestUpgradeWhileCloning(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	packaged := lstat(t, s.pristine()).ID
	cloning, replaced := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.calls.on("clone: sync", func(string) error {
		once.Do(func() { close(cloning) })
		<-replaced
		return nil
	})
	end := execLoop(t, s.path)
	s.install("2")
	<-cloning
	s.install("3")
	close(replaced)
	d.steady("3")
	end()
	// What was in force before is the one that the package manager may come back to.
	if id := lstat(t, s.previous()).ID; !id.IsZero() && id != packaged {
		t.Error("the previous one is not version 1")
	}
}

// Copies of what has been replaced already do not get their names: a sidecar's private link would
// lead to them.
func TestSidecarUpgradeWhileCloning(t *testing.T) {
	t.Parallel()
	s := newSite(t, sidecar)
	s.install("1")
	d := s.start()
	d.steady("1")
	cloning, replaced := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.calls.on("clone: sync", func(string) error {
		once.Do(func() { close(cloning) })
		<-replaced
		return nil
	})
	s.calls.on("commit: exchange", func(path string) error {
		s.holds(s.private(filepath.Base(path)+".new"), "3")
		return nil
	})
	end := execLoop(t, s.privateLink())
	s.install("2")
	<-cloning
	s.install("3")
	close(replaced)
	d.steady("3")
	end()
}

// A file that is never finished is worth an operator's attention.
func TestNeverFinished(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *config.Target) { c.Settle.Max = 200 * time.Millisecond })
	s.install("1")
	writer, err := os.OpenFile(s.path, os.O_WRONLY, 0)
	must(t, err)
	defer writer.Close()
	d := s.start()
	d.waitFor("settling", func(st api.TargetStatus) bool {
		return st.State == api.Settling && strings.Contains(st.Reason, "open for writing")
	})
	d.degraded("a program has it open for writing")
	must(t, writer.Close())
	d.steady("1")
}

// The hardest moment: the newer file comes between the last look and the exchange.
func TestUpgradeWhilePublishing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	var newest uint64
	var once sync.Once
	s.calls.on("publish: exchange", func(string) error {
		once.Do(func() {
			if err := standin.Write(s.path, "3"); err != nil {
				t.Error(err)
			}
			newest = lstat(t, s.path).Ino
		})
		return nil
	})
	end := execLoop(t, s.path)
	s.install("2")
	d.steady("3")
	end()
	if got := lstat(t, s.pristine()).Ino; got != newest {
		t.Errorf("the pristine is inode %d, not the newer file's %d", got, newest)
	}
}

// However fast they come, the last version wins, and each that is left alone for long enough is
// adopted.
func TestManyUpgrades(t *testing.T) {
	for _, publish := range ways {
		t.Run(string(publish), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *config.Target) { c.Publish = publish })
			s.install("0")
			d := s.start()
			d.steady("0")
			executed := s.path
			if publish == config.PublishNone {
				executed = s.privateLink()
			}
			end := execLoop(t, executed)
			seed := rand.Uint64()
			random := rand.New(rand.NewPCG(seed, 0))
			t.Logf("seed %d", seed)
			upgrades := 100
			for i := range upgrades {
				version := fmt.Sprint("v", i)
				s.install(version)
				switch n := random.IntN(20); {
				case n == 0 || i == upgrades-1:
					d.steady(version)
				case n < 12:
					<-time.After(time.Duration(random.IntN(40)) * time.Millisecond)
				}
			}
			end()
			s.runs(executed, fmt.Sprint("v", upgrades-1))
		})
	}
}

// A file that takes the place of the one at path, just after that was found to be a program, is judged by itself.
func TestReplacedBetweenJudgingAndOpening(t *testing.T) {
	t.Parallel()
	for _, publish := range ways {
		t.Run(string(publish), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *config.Target) { c.Publish = publish })
			s.install("1")
			d := s.start()
			d.steady("1")
			script := s.path + ".new"
			must(t, os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755))
			l, err := d.find(name)
			must(t, err)
			must(t, l.do(t.Context(), l.gone, func() {
				must(t, standin.Write(s.path+".program", "2"))
				must(t, os.Rename(s.path+".program", s.path))
				judged := lstat(t, s.path)
				must(t, os.Rename(script, s.path))
				l.startFromPath(t.Context(), judged)
			}))
			if st := d.waitFor("degraded", func(st api.TargetStatus) bool { return st.State == api.Degraded }); !strings.Contains(st.Reason, "script") {
				t.Errorf("degraded: %s", st.Reason)
			}
			if got := s.log.String(); strings.Contains(got, "leads to the packaged file") || strings.Count(got, "copies of generation") != 1 {
				t.Errorf("the script was taken:\n%s", got)
			}
		})
	}
}
