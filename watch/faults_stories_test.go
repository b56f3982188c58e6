package watch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/internal/standin"
	"relinkd/pool"
)

// story is one thing that relinkd does, what others do meanwhile, and how it ends: always steady,
// with the version that was installed last.
type story struct {
	name    string
	publish []config.Publish // in which it is played; nil for all
	edit    func(*config.Target)
	cold    bool // no daemon has managed the site before
	setup   func(s *site)
	script  func(s *site, sc *scenery)
	reload  func(*config.Target) // what the verb "reload" reads
	world   func(r *rehearsal)   // what happens once the daemon rests
	absent  bool                 // path, or the link, may be missing or broken by others meanwhile
	done    func(s *site, st api.TargetStatus) bool
	tick    func(s *site, st api.TargetStatus) // what an administrator does while there is something to mend
	check   func(s *site)
	drops   bool // the upgrade becomes final at last
	anyEnd  bool // a pristine need not be left, nor all be of the usual form
}

// onlyA is one way of publishing alone.
func onlyA(publish config.Publish) []config.Publish { return []config.Publish{publish} }

// arrives installs a version as a file that the test knows again.
func (r *rehearsal) arrives(version string) {
	r.t.Helper()
	build := r.note("build")
	must(r.t, writeStandin(build, version))
	r.newest = lstat(r.t, build).ID
	must(r.t, os.WriteFile(r.note(newestName), []byte(version), 0o600))
	must(r.t, os.Rename(build, r.path))
}

func racing(races ...race) func(*site, *scenery) {
	return func(_ *site, sc *scenery) { sc.Races = races }
}

func asking(verbs ...verb) func(*site, *scenery) {
	return func(_ *site, sc *scenery) { sc.Verbs = verbs }
}

func withoutExchange(then func(*site, *scenery)) func(*site, *scenery) {
	return func(s *site, sc *scenery) {
		sc.NoExchange = true
		if then != nil {
			then(s, sc)
		}
	}
}

// offlineAsking is asking where no daemon runs.
func offlineAsking(verbs ...verb) func(*site, *scenery) {
	return func(_ *site, sc *scenery) { sc.Verbs, sc.Offline = verbs, true }
}

func installs(op fsys.Op, nth int, version string) race { return race{op, nth, "install", version} }

func upgrades(r *rehearsal) { r.arrives("2") }

// removed is the removal of the package, whose list goes only when path has been put back.
func (r *rehearsal) removed() {
	r.knowsPackage()
	must(r.t, os.Remove(r.path))
	r.until("path is put back", func() bool { return !lstat(r.t, r.path).ID.IsZero() })
	must(r.t, os.Remove(filepath.Join(r.admin, "info", "cyrus-imapd.list")))
}

// unwinds is an upgrade that dpkg takes back.
func unwinds(r *rehearsal) {
	unlock := lockFile(r.t, filepath.Join(r.admin, "lock-frontend"))
	r.backup(r.path + ".dpkg-tmp")
	r.arrives("2")
	r.until("version 2 is in force", func() bool {
		return holdsVersion(r.pristine(), "2") && r.published(r.publish) && holdsVersion(r.path, "2") &&
			lstat(r.t, r.private(name+".publish")).ID.IsZero() && r.resting()
	})
	r.newest = lstat(r.t, r.previous()).ID
	must(r.t, os.WriteFile(r.note(newestName), []byte("1"), 0o600))
	must(r.t, os.Rename(r.path+".dpkg-tmp", r.path))
	r.until("version 1 is in force", func() bool { return holdsVersion(r.path, "1") })
	unlock()
}

func removesPath(r *rehearsal) { must(r.t, os.Remove(r.path)) }

// copyIs reports whether copy n holds a version.
func (s *site) copyIs(n int, version string) bool { return holdsVersion(s.copy(n), version) }

// movedAway takes the foreign file out of a copy's place when the daemon has gone on with another number.
func movedAway(n int) func(*site, api.TargetStatus) {
	return func(s *site, st api.TargetStatus) {
		if st.State == api.Steady && s.copyIs(n, "theirs") {
			must(s.t, os.Rename(s.copy(n), filepath.Join(filepath.Dir(s.dir), "moved away")))
		}
	}
}

