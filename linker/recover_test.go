package linker

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/internal/fstest"
)

func TestRepairFor(t *testing.T) {
	const (
		none = RepairNone
		drop = DropPublish
		back = GiveBack
	)
	table := map[Kind]map[Kind]Repair{ // by what stands at path, then in NAME.publish
		Nothing:   {Nothing: none, Ours: none, File: none, PoolLink: none, OtherLink: none, Other: none},
		Ours:      {Nothing: none, Ours: drop, File: back, PoolLink: drop, OtherLink: back, Other: back},
		File:      {Nothing: none, Ours: drop, File: drop, PoolLink: drop, OtherLink: drop, Other: drop},
		PoolLink:  {Nothing: none, Ours: drop, File: drop, PoolLink: drop, OtherLink: drop, Other: drop},
		OtherLink: {Nothing: none, Ours: drop, File: drop, PoolLink: drop, OtherLink: drop, Other: drop},
		Other:     {Nothing: none, Ours: drop, File: drop, PoolLink: drop, OtherLink: drop, Other: drop},
		Alias:     {Nothing: none, Ours: drop, File: drop, PoolLink: drop, OtherLink: drop, Other: drop},
	}
	for path := Nothing; path <= Alias; path++ {
		for publish := Nothing; publish <= Alias; publish++ {
			if publish == Alias { // as good as a link to a copy
				table[path][Alias] = table[path][PoolLink]
			}
			want, ok := table[path][publish]
			if !ok {
				t.Fatalf("no entry for %v and %v", path, publish)
			}
			for _, committed := range []bool{false, true} {
				if path == Ours && publish == File && committed {
					want = Finish
				}
				if got := RepairFor(path, publish, committed); got != want {
					t.Errorf("path %v, publish %v, committed %v: %v, want to %v", path, publish, committed, got, want)
				}
			}
		}
	}
}

// crash is a state that a crash leaves, and what becomes of it.
type crash struct {
	name  string
	state func(s *site) // from newSite's state
	want  Repair
	ours  bool // path is our link afterwards, else the newest file
}

