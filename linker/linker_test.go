package linker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/internal/fstest"
)

// TestLife takes a packaged file, which on overlayfs lies in the lower layer, through a publish, a
// rotation and a restore: the very inode comes back, and nothing of ours stays.
func TestLife(t *testing.T) {
	fstest.Each(t, func(t *testing.T, dir string) {
		path := filepath.Join(dir, fstest.Packaged)
		content, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path+"_001", content, 0o755))
		must(t, os.Chmod(path+"_001", 0o755))
		l, err := Open(path, nil)
		must(t, err)
		defer l.Close()
		l.SetJudge(isELF)
		must(t, l.MakePrivate())
		must(t, l.Rotate(1))
		src, err := l.Dir().Lstat(fstest.Packaged)
		must(t, err)

		must(t, l.Publish(src))
		must(t, run(path))
		must(t, run(l.PrivateLink()))
		at, err := l.Look()
		if err != nil || at.Kind != Ours || at.Info.ID != l.Put() {
			t.Errorf("path is %v (%v), want our link", at.Kind, err)
		}
		if n, err := l.Current(); n != 1 || err != nil {
			t.Errorf("current copy %d, %v", n, err)
		}

		if kept, err := l.Restore(); kept || err != nil {
			t.Errorf("kept %v, %v", kept, err)
		}
		must(t, run(path))
		must(t, run(l.PrivateLink()))
		if left, err := l.Dismantle(""); left != nil || err != nil {
			t.Errorf("left %q, %v", left, err)
		}
		back, err := l.Dir().Lstat(fstest.Packaged)
		must(t, err)
		if !back.SameContent(src) || back.Mode != src.Mode || back.UID != src.UID || back.Nlink != 1 {
			t.Errorf("restored %+v, want %+v", back, src)
		}
		if names, err := l.Dir().Names(); err != nil || !slices.Equal(names, []string{fstest.Packaged, fstest.Packaged + "_001"}) {
			t.Errorf("the directory holds %q, %v", names, err)
		}
	})
}

func TestLook(t *testing.T) {
	for _, test := range []struct {
		name   string
		make   func(s *site)
		kind   Kind
		number int
	}{
		{"nothing", func(s *site) { must(t, os.Remove(s.path)) }, Nothing, 0},
		{"a file", func(*site) {}, File, 0},
		{"our link", func(s *site) { s.link(".relinkd/imapd", s.path) }, Ours, 0},
		{"our link as nobody writes it", func(s *site) { s.link("./.relinkd/imapd", s.path) }, Alias, 0},
		{"an absolute link to a private link that is gone", func(s *site) {
			s.link(s.private(""), s.path)
			must(t, os.RemoveAll(filepath.Join(s.dir, PrivateDir)))
		}, Alias, 0},
		{"a copy", func(s *site) { s.link("imapd_002", s.path) }, PoolLink, 2},
		{"a copy by its whole path", func(s *site) { s.link(s.copy(3), s.path) }, PoolLink, 3},
		{"a copy with a dot", func(s *site) { s.link("./imapd_001", s.path) }, PoolLink, 1},
		{"a copy elsewhere", func(s *site) { s.link("/opt/imapd_001", s.path) }, OtherLink, 0},
		{"another program's copy", func(s *site) { s.link("pop3d_001", s.path) }, OtherLink, 0},
		{"no copy's number", func(s *site) { s.link("imapd_000", s.path) }, OtherLink, 0},
		{"a link elsewhere", func(s *site) { s.link("/bin/true", s.path) }, OtherLink, 0},
		{"a directory", func(s *site) { must(t, os.Remove(s.path)); must(t, os.Mkdir(s.path, 0o755)) }, Other, 0},
		{"a fifo", func(s *site) { must(t, os.Remove(s.path)); must(t, unix.Mkfifo(s.path, 0o755)) }, Other, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, t.TempDir())
			test.make(s)
			l := s.open(nil)
			defer l.Close()
			at, err := l.Look()
			if err != nil || at.Kind != test.kind || at.Number != test.number {
				t.Errorf("%v number %d (%v), want %v number %d", at.Kind, at.Number, err, test.kind, test.number)
			}
		})
	}
}

