package linker

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"relinkd/fsys"
	"relinkd/internal/standin"
)

// scenarios is everything that changes a site.
func scenarios() []scenario {
	return slices.Concat(publishing(), restoring(), recovering(), others())
}

// publish puts our link in place of F, and leaves any other file to the next round.
func publish(s *site, l *Link) error {
	at, err := l.Look()
	if err != nil || at.Info.ID != s.source.ID {
		return err
	}
	return l.Publish(at.Info)
}

// raced is publish where somebody else may win.
func raced(s *site, l *Link) error {
	if err := publish(s, l); !errors.Is(err, ErrSuperseded) {
		return err
	}
	return nil
}

func isOurs(s *site) {
	s.t.Helper()
	if !s.hasOurs() {
		s.t.Error("path is not our link")
	}
}

func isFile(s *site) {
	s.t.Helper()
	if !s.lstat(s.path).IsRegular() || s.hasOurs() {
		s.t.Error("path is no file of somebody's")
	}
}

// onto is what cp does: it writes a new version into the file that stands at path.
func onto(version string) func(*site) {
	return func(s *site) {
		must(s.t, os.WriteFile(s.path, standin.ELF(version), 0))
		s.newest = s.lstat(s.path).ID
	}
}

func publishing() []scenario {
	upgrade := func(s *site) {
		s.put(s.private(suffixPristine), "P")
		s.put(s.private(suffixPrevious), "Q")
	}
	return []scenario{
		{name: "publish", act: publish, rest: isOurs},
		{name: "publish an upgrade", setup: upgrade, act: publish, rest: func(s *site) {
			isOurs(s)
			s.shows(map[string]fsys.ID{suffixPristine: s.newest})
		}},
		{
			name: "publish what was restored",
			setup: func(s *site) {
				must(s.t, os.Link(s.path, s.private(suffixPristine)))
				s.put(s.private(suffixPrevious), "Q")
			},
			act:  publish,
			rest: isOurs,
		},
		{name: "publish, a newer file comes", setup: upgrade, act: raced, race: map[string]func(*site){
			"publish: exchange 1": func(s *site) { s.arrive("G") },
		}},
		{name: "publish, newer files come", setup: upgrade, act: raced, race: map[string]func(*site){
			"publish: exchange 1":   func(s *site) { s.arrive("G") },
			"give back: exchange 1": func(s *site) { s.arrive("H") },
			"give back: exchange 2": func(s *site) { s.arrive("I") },
		}},
		{name: "publish, a newer file comes and goes", act: raced, absent: true, race: map[string]func(*site){
			"publish: exchange 1":   func(s *site) { s.arrive("G") },
			"give back: exchange 1": func(s *site) { must(s.t, os.Remove(s.path)) },
		}, finish: putBackOr(raced)},
		{name: "publish, a newer file comes, goes and comes", act: raced, absent: true, race: map[string]func(*site){
			"publish: exchange 1":   func(s *site) { s.arrive("G") },
			"give back: exchange 1": func(s *site) { must(s.t, os.Remove(s.path)) },
			"give back: rename 1":   func(s *site) { s.arrive("H") },
		}, finish: putBackOr(raced)},
		{name: "publish a file with a writer", act: raced, race: map[string]func(*site){
			"publish: exchange 1": openForWriting,
		}, finish: raced},
		{name: "publish a file with a writer, newer files come", act: raced, race: map[string]func(*site){
			"publish: exchange 1": openForWriting,
			"give back: mark 1":   func(s *site) { s.arrive("G") },
			"give back: mark 2":   func(s *site) { s.arrive("H") },
		}, finish: raced},
	}
}

// putBackOr makes path exist where a removal met a crash, as the daemon does.
func putBackOr(act func(*site, *Link) error) func(*site, *Link) error {
	return func(s *site, l *Link) error {
		at, err := l.Look()
		if err != nil {
			return err
		}
		if at.Kind == Nothing {
			return l.PutBack()
		}
		return act(s, l)
	}
}

