package linker

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/internal/standin"
	"relinkd/linker/launcher"
	"relinkd/pool"
)

// atPath is what an administrator's tools leave at path.
type atPath struct {
	name  string
	make  func(s *site) // where nothing stands at path any more
	kind  Kind
	stays bool // restore keeps it
	goes  bool // restore exchanges it for the pristine, or puts that there
}

// standings is every kind of thing that can stand at path of a published site.
func standings() []atPath {
	write := func(mode os.FileMode, content func(s *site) []byte) func(s *site) {
		return func(s *site) {
			must(s.t, os.WriteFile(s.path, content(s), mode))
			must(s.t, os.Chmod(s.path, mode))
		}
	}
	text := func(text string) func(*site) []byte { return func(*site) []byte { return []byte(text) } }
	link := func(to func(s *site) string) func(s *site) {
		return func(s *site) { must(s.t, os.Symlink(to(s), s.path)) }
	}
	// alias is the install directory by another spelling.
	alias := func(s *site) string {
		must(s.t, os.Symlink(s.dir, s.dir+".alias"))
		return s.dir + ".alias"
	}
	grown := func(s *site) []byte {
		content, err := launcher.New(s.private(""))
		must(s.t, err)
		return append(content, make([]byte, 4096)...)
	}
	return []atPath{
		{"nothing", func(*site) {}, Nothing, false, true},
		{"ours", func(s *site) { s.ours(s.path) }, Ours, false, true},
		{"ours, grown", write(0o755, grown), Ours, false, true},
		{"an absolute link to the private link", link(func(s *site) string { return s.private("") }), Alias, false, true},
		{"a link to the private link through a link", link(func(s *site) string { return alias(s) + "/.relinkd/imapd" }), Alias, false, true},
		{"a link with dots and slashes", link(func(*site) string { return "..//.//.relinkd/../.relinkd/imapd" }), OtherLink, false, false},
		{"a link with dots", link(func(*site) string { return ".//.relinkd/../.relinkd/imapd" }), Alias, false, true},
		{"a link to the pristine", link(func(*site) string { return ".relinkd/imapd.pristine" }), Alias, false, true},
		{"a link to another target's", link(func(*site) string { return ".relinkd/pop3d" }), OtherLink, false, false},
		{"a link to a link of ours", func(s *site) {
			must(s.t, os.Symlink(".relinkd/imapd", s.dir+"/imapd.real"))
			must(s.t, os.Symlink("imapd.real", s.path))
		}, Alias, false, true},
		{"a link to a copy", link(func(*site) string { return "imapd_002" }), PoolLink, false, true},
		{"a link to a copy through a link", link(func(s *site) string { return alias(s) + "/imapd_002" }), PoolLink, false, true},
		{"a link elsewhere", link(func(*site) string { return "/bin/true" }), OtherLink, false, false},
		{"a link to nothing", link(func(*site) string { return "nowhere/imapd" }), OtherLink, false, false},
		{"a link to itself", link(func(*site) string { return "imapd" }), OtherLink, false, false},
		{"a complete file", func(s *site) { s.arrive("G") }, File, true, false},
		{"an empty file", write(0o755, text("")), File, false, false},
		{"a file cut short", write(0o755, text("\x7fEL")), File, false, false},
		{"a script", write(0o755, text("#!/bin/sh\nexec imapd.real\n")), File, false, false},
		{"a complete file that may wrap a link of ours", func(s *site) {
			must(s.t, os.Symlink(".relinkd/imapd", s.dir+"/imapd.real"))
			s.arrive("G")
		}, File, false, false},
		{"a complete file that executes the private link", func(s *site) {
			must(s.t, os.WriteFile(s.path, append(standin.ELF("G"), s.private("")+"\x00"...), 0o755))
			must(s.t, os.Chmod(s.path, 0o755))
		}, File, false, false},
		{"the program itself beside a link of ours", func(s *site) {
			must(s.t, os.Symlink(".relinkd/imapd", s.dir+"/imapd.real"))
			s.arrive("F")
		}, File, true, false},
		{"a directory", func(s *site) { must(s.t, os.Mkdir(s.path, 0o755)) }, Other, false, false},
		{"a fifo", func(s *site) { must(s.t, unix.Mkfifo(s.path, 0o755)) }, Other, false, false},
	}
}

// TestSurvives restores, and takes all of ours away, over every kind of thing at path: either the program
// stands at path in the end, or nothing has changed and the error says where it is kept.
func TestSurvives(t *testing.T) {
	for form := range Launcher + 1 {
		for _, at := range standings() {
			t.Run(at.name+", "+form.String(), func(t *testing.T) {
				s := newSiteOf(t, t.TempDir(), form).published()
				must(t, os.Remove(s.path))
				at.make(s)
				before := s.tree(s.dir)
				l := s.open(nil)
				defer l.Close()
				if standing, err := l.Look(); err != nil || standing.Kind != at.kind {
					t.Errorf("path is %v, %v, want %v", standing.Kind, err, at.kind)
				}
				if err := l.MayRemove(""); (err == nil) != at.stays {
					t.Errorf("may all be removed: %v", err)
				}
				kept, err := l.Restore()
				switch {
				case at.stays || at.goes:
					if err != nil || kept != at.stays {
						t.Fatalf("restore: kept %v, %v", kept, err)
					}
					if _, err := l.Dismantle(""); err != nil {
						t.Errorf("dismantle: %v", err)
					}
					must(t, run(s.path))
					if at.goes && s.lstat(s.path).ID != s.source.ID {
						t.Error("path is not the packaged file")
					}
				default:
					refusal := (*KeptError)(nil)
					if !errors.As(err, &refusal) || refusal.Kept[0] != s.private(suffixPristine) {
						t.Errorf("restore: %v, want that the program is kept as the pristine", err)
					}
					if _, err := l.Dismantle(""); !errors.As(err, &refusal) {
						t.Errorf("dismantle: %v", err)
					}
					if after := s.tree(s.dir); !slices.Equal(after, before) {
						t.Errorf("changed %q to %q", before, after)
					}
				}
			})
		}
	}
}