// isKept fails the test if a foreign file was planted and is lost.
func isKept(s *site) {
	root := filepath.Dir(s.dir)
	if lstat(s.t, filepath.Join(root, plantedName)).ID.IsZero() {
		return
	}
	for _, at := range []string{filepath.Join(root, "moved away"), s.private("imapd_002.drifted")} {
		if holdsVersion(at, "theirs") {
			return
		}
	}
	s.t.Errorf("the file in a copy's place is lost: in the private directory %q", s.names(s.private("")))
}

// readManifest is what the last daemon of the site has saved, and writeManifest changes it.
func (s *site) readManifest() (*pool.Manifest, error) {
	dir, err := fsys.OpenDir(s.cfg.State.Dir, nil)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return pool.LoadManifest(dir, name)
}

func (s *site) writeManifest(m *pool.Manifest) error {
	dir, err := fsys.OpenDir(s.cfg.State.Dir, nil)
	if err != nil {
		return err
	}
	defer dir.Close()
	return m.Save(dir, name)
}

func stories() []story {
	return slices.Concat(publishStories(), leaveStories(), copyStories(), pathStories(), leftStories())
}

func publishStories() []story {
	raced := racing(
		installs("commit: exchange", 1, "3"),
		installs("publish: exchange", 1, "4"),
	)
	restless := racing(
		installs("publish: exchange", 1, "3"),
		installs("give back: exchange", 1, "4"),
		installs("give back: exchange", 2, "5"),
	)
	return []story{
		{name: "first publish", cold: true},
		{name: "upgrade", world: upgrades, drops: true},
		{name: "upgrade, a newer file comes", world: upgrades, script: raced},
		{name: "upgrade, newer files come", publish: waysOurs, world: upgrades, script: restless},
		{name: "upgrade while cloning", world: upgrades, script: racing(installs("clone: sync", 2, "3"))},
		{name: "upgrade, a newer file comes and goes", publish: waysOurs, world: upgrades, absent: true, script: racing(
			installs("publish: exchange", 1, "3"),
			race{"give back: exchange", 1, "remove path", "3"},
		)},
		{name: "upgrade, the file goes", publish: waysOurs, world: upgrades, absent: true, script: racing(
			race{"publish: exchange", 1, "remove path", "2"},
			installs("publish: unlink", 1, "3"),
		), tick: func(s *site, st api.TargetStatus) {
			// Whoever has removed it and was to install the next one is killed with the daemon.
			if st.State == api.Steady && st.Generation.SHA256 != sha("3") && (s.published(config.PublishSymlink) || s.published(config.PublishLauncher)) {
				r := race{Do: "install", Arg: "3"}
				must(s.t, (&scenery{Path: s.path}).perform(r))
			}
		}},
		{name: "upgrade, no exchange", world: upgrades, script: withoutExchange(nil)},
		{name: "upgrade, a newer file comes, no exchange", world: upgrades, script: withoutExchange(racing(
			installs("publish: symlink", 1, "3"),
			installs("launcher: create", 1, "3"),
		))},
		{name: "upgrade, a foreign file comes in a copy's place", world: upgrades,
			script: racing(race{"commit: exchange", 2, "plant", "002"}), tick: movedAway(2), check: isKept},
		{name: "upgrade, a foreign file comes and its name goes", world: upgrades,
			script: racing(race{"commit: exchange", 2, "plant", "002"}, race{"commit: exchange back", 1, "remove copy", "002"}),
			tick:   movedAway(2), check: isKept},
		{name: "upgrade, a copy is written to", world: upgrades, script: racing(race{"clone: sync", 1, "scribble", "003"})},
		{name: "publish what was restored", publish: waysOurs, cold: true, setup: func(s *site) {
			must(s.t, os.Mkdir(s.private(""), 0o755))
			must(s.t, os.Link(s.path, s.pristine()))
		}},
		{name: "upgrade, a foreign file comes, with a crash", world: upgrades, setup: func(s *site) {
			// What a daemon leaves that is killed between an exchange in Commit and its undoing.
			m, err := s.readManifest()
			must(s.t, err)
			m.Staged = map[int]fsys.Info{2: {Size: 1}}
			must(s.t, s.writeManifest(m))
			must(s.t, writeStandin(s.private("imapd_002.new"), "theirs"))
		}, check: func(s *site) { s.holds(s.private("imapd_002.drifted"), "theirs") }},
		{name: "unwound upgrade", publish: waysOurs, world: unwinds},
		{name: "unwound upgrade, no exchange", publish: waysOurs, world: unwinds, script: withoutExchange(nil)},
		{name: "hand-made pool", publish: waysOurs, cold: true, setup: func(s *site) {
			must(s.t, os.Remove(s.path))
			s.handmade(2, "1", "1", "other")
		}, script: asking(verb{"manage", ""}), check: func(s *site) {
			s.holds(s.private("imapd_003.drifted"), "other")
		}},
		{name: "read-only directory", cold: true, script: racing(race{"prepare: make directory", 1, "read only", ""})},
	}
}