func restoring() []scenario {
	published := func(s *site) { s.published() }
	restore := func(_ *site, l *Link) error {
		_, err := l.Restore()
		return err
	}
	return []scenario{
		{name: "restore", setup: published, act: restore, rest: func(s *site) {
			isFile(s)
			s.shows(map[string]fsys.ID{"path": s.source.ID})
			if n := s.lstat(s.path).Nlink; n != 1 {
				s.t.Errorf("the restored file has %d names, want 1", n)
			}
		}},
		{name: "restore, a newer file comes", setup: published, act: restore, rest: isFile, race: map[string]func(*site){
			"restore: exchange 1": func(s *site) { s.arrive("G") },
		}},
		{name: "restore, newer files come", setup: published, act: restore, rest: isFile, race: map[string]func(*site){
			"restore: exchange 1":   func(s *site) { s.arrive("G") },
			"give back: exchange 1": func(s *site) { s.arrive("H") },
		}},
		{name: "restore, path goes", setup: published, act: restore, absent: true, rest: isFile, race: map[string]func(*site){
			"restore: exchange 1": func(s *site) { must(s.t, os.Remove(s.path)) },
		}},
		{name: "restore, path goes and a newer file comes", setup: published, act: restore, absent: true, rest: isFile, race: map[string]func(*site){
			"restore: exchange 1": func(s *site) { must(s.t, os.Remove(s.path)) },
			"restore: link 1":     func(s *site) { s.arrive("G") },
		}},
		{
			name: "restore where path is gone and a newer file is hidden",
			setup: func(s *site) {
				s.published()
				must(s.t, os.Remove(s.path))
				s.newest = s.put(s.private(suffixPublish), "G")
			},
			act: restore, absent: true, rest: isFile,
		},
		{name: "restore over a link to a copy", setup: func(s *site) {
			s.published()
			s.link("imapd_002", s.path)
		}, act: restore, rest: isFile},
		{name: "restore, a newer version is written onto our launcher", form: new(Launcher), setup: published, act: restore, rest: isFile, race: map[string]func(*site){
			"restore: exchange 1": onto("G"),
		}},
		{name: "dismantle", setup: func(s *site) {
			s.published()
			must(s.t, os.Link(s.private(suffixPristine), s.private(suffixPrevious)))
			l := s.open(nil)
			defer l.Close()
			must(s.t, restore(s, l))
		}, act: func(_ *site, l *Link) error {
			_, err := l.Dismantle("")
			return err
		}, rest: func(s *site) {
			if names := s.names(s.dir + "/" + PrivateDir); names != nil {
				s.t.Errorf("the private directory is left with %q", names)
			}
		}},
	}
}

// recovering has a scenario for each state that only a crash leaves, so that recovery crashes too.
func recovering() []scenario {
	var all []scenario
	for _, row := range crashes() {
		all = append(all, scenario{
			name:   "recover: " + row.name,
			setup:  row.state,
			absent: row.want == MoveBack,
			act: func(_ *site, l *Link) error {
				_, err := l.Recover(isCopy)
				return err
			},
			rest: func(s *site) {
				if row.ours {
					isOurs(s)
				} else {
					isFile(s)
				}
			},
		})
	}
	return append(all, scenario{
		name: "recover: a launcher half written",
		setup: func(s *site) {
			s.published()
			must(s.t, os.WriteFile(s.private(suffixLauncher), []byte("\x7fELF"), 0o600))
		},
		act: func(_ *site, l *Link) error {
			_, err := l.Recover(isCopy)
			return err
		},
		rest: isOurs,
	}, scenario{
		name:  "recover, newer files come",
		setup: func(s *site) { s.published(); s.newest = s.put(s.private(suffixPublish), "G") },
		act: func(_ *site, l *Link) error {
			_, err := l.Recover(isCopy)
			return err
		},
		race: map[string]func(*site){
			"recover: unlink 1":     func(s *site) { s.arrive("H") },
			"give back: exchange 2": func(s *site) { s.arrive("I") },
		},
		rest: isFile,
	})
}