// TestPublishImpossible: only a regular file can be published over, whatever the caller takes the
// source to be. All else stands at path afterwards as before.
func TestPublishImpossible(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"a directory": func(path string) error { return os.Mkdir(path, 0o755) },
		"a fifo":      func(path string) error { return unix.Mkfifo(path, 0o755) },
		"a link":      func(path string) error { return os.Symlink("/bin/true", path) },
	} {
		for _, noExchange := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				s := newSite(t, t.TempDir())
				must(t, os.Remove(s.path))
				must(t, make(s.path))
				s.newest = s.lstat(s.path).ID
				l := s.open(plain(noExchange))
				defer l.Close()
				if err := l.Publish(s.lstat(s.path)); err == nil {
					t.Error("it was published over")
				}
				s.shows(map[string]fsys.ID{"path": s.newest})
				if _, err := l.Recover(isCopy); err != nil {
					t.Error(err)
				}
				if names := s.names(filepath.Join(s.dir, PrivateDir)); !slices.Equal(names, []string{target}) {
					t.Errorf("the private directory holds %q", names)
				}
			})
		}
	}
}

// TestNoWayToACopy: our link would not execute, or lead to itself, where the private link leads to no
// copy.
func TestNoWayToACopy(t *testing.T) {
	for name, lose := range map[string]func(s *site, l *Link){
		"bypassed": func(_ *site, l *Link) { must(t, l.Bypass()) },
		"missing":  func(s *site, _ *Link) { must(t, os.Remove(s.private(""))) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, t.TempDir())
			l := s.open(nil)
			defer l.Close()
			lose(s, l)
			if n, err := l.Current(); n != 0 || err != nil {
				t.Errorf("current copy %d, %v", n, err)
			}
			if err := l.Publish(s.source); err == nil || !strings.Contains(err.Error(), "rotate it to one first") {
				t.Errorf("publish: %v", err)
			}
			s.shows(map[string]fsys.ID{"path": s.source.ID})
			must(t, os.Remove(s.path))
			if err := l.PutBack(); err == nil {
				t.Error("a link was put back that leads nowhere")
			}
		})
	}
}

// TestLeftPublish: what a crash left in the way is not taken for what is to be published.
func TestLeftPublish(t *testing.T) {
	s := newSite(t, t.TempDir())
	s.newest = s.put(s.private(suffixPublish), "G")
	l := s.open(nil)
	defer l.Close()
	if err := l.Publish(s.source); !fsys.Exist(err) {
		t.Errorf("%v, want EEXIST", err)
	}
	s.shows(map[string]fsys.ID{"path": s.source.ID, suffixPublish: s.newest})
}

func TestRestoreWithoutPristine(t *testing.T) {
	for name, lose := range map[string]func(s *site){
		"no pristine":          func(s *site) { must(t, os.Remove(s.private(suffixPristine))) },
		"no private directory": func(s *site) { must(t, os.RemoveAll(filepath.Join(s.dir, PrivateDir))) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, t.TempDir()).published()
			lose(s)
			before := s.tree(s.dir)
			l := s.open(nil)
			defer l.Close()
			if _, err := l.Restore(); err == nil || !errors.Is(err, ErrNoPristine) {
				t.Errorf("%v, want that there is no pristine", err)
			}
			if after := s.tree(s.dir); !slices.Equal(after, before) {
				t.Errorf("changed %q to %q", before, after)
			}
		})
	}
}

// TestRestoreKeeps: what somebody else put at path is the newest.
func TestRestoreKeeps(t *testing.T) {
	s := newSite(t, t.TempDir()).published()
	s.arrive("G")
	l := s.open(nil)
	defer l.Close()
	if kept, err := l.Restore(); !kept || err != nil {
		t.Errorf("kept %v, %v", kept, err)
	}
	s.shows(map[string]fsys.ID{"path": s.newest})
	must(t, run(s.private("")))
}

// TestNothingPrivate: without a private directory there is nothing to do, and nothing is made.
func TestNothingPrivate(t *testing.T) {
	s := newSite(t, t.TempDir())
	must(t, os.RemoveAll(filepath.Join(s.dir, PrivateDir)))
	before := s.tree(s.dir)
	l := s.open(nil)
	defer l.Close()
	if l.Private() != nil {
		t.Error("there is a private directory")
	}
	if kept, err := l.Restore(); !kept || err != nil {
		t.Errorf("restore: kept %v, %v", kept, err)
	}
	if left, err := l.Dismantle(""); left != nil || err != nil {
		t.Errorf("dismantle: %q, %v", left, err)
	}
	if text, err := l.PrivateText(); text != "" || err != nil {
		t.Errorf("private link: %q, %v", text, err)
	}
	if v, err := l.View(); v.Path.Kind != File || v.Pristine.Kind != Nothing || err != nil {
		t.Errorf("view: %+v, %v", v, err)
	}
	must(t, l.KeepPrevious())
	if after := s.tree(s.dir); !slices.Equal(after, before) {
		t.Errorf("changed %q to %q", before, after)
	}
}