// otherForm changes a symbolic link for a launcher, and the other way round.
func otherForm(c *config.Target) {
	if c.Publish == config.PublishLauncher {
		c.Publish = config.PublishSymlink
	} else {
		c.Publish = config.PublishLauncher
	}
}

func leaveStories() []story {
	both := asking(verb{"restore", ""}, verb{"manage", ""})
	return []story{
		{name: "restore, manage", script: both},
		{name: "restore, manage, a newer file comes", publish: waysOurs, script: func(s *site, sc *scenery) {
			both(s, sc)
			sc.Races = []race{installs("restore: exchange", 1, "2")}
		}},
		{name: "restore, manage, path goes", publish: waysOurs, absent: true, script: func(s *site, sc *scenery) {
			both(s, sc)
			sc.Races = []race{{"restore: exchange", 1, "remove path", "1"}}
		}},
		{name: "restore without a pristine fails", publish: waysOurs, setup: func(s *site) { must(s.t, os.Remove(s.pristine())) },
			script: func(s *site, sc *scenery) {
				both(s, sc)
				sc.Races = []race{{"restore: exchange", 1, "fail", ""}}
			}},
		{name: "restore without a pristine or a daemon fails", publish: waysOurs, setup: func(s *site) { must(s.t, os.Remove(s.pristine())) },
			script: func(s *site, sc *scenery) {
				sc.Verbs, sc.Offline = []verb{{"restore", ""}}, true
				sc.Races = []race{{"restore: exchange", 1, "fail", ""}}
			}},
		{name: "restore where the pristine was written to fails", publish: waysOurs, setup: func(s *site) { command(s.t, "cp", s.file("x"), s.pristine()) },
			script: func(s *site, sc *scenery) {
				sc.Verbs, sc.Offline = []verb{{"restore", ""}}, true
				sc.Races = []race{{"restore: exchange", 1, "fail", ""}}
			}},
		{name: "restore where a newer file is hidden", publish: waysOurs, absent: true, setup: func(s *site) {
			must(s.t, os.Remove(s.path))
			must(s.t, writeStandin(s.private(name+".publish"), "2"))
			must(s.t, os.WriteFile(filepath.Join(filepath.Dir(s.dir), newestName), []byte("2"), 0o600))
		}, script: offlineAsking(verb{"restore", ""})},
		{name: "removal, then installed again", absent: true, setup: func(s *site) { s.packaged() }, world: func(r *rehearsal) {
			r.knowsPackage()
			must(r.t, os.Remove(r.path))
			must(r.t, os.Remove(filepath.Join(r.admin, "info", "cyrus-imapd.list")))
			r.until("nothing is left", func() bool { return len(r.names(r.dir)) == len(foreign) })
			r.arrives("2")
		}},
		{name: "removal that is told of late", publish: waysOurs, absent: true, setup: func(s *site) { s.packaged() }, world: func(r *rehearsal) {
			r.removed()
			r.until("nothing is left", func() bool { return len(r.names(r.dir)) == len(foreign) })
			r.arrives("2")
		}},
		{name: "removal, a newer file comes", publish: waysOurs, absent: true, setup: func(s *site) { s.packaged() },
			script: racing(installs("withdraw: rename", 1, "2")), world: func(r *rehearsal) {
				r.removed()
				r.until("the newer file comes, or nothing is left", func() bool {
					return r.noted(newestName) == "2" || len(r.names(r.dir)) == len(foreign)
				})
				if r.noted(newestName) != "2" { // who was to install it was killed with the daemon
					r.arrives("2")
				}
			}},
		{name: "publish is changed", reload: func(c *config.Target) {
			if c.Publish == config.PublishNone {
				c.Publish = config.PublishLauncher
			} else {
				c.Publish = config.PublishNone
			}
		}, script: asking(verb{"reload", ""})},
		{name: "publish is changed in place", publish: waysOurs, reload: otherForm, script: asking(verb{"reload", ""})},
		{name: "publish is changed in place, a newer file comes", publish: waysOurs, reload: otherForm, script: func(s *site, sc *scenery) {
			asking(verb{"reload", ""})(s, sc)
			sc.Races = []race{installs("reclaim: exchange", 1, "2")}
		}},
		{name: "publish was changed in place", publish: waysOurs, setup: func(s *site) { s.retarget(otherForm) }},
		{name: "publish was changed", publish: waysOurs, setup: func(s *site) { s.retarget(sidecar) }},
		{name: "the private directory is gone", publish: waysOurs, setup: func(s *site) {
			must(s.t, os.RemoveAll(s.private("")))
		}, absent: true, anyEnd: true},
	}
}

