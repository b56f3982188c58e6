package linker

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

// racing is a file system on which somebody else acts just ahead of each call that has a label in do,
// the nth time with its nth function.
func racing(do map[fsys.Op][]func()) *fsys.FS {
	return &fsys.FS{Before: func(op fsys.Op, _ string) error {
		if next := do[op]; len(next) > 0 {
			do[op] = next[1:]
			next[0]()
		}
		return nil
	}}
}

// TestPublishRaced has somebody else change path at the worst instants of a publish: it is told, and
// what they put there stands at path.
func TestPublishRaced(t *testing.T) {
	tests := []struct {
		name string
		do   func(s *site) map[fsys.Op][]func()
	}{
		{"a newer file", func(s *site) map[fsys.Op][]func() {
			return map[fsys.Op][]func(){"publish: exchange": {func() { s.arrive("G") }}}
		}},
		{"two newer files", func(s *site) map[fsys.Op][]func() {
			return map[fsys.Op][]func(){
				"publish: exchange":   {func() { s.arrive("G") }},
				"give back: exchange": {func() { s.arrive("H") }},
			}
		}},
		{"ten newer files", func(s *site) map[fsys.Op][]func() {
			var all []func()
			for i := range 9 {
				all = append(all, func() { s.arrive(string(rune('H' + i))) })
			}
			return map[fsys.Op][]func(){
				"publish: exchange":   {func() { s.arrive("G") }},
				"give back: exchange": all,
			}
		}},
		{"a newer file, and path removed", func(s *site) map[fsys.Op][]func() {
			return map[fsys.Op][]func(){
				"publish: exchange":   {func() { s.arrive("G") }},
				"give back: exchange": {func() { must(t, os.Remove(s.path)) }},
			}
		}},
		{"a newer file, path removed and made again", func(s *site) map[fsys.Op][]func() {
			return map[fsys.Op][]func(){
				"publish: exchange":   {func() { s.arrive("G") }},
				"give back: exchange": {func() { must(t, os.Remove(s.path)) }},
				"give back: rename":   {func() { s.arrive("H") }},
			}
		}},
		{"the same file changed in place", func(s *site) map[fsys.Op][]func() {
			return map[fsys.Op][]func(){"publish: exchange": {func() { must(t, os.Truncate(s.path, s.source.Size+1)) }}}
		}},
		{"the same file with another time", func(s *site) map[fsys.Op][]func() {
			return map[fsys.Op][]func(){"publish: exchange": {func() {
				later := s.source.ModTime().Add(1)
				must(t, os.Chtimes(s.path, later, later))
			}}}
		}},
		{"a writer", func(s *site) map[fsys.Op][]func() {
			return map[fsys.Op][]func(){"publish: exchange": {func() { openForWriting(s) }}}
		}},
		{"our link, from dpkg", func(s *site) map[fsys.Op][]func() {
			return map[fsys.Op][]func(){"publish: exchange": {func() { s.newest = s.ours(s.path) }}}
		}},
		{"a hand-made link", func(s *site) map[fsys.Op][]func() {
			return map[fsys.Op][]func(){"publish: exchange": {func() { s.newest = s.link("imapd_002", s.path) }}}
		}},
		{"a link elsewhere", func(s *site) map[fsys.Op][]func() {
			return map[fsys.Op][]func(){"publish: exchange": {func() { s.newest = s.link("/bin/true", s.path) }}}
		}},
	}
	eachForm(t, func(t *testing.T, dir string, form Form) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				s := newSiteOf(t, dir, form)
				l := s.open(racing(test.do(s)))
				defer l.Close()
				err := l.Publish(s.source)
				if !errors.Is(err, ErrSuperseded) {
					t.Errorf("%v, want that path was replaced", err)
				}
				if s.writer != nil {
					must(t, s.writer.Close())
				}
				if got := s.lstat(s.path).ID; got != s.newest {
					t.Error("path is not what somebody else put there")
				}
				for _, suffix := range []string{suffixPublish, suffixPristine, suffixBack, suffixBefore} {
					if _, err := os.Lstat(s.private(suffix)); !errors.Is(err, os.ErrNotExist) {
						t.Errorf("%s is left: %v", suffix, err)
					}
				}
				if !l.Put().IsZero() {
					t.Error("it is taken for put there by relinkd")
				}
			})
		}
	})
}

// TestPublishRemoved: path is removed just ahead of the exchange. There is nothing to publish then.
func TestPublishRemoved(t *testing.T) {
	eachForm(t, func(t *testing.T, dir string, form Form) {
		s := newSiteOf(t, dir, form)
		l := s.open(racing(map[fsys.Op][]func(){"publish: exchange": {func() { must(t, os.Remove(s.path)) }}}))
		defer l.Close()
		if err := l.Publish(s.source); !errors.Is(err, ErrSuperseded) || !errors.Is(err, unix.ENOENT) {
			t.Errorf("%v, want that path was replaced, by nothing", err)
		}
		for _, name := range []string{s.path, s.private(suffixPublish)} {
			if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s exists: %v", name, err)
			}
		}
	})
}