// TestGenerationsGoLast: where removing what is kept ends half-way, what can be gone back to is left.
func TestGenerationsGoLast(t *testing.T) {
	s := newSite(t, t.TempDir()).published()
	s.arrive("G")
	for i, version := range []string{"a", "b"} {
		s.put(s.private(suffixGeneration+strings.Repeat(version, 64)), fmt.Sprint(i))
	}
	var removed []string
	l := s.open(&fsys.FS{Before: func(op fsys.Op, path string) error {
		if op == "dismantle: unlink" {
			removed = append(removed, strings.TrimPrefix(path, s.private("")))
		}
		return nil
	}})
	defer l.Close()
	_, err := l.Dismantle("")
	must(t, err)
	if n := len(removed); n < 3 || !strings.HasPrefix(removed[n-1], suffixGeneration) || !strings.HasPrefix(removed[n-2], suffixGeneration) || removed[n-3] != suffixPristine {
		t.Errorf("removed in the order of %q", removed)
	}
}

// TestPruneKeepsTheLast: without a pristine an earlier generation may be the last of the program.
func TestPruneKeepsTheLast(t *testing.T) {
	s := newSite(t, t.TempDir()).published()
	earlier := s.private(suffixGeneration + strings.Repeat("a", 64))
	s.put(earlier, "E")
	must(t, os.Rename(s.private(suffixPristine), s.dir+"/moved"))
	l := s.open(nil)
	defer l.Close()
	if dropped, err := l.Prune(0); len(dropped) > 0 || err != nil || s.lstat(earlier).ID.IsZero() {
		t.Errorf("dropped %+v, %v", dropped, err)
	}
	must(t, os.Rename(s.dir+"/moved", s.private(suffixPristine)))
	if dropped, err := l.Prune(0); len(dropped) != 1 || err != nil {
		t.Errorf("with a pristine: dropped %+v, %v", dropped, err)
	}
}

// TestDismantleLeaves: a drifted copy is somebody's work, and another target's files are in use.
func TestDismantleLeaves(t *testing.T) {
	s := newSite(t, t.TempDir())
	s.put(s.private("_002.drifted"), "D")
	other := filepath.Join(s.dir, PrivateDir, "pop3d")
	must(t, os.Symlink("../pop3d_001", other))
	l := s.open(nil)
	defer l.Close()
	left, err := l.Dismantle("")
	if err != nil || !slices.Equal(left, []string{s.private("_002.drifted")}) {
		t.Errorf("left %q, %v", left, err)
	}
	if names := s.names(filepath.Dir(other)); !slices.Equal(names, []string{"imapd_002.drifted", "pop3d"}) {
		t.Errorf("the private directory holds %q", names)
	}
}

func TestUnwind(t *testing.T) {
	for _, noExchange := range []bool{false, true} {
		s := newSite(t, t.TempDir()).published()
		previous := s.put(s.private(suffixPrevious), "P")
		l := s.open(plain(noExchange))
		defer l.Close()
		must(t, l.Unwind())
		s.shows(map[string]fsys.ID{suffixPristine: previous})
		if !noExchange {
			s.shows(map[string]fsys.ID{suffixPrevious: s.source.ID})
		}
	}
}

// TestRotateLeavesNothing: a rotation that fails leaves the link that was, and no other.
func TestRotateLeavesNothing(t *testing.T) {
	s := newSite(t, t.TempDir())
	l := s.open(&fsys.FS{Before: func(op fsys.Op, _ string) error {
		if op == "rotate: rename" {
			return unix.ENOSPC
		}
		return nil
	}})
	defer l.Close()
	if err := l.Rotate(2); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("%v, want ENOSPC", err)
	}
	if text, err := l.PrivateText(); text != "../imapd_001" || err != nil {
		t.Errorf("the private link says %q, %v", text, err)
	}
	if names := s.names(filepath.Join(s.dir, PrivateDir)); !slices.Equal(names, []string{target}) {
		t.Errorf("the private directory holds %q", names)
	}
}