func copyStories() []story {
	return []story{
		{name: "growth", edit: func(c *config.Target) { c.Copies, c.MaxCopies, c.Threshold, c.RotateAt = 1, 2, 2, 0.5 },
			world: func(r *rehearsal) { hold(r.t, r.executed()) },
			done:  func(_ *site, st api.TargetStatus) bool { return len(st.Copies) == 2 && st.Current == "imapd_002" }},
		{name: "fewer copies", edit: func(c *config.Target) { c.Copies, c.MaxCopies = 5, 5 },
			reload: func(c *config.Target) { c.Copies, c.MaxCopies = 2, 2 }, script: asking(verb{"rotate", "2"}, verb{"reload", ""}),
			done: func(_ *site, st api.TargetStatus) bool { return len(st.Copies) == 2 }},
		{name: "rotation", script: asking(verb{"rotate", "2"}, verb{"rotate", "3"})},
		{name: "reclone", script: asking(verb{"reclone", ""})},
		{name: "drift", world: func(r *rehearsal) { command(r.t, "cp", r.file("x"), r.copy(2)) },
			done:  func(s *site, _ api.TargetStatus) bool { return !lstat(s.t, s.private("imapd_002.drifted")).ID.IsZero() },
			check: func(s *site) { s.holds(s.private("imapd_002.drifted"), "x") }},
		{name: "drift of the linked copy", absent: true, world: func(r *rehearsal) { command(r.t, "cp", r.file("x"), r.privateLink()) },
			done:  func(s *site, _ api.TargetStatus) bool { return !lstat(s.t, s.private("imapd_001.drifted")).ID.IsZero() },
			check: func(s *site) { s.holds(s.private("imapd_001.drifted"), "x") }},
		{name: "the pristine is written to", publish: waysOurs, setup: func(s *site) { command(s.t, "cp", s.file("x"), s.pristine()) },
			check: func(s *site) { s.holds(s.private(name+".pristine.drifted"), "x") }},
		{name: "missing copies", absent: true, world: func(r *rehearsal) {
			must(r.t, os.Remove(r.copy(1)))
			must(r.t, os.Remove(r.copy(3)))
		}},
		{name: "mode through path", publish: waysOurs, world: func(r *rehearsal) { must(r.t, os.Chmod(r.path, 0o751)) },
			done: func(s *site, _ api.TargetStatus) bool { return lstat(s.t, s.copy(3)).Perm() == 0o751 }},
		{name: "mode of the packaged file", publish: onlyOther,
			world: func(r *rehearsal) { must(r.t, os.Chmod(r.path, 0o751)) },
			done:  func(s *site, _ api.TargetStatus) bool { return lstat(s.t, s.copy(1)).Perm() == 0o751 }},
	}
}

func pathStories() []story {
	return []story{
		{name: "our launcher is changed", publish: onlyA(config.PublishLauncher), world: func(r *rehearsal) {
			f, err := openWhenIdle(r.path, os.O_WRONLY|os.O_APPEND)
			must(r.t, err)
			_, err = f.WriteString("more")
			must(r.t, errors.Join(err, f.Close()))
		}},
		{name: "upgrade by cp onto our launcher", publish: onlyA(config.PublishLauncher), absent: true, world: func(r *rehearsal) {
			f, err := openWhenIdle(r.path, os.O_WRONLY|os.O_TRUNC)
			must(r.t, err)
			must(r.t, os.WriteFile(r.note(newestName), []byte("2"), 0o600))
			_, err = f.Write(standin.ELF("2"))
			must(r.t, errors.Join(err, f.Close()))
		}},
		{name: "put back", publish: waysOurs, absent: true, world: removesPath},
		{name: "reclaim", publish: waysOurs, world: func(r *rehearsal) { r.linkTo(2) }},
		{name: "reclaim, a newer file comes", publish: waysOurs, world: func(r *rehearsal) { r.linkTo(2) },
			script: racing(installs("reclaim: exchange", 1, "2"))},
		{name: "adopt", publish: waysOurs, script: func(s *site, sc *scenery) {
			file := s.file("2")
			must(s.t, os.WriteFile(sc.note(newestName), []byte("2"), 0o600))
			sc.Verbs = []verb{{"adopt", file}}
		}},
		{name: "adopt, a newer file comes", publish: waysOurs, script: func(s *site, sc *scenery) {
			file := s.file("2")
			must(s.t, os.WriteFile(sc.note(newestName), []byte("2"), 0o600))
			sc.Verbs = []verb{{"adopt", file}}
			sc.Races = []race{installs("adopt: rename", 1, "3")}
		}},
		{name: "adopt fails", publish: waysOurs, script: func(s *site, sc *scenery) {
			file := s.file("2")
			must(s.t, os.WriteFile(sc.note(newestName), []byte("2"), 0o600))
			sc.Verbs = []verb{{"adopt", file}}
			sc.Races = []race{{"clone: check", 1, "fail", ""}}
		}},
	}
}