func others() []scenario {
	reclaim := func(_ *site, l *Link) error {
		at, err := l.Look()
		if err != nil || at.Kind != PoolLink {
			return err
		}
		if err := l.Reclaim(at); !errors.Is(err, ErrSuperseded) {
			return err
		}
		return nil
	}
	linked := func(s *site) {
		s.published()
		s.link("imapd_002", s.path)
	}
	gone := func(s *site) {
		s.published()
		must(s.t, os.Remove(s.path))
	}
	putBack := putBackOr(func(*site, *Link) error { return nil })
	return []scenario{
		{name: "reclaim", setup: linked, act: reclaim, rest: isOurs},
		{name: "reclaim, a newer file comes", setup: linked, act: reclaim, race: map[string]func(*site){
			"reclaim: exchange 1": func(s *site) { s.arrive("G") },
		}},
		{name: "open the private directory up", setup: func(s *site) {
			s.published()
			must(s.t, os.Chmod(filepath.Dir(s.private("")), 0o700))
		}, act: func(_ *site, l *Link) error {
			if shut, err := l.Shut(); shut == "" || err != nil {
				return err
			}
			return l.OpenUp()
		}, rest: func(s *site) {
			if perm := s.lstat(filepath.Dir(s.private(""))).Perm(); perm != privateMode {
				s.t.Errorf("the private directory has mode %04o", perm)
			}
		}},
		{name: "give the pristine attributes", setup: func(s *site) { s.published() }, act: func(_ *site, l *Link) error {
			from, err := l.private.Open(l.PristineName())
			if fsys.NotExist(err) { // not published yet
				return nil
			}
			if err != nil {
				return err
			}
			defer from.Close()
			info, err := fsys.Fstat(from)
			if err != nil {
				return err
			}
			f, err := l.SetPristine(info, from)
			if err == nil {
				err = f.Close()
			}
			return err
		}, rest: isOurs},
		{name: "keep what is in the private link's place", setup: func(s *site) {
			s.published()
			s.put(s.private(""), "L")
		}, act: func(_ *site, l *Link) error {
			if _, err := l.KeepStray(); err != nil {
				return err
			}
			return l.Rotate(1)
		}, rest: isOurs},
		{name: "change the form", setup: func(s *site) { s.other().published() }, act: renew, rest: isOurs},
		{name: "change the form, a newer file comes", setup: func(s *site) { s.other().published() }, act: renew, race: map[string]func(*site){
			"reclaim: exchange 1": func(s *site) { s.arrive("G") },
		}},
		{name: "change the form, the package manager puts back an older link", setup: func(s *site) { s.other().published() }, act: renew, race: map[string]func(*site){
			"reclaim: exchange 1": func(s *site) { s.other().ours(s.path) },
		}, rest: isOurs},
		{name: "change a launcher, a newer version is written onto it", form: new(Symlink), setup: func(s *site) { s.other().published() }, act: renew, race: map[string]func(*site){
			"reclaim: exchange 1": onto("G"),
		}},
		{name: "renew a launcher that was changed", form: new(Launcher), setup: func(s *site) {
			s.published()
			f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_APPEND, 0)
			must(s.t, err)
			_, err = f.WriteString("more")
			must(s.t, errors.Join(err, f.Close()))
		}, act: renew, rest: isOurs},
		{name: "put back", setup: gone, act: putBack, absent: true, rest: isOurs},
		{name: "put back over a left link", setup: func(s *site) {
			gone(s)
			s.ours(s.private(suffixPublish))
		}, act: putBack, absent: true, rest: isOurs},
		{name: "put back a hidden file", setup: func(s *site) {
			gone(s)
			s.newest = s.put(s.private(suffixPublish), "G")
		}, act: putBack, absent: true, rest: isFile},
		{name: "put back, a newer file comes", setup: gone, absent: true, act: func(s *site, l *Link) error {
			if err := putBack(s, l); !errors.Is(err, ErrSuperseded) {
				return err
			}
			return nil
		}, race: map[string]func(*site){
			"put back: rename 1": func(s *site) { s.arrive("G") },
		}},
		{name: "rotate", setup: func(s *site) {
			s.published()
			s.link("../imapd_003", s.private(suffixRotate))
		}, act: func(_ *site, l *Link) error { return l.Rotate(2) }, rest: func(s *site) {
			if text, _ := os.Readlink(s.private("")); text != "../imapd_002" {
				s.t.Errorf("the private link says %q", text)
			}
		}},
		{name: "tidy", setup: func(s *site) {
			s.published()
			s.link("../imapd_003", s.private(suffixRotate))
		}, act: func(_ *site, l *Link) error { return l.Tidy() }, rest: func(s *site) {
			if _, err := os.Lstat(s.private(suffixRotate)); !os.IsNotExist(err) {
				s.t.Errorf("a rotation that never was is left: %v", err)
			}
		}},
		{name: "unwind", setup: func(s *site) {
			s.published()
			must(s.t, os.Rename(s.private(suffixPristine), s.private(suffixPrevious)))
			s.put(s.private(suffixPristine), "G")
		}, act: func(s *site, l *Link) error {
			if s.lstat(s.private(suffixPristine)).ID == s.source.ID {
				return nil
			}
			return l.Unwind()
		}, rest: isOurs},
		{name: "forget", setup: func(s *site) {
			s.put(s.private(suffixPrevious), "Q")
		}, act: func(_ *site, l *Link) error { return l.KeepPrevious() }, rest: func(s *site) {
			s.generation("Q")
		}},
		{name: "forget a previous one that is the pristine", setup: func(s *site) {
			s.published()
			must(s.t, os.Link(s.private(suffixPristine), s.private(suffixPrevious)))
		}, act: func(_ *site, l *Link) error { return l.KeepPrevious() }, rest: isOurs},
		{name: "prune", setup: func(s *site) {
			s.published()
			for _, version := range []string{"P", "Q"} {
				s.put(s.private(suffixGeneration+sum(version)), version)
			}
		}, act: func(_ *site, l *Link) error {
			_, err := l.Prune(1)
			return err
		}, rest: func(s *site) {
			isOurs(s)
			l := s.open(nil)
			defer l.Close()
			if all, err := l.Generations(); err != nil || len(all) != 1 {
				s.t.Errorf("earlier generations %+v, %v", all, err)
			}
		}},
		{name: "take over", act: func(s *site, l *Link) error {
			err := l.KeepLinked("imapd_002")
			if fsys.Exist(err) {
				return nil
			}
			return err
		}},
		{name: "adopt", setup: func(s *site) { s.published() }, act: adopt, finish: adopted, rest: func(s *site) {
			isOurs(s)
			s.generation("F")
		}},
		{name: "withdraw", setup: func(s *site) { s.published() }, act: withdraw, absent: true, finish: withdrawn},
		{name: "withdraw, a newer file comes", setup: func(s *site) { s.published() }, act: withdraw, absent: true, race: map[string]func(*site){
			"withdraw: rename 1": func(s *site) { s.arrive("G") },
		}, finish: withdrawn},
		{name: "withdraw, newer files come", setup: func(s *site) { s.published() }, act: withdraw, absent: true, race: map[string]func(*site){
			"withdraw: rename 1":    func(s *site) { s.arrive("G") },
			"withdraw: give back 1": func(s *site) { s.arrive("H") },
		}, finish: withdrawn},
		{name: "set the pristine aside", setup: func(s *site) { s.published() }, act: func(_ *site, l *Link) error {
			_, err := l.SetAsidePristine()
			return err
		}, finish: func(s *site, _ *Link) error { // it comes back, for what every scenario ends with
			err := os.Rename(s.private(suffixPristine+suffixDrifted), s.private(suffixPristine))
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			return err
		}, rest: isOurs},
		{name: "set the pristine aside and put it back", setup: func(s *site) { s.published() }, act: func(_ *site, l *Link) error {
			kept, err := l.SetAsidePristine()
			if err != nil {
				return err
			}
			if err := l.DropPristine(); err != nil { // there is none
				return err
			}
			return l.PutBackPristine(kept)
		}, finish: func(s *site, _ *Link) error {
			err := os.Rename(s.private(suffixPristine+suffixDrifted), s.private(suffixPristine))
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			return err
		}, rest: isOurs},
		{name: "prepare", setup: func(s *site) {
			must(s.t, os.RemoveAll(s.dir+"/"+PrivateDir))
		}, act: func(_ *site, l *Link) error { return l.MakePrivate() }},
	}
}

