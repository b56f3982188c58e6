package pool

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"relinkd/fsys"
	"relinkd/internal/fstest"
)

// restart is the fixture's directory seen by a Pool that knows nothing.
func (x *fixture) restart() *fixture {
	return &fixture{Pool: New(x.Pool.dir, x.Pool.private, "imapd"), t: x.t, hook: x.hook, dir: x.dir}
}

// manifest remembers the owned copies as ones of the generation of src.
func (x *fixture) manifest(src *Source) *Manifest {
	m := &Manifest{SHA256: src.SHA256(), Copies: map[int]fsys.Info{}}
	for _, c := range x.Owned() {
		m.Copies[c.Number] = c.Info
	}
	return m
}

// wantAdopted adopts the copies 1 to n and sees which are taken over and which are left.
func (x *fixture) wantAdopted(src *Source, m *Manifest, n int, adopted, rest []int) {
	x.t.Helper()
	copies, left, err := x.Adopt(context.Background(), src, numbers(n), m)
	if err != nil {
		x.t.Fatal(err)
	}
	var got []int
	for _, c := range copies {
		got = append(got, c.Number)
		if x.owned[c.Number] != c || c.SHA256 != src.SHA256() || c.Info != lstat(x.t, x.copyPath(c.Number)) {
			x.t.Errorf("adopted %+v, owned %+v", c, x.owned[c.Number])
		}
	}
	if diff := cmp.Diff(adopted, got); diff != "" {
		x.t.Errorf("adopted (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(rest, left); diff != "" {
		x.t.Errorf("rest (-want +got):\n%s", diff)
	}
}

func TestAdoptWithoutManifest(t *testing.T) {
	onEach(t, func(t *testing.T, x *fixture) {
		src := x.source(fstest.Packaged)
		x.make(src, 1, 2, 3, 4, 5, 6, 7)
		must(t, os.Remove(x.copyPath(2)))
		x.write("imapd_003", "differs")
		must(t, os.Remove(x.copyPath(4)))
		must(t, os.Symlink(fstest.Packaged, x.copyPath(4)))
		must(t, os.Remove(x.copyPath(5)))
		must(t, os.Link(x.path(fstest.Packaged), x.copyPath(5)))
		must(t, os.Remove(x.copyPath(6)))
		must(t, os.Link(x.copyPath(1), x.copyPath(6)))

		x = x.restart()
		x.wantAdopted(src, &Manifest{}, 8, []int{7}, []int{1, 2, 3, 4, 5, 6, 8})
		x.wantOwned(1, 5, 6, 7) // what are names of one file are no copies, but can be made again
	})
}

// TestAdoptByManifest has the manifest vouch for the content: a hash that is none would not
// survive a comparison.
func TestAdoptByManifest(t *testing.T) {
	x := onScratch(t)
	src := x.makeSource("imapd", "content")
	x.make(src, 1, 2, 3, 4)
	unread, err := Known(src.File(), "not the hash")
	if err != nil {
		t.Fatal(err)
	}
	m := x.manifest(unread)
	must(t, os.Chmod(x.copyPath(2), 0o755)) // moves the ctime and nothing else
	delete(m.Copies, 3)
	x.write("imapd_004", "drifted")

	x = x.restart()
	x.wantAdopted(unread, m, 4, []int{1}, []int{2, 3, 4})
	// What the manifest knows is ours, though it is not adopted; what it does not is not.
	if err := x.Check([]int{1, 2, 4}); err != nil {
		t.Error(err)
	}
	wantForeign(t, x.Check([]int{3}), "imapd_003")

	// The real hash proves what the manifest does not.
	x.wantAdopted(src, m, 4, []int{1, 2, 3}, []int{4})

	// What was written to is kept when it is replaced.
	x.make(src, 4)
	x.wantPrivate("imapd_004.drifted")
	x.wantOwned(1, 2, 3, 4)
}

// TestAdoptOfAnotherGeneration sees that the manifest's word on one generation is none on another,
// and that the old copies may be replaced.
func TestAdoptOfAnotherGeneration(t *testing.T) {
	x := onScratch(t)
	old, src := x.makeSource("old", "old"), x.makeSource("new", "new")
	x.make(old, 1, 2)
	m := x.manifest(old)
	x = x.restart()
	x.wantAdopted(src, m, 3, nil, []int{1, 2, 3})
	x.make(src, 1, 2, 3)
	x.wantOwned(1, 2, 3)
	x.wantPrivate()
}

// TestAdoptAfterACrashInCommit sees that copies which were staged by the manifest are known as ours
// once they have their names.
func TestAdoptAfterACrashInCommit(t *testing.T) {
	x := onScratch(t)
	old, src := x.makeSource("old", "old"), x.makeSource("new", "new")
	x.make(old, 1, 2)
	m := x.manifest(old)
	staged := x.stage(src, 1, 2)
	m.Staged = map[int]fsys.Info{}
	for _, c := range staged.Copies() {
		m.Staged[c.Number] = c.Info
	}
	if _, err := staged.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	x = x.restart()
	x.wantAdopted(old, m, 2, nil, []int{1, 2}) // back to the old source
	x.make(old, 1, 2)
	x.wantEqual("old", 1)
	x.wantOwned(1, 2)
	x.wantPrivate()
}

// TestAdoptAfterAChmodOfTheSource sees that the manifest does not vouch for attributes.
func TestAdoptAfterAChmodOfTheSource(t *testing.T) {
	x := onScratch(t)
	src := x.makeSource("imapd", "content")
	x.make(src, 1)
	m := x.manifest(src)
	must(t, os.Chmod(x.path("imapd"), 0o700))
	x = x.restart()
	x.wantAdopted(x.source("imapd"), m, 1, nil, []int{1})
	if err := x.Check([]int{1}); err != nil {
		t.Error(err)
	}
}

func TestAdoptIsCancelled(t *testing.T) {
	x := onScratch(t)
	src := x.makeSource("imapd", "content")
	x.make(src, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := x.restart().Adopt(ctx, src, []int{1}, &Manifest{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