// crashes is the recovery table of DESIGN.md §5 row by row, where path is not missing, and what its
// rows do not show: states of restore, of giving back, and of a file system without exchange.
func crashes() []crash {
	ours := func(s *site) { s.ours(s.path) }
	hide := func(s *site, suffix, version string) { s.newest = s.put(s.private(suffix), version) }
	drop := func(s *site, suffix, version string) { s.put(s.private(suffix), version) }
	linkIn := func(s *site, suffix string) { s.ours(s.private(suffix)) }
	take := func(s *site, suffix string) { must(s.t, os.Rename(s.path, s.private(suffix))); ours(s) }
	also := func(s *site, suffix string) { must(s.t, os.Link(s.path, s.private(suffix))) }
	return []crash{
		{"path ours, no publish", func(s *site) { s.published() }, RepairNone, true},
		{"path ours, publish ours", func(s *site) { s.published(); linkIn(s, suffixPublish) }, DropPublish, true},
		{"path ours, publish the copies' source", func(s *site) { take(s, suffixPublish) }, Finish, true},
		{"path ours, publish the source, the pristine kept as previous", func(s *site) {
			drop(s, suffixPrevious, "P")
			take(s, suffixPublish)
		}, Finish, true},
		{"path ours, publish and pristine one file", func(s *site) {
			s.published()
			drop(s, suffixPrevious, "P")
			must(s.t, os.Link(s.private(suffixPristine), s.private(suffixPublish)))
		}, Finish, true},
		{"path ours, publish another file", func(s *site) { s.published(); hide(s, suffixPublish, "G") }, GiveBack, false},
		{"path ours, publish a link to a copy", func(s *site) {
			s.published()
			s.link("imapd_002", s.private(suffixPublish))
		}, DropPublish, true},
		{"path a file, publish ours", func(s *site) { linkIn(s, suffixPublish) }, DropPublish, false},
		{"path a file, publish a file", func(s *site) { drop(s, suffixPublish, "E") }, DropPublish, false},
		{"path a file, publish the copies' source", func(s *site) {
			drop(s, suffixPublish, "F")
			s.arrive("G")
		}, DropPublish, false},
		{"path and publish one file", func(s *site) { also(s, suffixPublish) }, DropPublish, false},
		{"path the pristine, publish ours", func(s *site) {
			also(s, suffixPristine)
			linkIn(s, suffixPublish)
		}, DropPublish, false},
		{"path the pristine, publish a file", func(s *site) {
			also(s, suffixPristine)
			hide(s, suffixPublish, "G")
		}, GiveBack, false},
		{"path given back, publish ours", func(s *site) {
			also(s, suffixBack)
			linkIn(s, suffixPublish)
		}, DropPublish, false},
		{"path given back, publish a file", func(s *site) {
			also(s, suffixBack)
			hide(s, suffixPublish, "G")
		}, GiveBack, false},
		{"path given back, no publish", func(s *site) { also(s, suffixBack) }, DropPublish, false},
		{"path ours, out the copies' source", func(s *site) { take(s, suffixOut) }, Finish, true},
		{"path ours, out another file", func(s *site) { s.published(); hide(s, suffixOut, "G") }, GiveBack, false},
		{"path ours, out the same link", func(s *site) { s.published(); also(s, suffixOut) }, DropPublish, true},
		{"path a file, out the same", func(s *site) { also(s, suffixOut) }, DropPublish, false},
		{"path a file, out the same, publish ours", func(s *site) {
			also(s, suffixOut)
			linkIn(s, suffixPublish)
		}, DropPublish, false},
		{"path a file, out an older one", func(s *site) { drop(s, suffixOut, "E") }, DropPublish, false},
		{"path given back, out a file", func(s *site) {
			also(s, suffixBack)
			hide(s, suffixOut, "G")
		}, GiveBack, false},
		{"path the pristine, out our link", func(s *site) {
			also(s, suffixPristine)
			linkIn(s, suffixOut)
		}, DropPublish, false},
		{"a private link half rotated", func(s *site) {
			s.published()
			s.link("../imapd_003", s.private(suffixRotate))
		}, DropPublish, true},
		{"a file half adopted", func(s *site) { s.published(); drop(s, suffixAdopt, "A") }, RepairNone, true},
		{"our link withdrawn, a file came", func(s *site) { linkIn(s, suffixAside) }, DropPublish, false},
		{"another file moved aside, a newer came", func(s *site) { drop(s, suffixAside, "E") }, DropPublish, false},
		{"another file moved aside", func(s *site) { must(s.t, os.Rename(s.path, s.private(suffixAside))) }, MoveBack, false},
		{"path given back before, publish given back", func(s *site) {
			also(s, suffixBefore)
			hide(s, suffixBack, "G")
			must(s.t, os.Link(s.private(suffixBack), s.private(suffixPublish)))
		}, GiveBack, false},
		{"path given back, publish given back before", func(s *site) {
			also(s, suffixBack)
			drop(s, suffixBefore, "E")
			must(s.t, os.Link(s.private(suffixBefore), s.private(suffixPublish)))
		}, DropPublish, false},
		{"path given back, publish the pristine", func(s *site) {
			also(s, suffixBack)
			drop(s, suffixPristine, "E")
			must(s.t, os.Link(s.private(suffixPristine), s.private(suffixPublish)))
		}, DropPublish, false},
	}
}