// leftStories begin with what a crash leaves.
func leftStories() []story {
	private := func(file, version string) func(*site) {
		return func(s *site) { must(s.t, writeStandin(s.private(name+file), version)) }
	}
	newest := func(version string, then func(*site)) func(*site) {
		return func(s *site) {
			must(s.t, os.WriteFile(filepath.Join(filepath.Dir(s.dir), newestName), []byte(version), 0o600))
			then(s)
		}
	}
	return []story{
		{name: "a hidden newer file is left", publish: waysOurs, setup: newest("2", private(".publish", "2"))},
		{name: "a hidden newer file is left, no exchange", publish: waysOurs, setup: newest("2", private(".out", "2")), script: withoutExchange(nil)},
		{name: "a file that came out is left", publish: waysOurs, setup: newest("2", private(".out", "2"))},
		{name: "a link to be is left", publish: waysOurs, setup: func(s *site) {
			s.putOurs(s.cfg.Targets[0].Publish, s.private(name+".publish"))
			s.putOurs(config.PublishLauncher, s.private(name+".launcher"))
			must(s.t, os.Symlink("../imapd_003", s.private(name+".rotate")))
			must(s.t, writeStandin(s.private(name+".adopt"), "x"))
		}},
		{name: "a newer file is left aside", publish: waysOurs, absent: true, setup: newest("2", func(s *site) {
			must(s.t, os.Remove(s.path))
			must(s.t, writeStandin(s.private(name+".aside"), "2"))
		})},
		{name: "earlier generations are left", publish: waysOurs, setup: func(s *site) {
			for _, version := range []string{"7", "8", "9"} {
				must(s.t, writeStandin(s.private(name+".generation-"+sha(version)), version))
			}
		}, world: upgrades, drops: true},
		{name: "a previous one that is the pristine is left", publish: waysOurs, setup: func(s *site) {
			must(s.t, os.Link(s.pristine(), s.previous()))
		}, world: upgrades, drops: true},
		{name: "a manifest under another name is left", setup: func(s *site) {
			state := s.cfg.State.Dir
			must(s.t, os.Rename(filepath.Join(state, name+".json"), filepath.Join(state, "another.json")))
		}},
		{name: "unfinished copies are left", setup: func(s *site) {
			for n := range 2 {
				must(s.t, os.WriteFile(s.private(fmt.Sprintf("imapd_%03d.new", n+1)), nil, 0o600))
			}
			must(s.t, os.Remove(s.copy(1)))
		}, absent: true},
		{name: "an unfinished copy is in the way", world: upgrades, script: racing(race{"clone: create", 1, "litter", "imapd_001.new"})},
		{name: "an unfinished manifest is in the way", world: upgrades, script: racing(race{"manifest: create", 1, "litter the state", "imapd.json.new"})},
		{name: "the manifest cannot be written", world: upgrades, script: racing(race{"manifest: write", 1, "fail", ""})},
		{name: "the private directory is shut", absent: true, setup: func(s *site) { must(s.t, os.Chmod(s.private(""), 0o700)) }},
		{name: "a file is in the private link's place", setup: func(s *site) { must(s.t, writeStandin(s.privateLink(), "1")) }},
		{name: "all but the pristine is gone", publish: waysOurs, absent: true, setup: func(s *site) {
			for _, path := range []string{s.path, s.copy(1), s.copy(2), s.copy(3), s.privateLink()} {
				must(s.t, os.Remove(path))
			}
		}},
	}
}