// TestRemovedByItsPackageManager: its word counts where nothing but ours stands at path.
func TestRemovedByItsPackageManager(t *testing.T) {
	for _, at := range standings() {
		t.Run(at.name, func(t *testing.T) {
			s := newSite(t, t.TempDir()).published()
			must(t, os.Remove(s.path))
			at.make(s)
			l := s.open(nil)
			defer l.Close()
			want := at.stays || at.kind == Nothing || at.kind == Ours || at.kind == Alias || at.kind == PoolLink
			if err := l.MayRemove("no package names it any more"); (err == nil) != want {
				t.Errorf("%v, want that it may be removed: %v", err, want)
			}
		})
	}
}

// TestNothingKept: remnants that are not the program may go, whatever stands at path.
func TestNothingKept(t *testing.T) {
	s := newSite(t, t.TempDir()).published()
	must(t, os.Remove(s.path))
	must(t, os.Truncate(s.private(suffixPristine), 0))
	for n := range copies {
		must(t, os.Remove(s.copy(n+1)))
	}
	l := s.open(nil)
	defer l.Close()
	if _, err := l.Dismantle(""); err != nil {
		t.Errorf("%v", err)
	}
	if names := s.names(s.dir); names != nil {
		t.Errorf("left %q", names)
	}
}

// TestHiddenIsNotDropped: what a crash left is the last of the program where nothing complete stands at path.
func TestHiddenIsNotDropped(t *testing.T) {
	for _, suffix := range []string{suffixPublish, suffixOut, suffixBack, suffixBefore, suffixAside} {
		for _, at := range standings() {
			if at.kind == Nothing || at.kind == Ours {
				continue // the recovery table
			}
			t.Run(suffix+", "+at.name, func(t *testing.T) {
				s := newSite(t, t.TempDir()).published()
				must(t, os.Remove(s.path))
				hidden := s.put(s.private(suffix), "G")
				at.make(s)
				l := s.open(nil)
				defer l.Close()
				for range 2 {
					if _, err := l.Recover(isCopy); err != nil {
						t.Fatal(err)
					}
				}
				names := s.holds(hidden)
				if !at.stays && !slices.Equal(names, []string{s.private(suffixPristine)}) && at.name != "a complete file that may wrap a link of ours" {
					t.Errorf("what was hidden is %q, want it to be the pristine", names)
				}
				if at.stays && len(s.holds(s.source.ID)) == 0 && len(names) == 0 && len(s.holds(s.newest)) == 0 {
					t.Error("the program is lost")
				}
				if !at.stays && len(s.holds(s.source.ID)) == 0 {
					t.Error("what was the pristine is lost")
				}
			})
		}
	}
}

// TestUnwoundByItsBackup: no link but the very one that dpkg kept, from before the publish, tells of an
// upgrade that is taken back.
func TestUnwoundByItsBackup(t *testing.T) {
	for form := range Launcher + 1 {
		s := newSiteOf(t, t.TempDir(), form).published()
		backup := s.path + ".dpkg-tmp"
		s.ours(backup)
		s.arrive("G")
		l := s.open(nil)
		defer l.Close()
		must(t, l.Publish(s.lstat(s.path)))
		look := func() Standing {
			at, err := l.Look()
			must(t, err)
			return at
		}
		if l.Unwound(look()) || l.ForgetBackup() {
			t.Error("our own link is taken for the backup, or that for gone")
		}
		must(t, os.Rename(backup, backup+"~")) // which s.ours would be in the way of
		s.ours(s.path)                         // a copied tree
		must(t, os.Rename(backup+"~", backup))
		if l.Unwound(look()) {
			t.Error("a link of somebody's is taken for the backup")
		}
		must(t, os.Rename(backup, s.path))
		if !l.Unwound(look()) || l.ForgetBackup() {
			t.Error("the backup is not known at path")
		}
		s.ours(s.path)
		if !l.ForgetBackup() || l.Unwound(look()) {
			t.Error("a backup that is gone is not forgotten")
		}
	}
}

// TestNoJudge: without it nothing is removed.
func TestNoJudge(t *testing.T) {
	s := newSite(t, t.TempDir()).published()
	s.arrive("G")
	l := s.open(nil)
	defer l.Close()
	l.SetJudge(nil)
	if err := l.MayRemove(""); err == nil {
		t.Error("what cannot be judged counts as complete")
	}
	if err := os.Remove(filepath.Join(s.dir, pool.CopyName(target, 1))); err != nil {
		t.Error(err)
	}
}