// renew puts our link at path in place of one of ours that does not fit.
func renew(_ *site, l *Link) error {
	at, err := l.Look()
	if err != nil || at.Kind != Ours || l.Fits(at) {
		return err
	}
	if err := l.Reclaim(at); !errors.Is(err, ErrSuperseded) {
		return err
	}
	return nil
}

// adopt puts A in force, while our link stays at path. When that fails A is dropped: it is a copy of ours.
func adopt(s *site, l *Link) error {
	if s.isA() {
		return nil
	}
	if err := l.DropAdopted(); err != nil {
		return err
	}
	must(s.t, standin.Write(s.private(suffixAdopt), "A"))
	f, err := l.PrepareAdopted(s.source)
	if err != nil {
		return err
	}
	must(s.t, f.Close())
	return l.Promote(sum("F"), sum("A"))
}

// isA reports whether A is the pristine.
func (s *site) isA() bool {
	content, err := os.ReadFile(s.private(suffixPristine))
	return err == nil && bytes.Equal(content, standin.ELF("A"))
}

// adopted finishes an adopt: A is what counts as somebody's from now on.
func adopted(s *site, l *Link) error {
	if err := adopt(s, l); err != nil {
		return err
	}
	s.newest = s.lstat(s.private(suffixPristine)).ID
	return nil
}

// sum is the hash of a version.
func sum(version string) string {
	sum := sha256.Sum256(standin.ELF(version))
	return hex.EncodeToString(sum[:])
}

// generation fails the test unless that version is kept as an earlier generation.
func (s *site) generation(version string) {
	s.t.Helper()
	content, err := os.ReadFile(s.private(suffixGeneration + sum(version)))
	if err != nil || !bytes.Equal(content, standin.ELF(version)) {
		s.t.Errorf("%s is no earlier generation: %v", version, err)
	}
}

func withdraw(_ *site, l *Link) error {
	if err := l.Withdraw(); !errors.Is(err, ErrSuperseded) {
		return err
	}
	return nil
}

// withdrawn finishes a withdrawal, and then puts the link back for what every scenario ends with.
func withdrawn(s *site, l *Link) error {
	if err := withdraw(s, l); err != nil {
		return err
	}
	at, err := l.Look()
	if err != nil || at.Kind != Nothing {
		return err
	}
	return l.PutBack()
}