func TestRecover(t *testing.T) {
	eachForm(t, func(t *testing.T, dir string, form Form) {
		for _, c := range crashes() {
			t.Run(c.name, func(t *testing.T) {
				s := newSiteOf(t, dir, form)
				c.state(s)
				before := s.tree(s.dir)
				l := s.open(nil)
				defer l.Close()
				if got, err := l.RepairNeeded(isCopy); got != c.want || err != nil {
					t.Errorf("needed: %v, %v, want to %v", got, err, c.want)
				}
				if after := s.tree(s.dir); !slices.Equal(after, before) {
					t.Errorf("RepairNeeded changed %q to %q", before, after)
				}
				if got, err := l.Recover(isCopy); got != c.want || err != nil {
					t.Errorf("did: %v, %v, want to %v", got, err, c.want)
				}
				s.rested()
				at, err := l.Look()
				if err != nil || (at.Kind == Ours) != c.ours {
					t.Errorf("path is %v, %v", at.Kind, err)
				}
				if c.want == Finish && l.Put() != at.Info.ID {
					t.Error("what was put at path is not known")
				}
				if got, err := l.Recover(isCopy); got != RepairNone || err != nil {
					t.Errorf("again: %v, %v", got, err)
				}
			})
		}
	})
}

// TestRecoverKeepsPrevious holds that finishing twice does not lose what a dpkg may go back to.
func TestRecoverKeepsPrevious(t *testing.T) {
	s := newSite(t, t.TempDir()).published()
	previous := s.put(s.private(suffixPrevious), "P")
	must(t, os.Link(s.private(suffixPristine), s.private(suffixPublish)))
	l := s.open(nil)
	defer l.Close()
	_, err := l.Recover(isCopy)
	must(t, err)
	s.shows(map[string]fsys.ID{suffixPrevious: previous, suffixPristine: s.source.ID})
}

// TestRecoverTouchesNothing has the rows of the table in which path is not relinkd's business.
func TestRecoverTouchesNothing(t *testing.T) {
	fstest.Each(t, func(t *testing.T, dir string) {
		for name, state := range map[string]func(s *site){
			"nothing at path":            func(s *site) { must(t, os.Remove(s.path)) },
			"nothing at path, one kept":  func(s *site) { must(t, os.Rename(s.path, s.private(suffixPublish))) },
			"a hand-made pool":           func(s *site) { s.link("imapd_002", s.path) },
			"a hand-made pool, absolute": func(s *site) { s.link(s.copy(2), s.path) },
			"a link elsewhere":           func(s *site) { s.link("/bin/true", s.path) },
			"a directory":                func(s *site) { must(t, os.Remove(s.path)); must(t, os.Mkdir(s.path, 0o755)) },
			"no private directory":       func(s *site) { must(t, os.RemoveAll(filepath.Join(s.dir, PrivateDir))) },
		} {
			t.Run(name, func(t *testing.T) {
				s := newSite(t, dir)
				state(s)
				before := s.tree(s.dir)
				l := s.open(nil)
				defer l.Close()
				if got, err := l.Recover(isCopy); got != RepairNone || err != nil {
					t.Errorf("%v, %v, want nothing", got, err)
				}
				if after := s.tree(s.dir); !slices.Equal(after, before) {
					t.Errorf("changed %q to %q", before, after)
				}
			})
		}
	})
}

// TestPutBackAfterOut: path was removed after a crash between the rename and its end, on a file
// system without exchange. Then what came out is all that there is.
func TestPutBackAfterOut(t *testing.T) {
	s := newSite(t, t.TempDir())
	must(t, os.Rename(s.path, s.private(suffixOut)))
	l := s.open(nil)
	defer l.Close()
	if _, err := l.Recover(isCopy); err != nil {
		t.Fatal(err)
	}
	if err := l.PutBack(); err != nil {
		t.Fatal(err)
	}
	s.shows(map[string]fsys.ID{"path": s.source.ID})
	s.rested()
}

// TestRecoverCannotCompare: what cannot be compared is left where it is.
func TestRecoverCannotCompare(t *testing.T) {
	s := newSite(t, t.TempDir()).published()
	s.put(s.private(suffixPublish), "G")
	before := s.tree(s.dir)
	l := s.open(nil)
	defer l.Close()
	broken := func(*os.File) (bool, error) { return false, unix.EIO }
	if repair, err := l.Recover(broken); err == nil || repair != RepairNone {
		t.Errorf("%v, %v, want the error of the comparison", repair, err)
	}
	if after := s.tree(s.dir); !slices.Equal(after, before) {
		t.Errorf("changed %q to %q", before, after)
	}
}