// TestInodeNumberReused: our link is removed from path, and a new file there gets its inode number,
// as ext4 gives it away at once. That the file came out of path again does not make it ours.
func TestInodeNumberReused(t *testing.T) {
	s := newSite(t, t.TempDir())
	reused := false
	var link fsys.ID
	l := s.open(racing(map[fsys.Op][]func(){
		"publish: exchange": {func() { s.arrive("G") }},
		"give back: mark": {func() {
			link = s.lstat(s.path).ID
			must(t, os.Remove(s.path))
			for i := 0; i < 100 && !reused; i++ {
				f, err := os.CreateTemp(s.dir, "imapd.*.dpkg-new")
				must(t, err)
				must(t, f.Chmod(0o755))
				must(t, f.Close())
				s.newest = s.lstat(f.Name()).ID
				reused = s.newest == link
				must(t, os.Rename(f.Name(), s.path))
			}
		}},
	}))
	defer l.Close()
	if err := l.Publish(s.source); !errors.Is(err, ErrSuperseded) {
		t.Errorf("%v, want that path was replaced", err)
	}
	if got := s.lstat(s.path).ID; got != s.newest {
		t.Error("path is not the newest file")
	}
	if !reused {
		t.Skip("the file system gave the number to no new file: left out that it may")
	}
}

// TestRenameLoses proves that the races above are seen, by the one window in which they cannot be
// helped: a file system without exchange, a file that comes between the look and the rename. It is
// lost, as DESIGN.md §5 says; if this fails, the races are no races any more.
func TestRenameLoses(t *testing.T) {
	s := newSite(t, t.TempDir())
	l := s.open(&fsys.FS{Before: func(op fsys.Op, _ string) error {
		switch op {
		case "publish: exchange":
			return unix.EINVAL
		case "no exchange: rename":
			s.arrive("G")
		}
		return nil
	}})
	defer l.Close()
	if err := l.Publish(s.source); err != nil {
		t.Fatal(err)
	}
	if names := s.holds(s.newest); names != nil {
		t.Errorf("the file is %q, want it lost", names)
	}
	if !l.NoExchange() {
		t.Error("that the window exists is not told")
	}
}

// TestNoExchangeLooks: without exchange, what comes ahead of the look is seen and never moved.
func TestNoExchangeLooks(t *testing.T) {
	s := newSite(t, t.TempDir())
	l := s.open(&fsys.FS{Before: func(op fsys.Op, _ string) error {
		switch op {
		case "publish: exchange":
			return unix.ENOSYS
		case "no exchange: link":
			s.arrive("G")
		}
		return nil
	}})
	defer l.Close()
	if err := l.Publish(s.source); !errors.Is(err, ErrSuperseded) {
		t.Errorf("%v, want that path was replaced", err)
	}
	s.shows(map[string]fsys.ID{"path": s.newest})
	s.rested(target)
}

// TestRestoreRaced: a file that comes while the pristine goes in is newer, and stays.
func TestRestoreRaced(t *testing.T) {
	eachForm(t, func(t *testing.T, dir string, form Form) {
		s := newSiteOf(t, dir, form).published()
		l := s.open(racing(map[fsys.Op][]func(){
			"restore: exchange":   {func() { s.arrive("G") }},
			"give back: exchange": {func() { s.arrive("H") }},
		}))
		defer l.Close()
		kept, err := l.Restore()
		if !kept || err != nil {
			t.Errorf("kept %v, %v", kept, err)
		}
		s.shows(map[string]fsys.ID{"path": s.newest, suffixPristine: s.source.ID})
	})
}

// TestReclaimRaced: a file that comes while our link goes in is given back.
func TestReclaimRaced(t *testing.T) {
	eachForm(t, func(t *testing.T, dir string, form Form) {
		s := newSiteOf(t, dir, form).published()
		s.link("imapd_002", s.path)
		l := s.open(racing(map[fsys.Op][]func(){"reclaim: exchange": {func() { s.arrive("G") }}}))
		defer l.Close()
		at, err := l.Look()
		must(t, err)
		if err := l.Reclaim(at); !errors.Is(err, ErrSuperseded) {
			t.Errorf("%v, want that path was replaced", err)
		}
		s.shows(map[string]fsys.ID{"path": s.newest})
		s.rested()
	})
}

// TestRecoverRaced: a file that comes between recovery's look and its exchange is the newest.
func TestRecoverRaced(t *testing.T) {
	s := newSite(t, t.TempDir()).published()
	s.newest = s.put(s.private(suffixPublish), "G")
	l := s.open(racing(map[fsys.Op][]func(){"recover: unlink": {func() { s.arrive("H") }}}))
	defer l.Close()
	if repair, err := l.Recover(isCopy); repair != GiveBack || err != nil {
		t.Errorf("%v, %v, want to give back", repair, err)
	}
	s.shows(map[string]fsys.ID{"path": s.newest})
}

// TestErrorIsNoProof: a call that reports an error may have been made, as over a network. What came
// out of path is not taken for the link that was to go in, and recovery ends the publish.
func TestErrorIsNoProof(t *testing.T) {
	for i := range 4 {
		noExchange, form := i&1 == 1, Form(i>>1)
		s := newSiteOf(t, t.TempDir(), form)
		l := s.open(&fsys.FS{Before: func(op fsys.Op, _ string) error {
			switch {
			case op == "publish: exchange" && noExchange:
				return unix.EINVAL
			case op == "publish: exchange":
				must(t, unix.Renameat2(unix.AT_FDCWD, s.private(suffixPublish), unix.AT_FDCWD, s.path, unix.RENAME_EXCHANGE))
				return unix.EIO
			case op == "no exchange: rename":
				must(t, os.Rename(s.private(suffixPublish), s.path))
				return unix.EIO
			}
			return nil
		}})
		defer l.Close()
		if err := l.Publish(s.source); !errors.Is(err, unix.EIO) {
			t.Errorf("%v, want EIO", err)
		}
		s.keeps("after an error")
		if repair, err := l.Recover(isCopy); repair != Finish || err != nil {
			t.Errorf("%v, %v, want to finish", repair, err)
		}
		s.shows(map[string]fsys.ID{suffixPristine: s.source.ID})
		s.rested()
	}
}
