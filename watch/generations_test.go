package watch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/internal/faults"
)

// goBack is the versions that a target can go back to, the one in force first.
func (d *daemon) goBack() (versions []string) {
	versions, _ = d.kept()
	return versions
}

// kept is goBack, and where they are.
func (d *daemon) kept() (versions []string, files map[string]string) {
	d.s.t.Helper()
	files = map[string]string{}
	g, err := d.Generations(d.s.t.Context(), name)
	must(d.s.t, err)
	for i, k := range g.Targets[0].Generations {
		if k.InForce != (i == 0) {
			d.s.t.Errorf("generation %d: %+v", i, k)
		}
		for _, v := range []string{"1", "2", "3", "4"} {
			if sha(v) == k.SHA256 {
				versions = append(versions, v)
				files[v] = k.File
			}
		}
	}
	return versions, files
}

// TestGoBack: what was in force before upgrades is kept, as many as the configuration says, and put in force
// again by the ordinary algorithm; restore tells of it and takes it away.
func TestGoBack(t *testing.T) {
	for _, publish := range ways {
		t.Run(string(publish), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *config.Target) { c.Publish = publish })
			s.install("1")
			d := s.start()
			d.steady("1")
			must(t, os.Chmod(s.path, 0o755))
			for _, v := range []string{"2", "3", "4"} {
				s.install(v)
				d.steady(v)
				if v == "2" && publish != config.PublishNone { // set on path, and so on all
					must(t, os.Chmod(s.path, 0o751))
					eventually(t, "the pristine has the mode", func() bool { return lstat(t, s.pristine()).Perm() == 0o751 })
					d.steady(v)
				}
				eventually(t, "the one before is kept", func() bool {
					return slices.Index(d.goBack(), v) == 0 && len(d.goBack()) > 1 && lstat(t, s.previous()).ID.IsZero()
				})
			}
			eventually(t, "two are kept", func() bool { return slices.Equal(d.goBack(), []string{"4", "3", "2"}) })
			_, files := d.kept()
			for v, file := range files {
				s.holds(file, v)
			}
			ctx := t.Context()
			for hash, why := range map[string]string{"x": "begins with", sha("1"): "begins with", "": "give more digits"} {
				if _, err := d.AdoptGeneration(ctx, name, hash); publish != config.PublishNone && (!errors.Is(err, api.ErrRefused) || !strings.Contains(err.Error(), why)) {
					t.Errorf("adopt generation %q: %v", hash, err)
				}
			}
			r, err := d.AdoptGeneration(ctx, name, sha("2")[:12])
			if publish == config.PublishNone {
				if !errors.Is(err, api.ErrRefused) || !strings.Contains(err.Error(), "install") {
					t.Errorf("adopt where path is the package manager's: %v", err)
				}
			} else {
				must(t, err)
				said(t, r.Done, "leads to 3 copies")
				d.steady("2")
				if mode := lstat(t, s.copy(3)).Perm(); mode != 0o751 {
					t.Errorf("after going back it has mode %04o", mode)
				}
				if got := d.goBack(); !slices.Equal(got, []string{"2", "4", "3"}) {
					t.Errorf("after going back there are %q", got)
				}
				_, err = d.AdoptGeneration(ctx, name, sha("4"))
				must(t, err)
				d.steady("4")
				if got := d.goBack(); !slices.Equal(got, []string{"4", "2", "3"}) {
					t.Errorf("after going forth there are %q", got)
				}
			}
			if publish == config.PublishNone { // cyrus.conf may name the private link yet
				r, err = d.Restore(ctx, name, false)
				must(t, err)
				said(t, r.Warnings, "the earlier generation "+api.ShortHash(sha("3"))+" stays")
			}
			r, err = d.Restore(ctx, name, true)
			must(t, err)
			said(t, r.Done, "removed the earlier generation "+api.ShortHash(sha("3")))
			if names := s.names(s.dir); !slices.Equal(names, []string{name}) {
				t.Errorf("restored, and there are %q", names)
			}
		})
	}
}

// TestAdoptFails: whatever of it fails, what was in force stays, path is what it was, and nothing of the
// adoption is left.
func TestAdoptFails(t *testing.T) {
	ops := []string{"clone: create", "attributes: chown", "clone: sync", "commit: exchange", "commit: sync", "adopt: keep", "adopt: rename"}
	t.Run("all", func(t *testing.T) { adoptFails(t, ops) }) // which waits for them
	faults.Record(t, faults.Row{
		What:     "adopt",
		Injected: "a call fails (EIO), before, while and after the copies get their names",
		Times:    len(ops),
		Survived: "it is refused, path and the pristine are what they were, what was in force stays",
	})
}

func adoptFails(t *testing.T, ops []string) {
	for _, op := range ops {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.install("1")
			d := s.start()
			d.steady("1")
			before := lstat(t, s.path)
			pristine := lstat(t, s.pristine()).ID
			file := s.file("2")
			s.calls.on(fsys.Op(op), func(string) error { return unix.EIO })
			_, err := d.Adopt(t.Context(), name, file)
			if !errors.Is(err, api.ErrRefused) || !strings.Contains(err.Error(), "input/output error") {
				t.Errorf("adopt: %v", err)
			}
			s.calls.on(fsys.Op(op), nil)
			d.steady("1")
			if lstat(t, s.path) != before || lstat(t, s.pristine()).ID != pristine {
				t.Error("path or the pristine is another one")
			}
			s.onlyKnown()
		})
	}
}

// What is the pristine is in force, also where that could not be made durable.
func TestAdoptThatMayNotLast(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	s.calls.on("adopt: sync", func(string) error { return unix.EIO })
	if _, err := d.Adopt(t.Context(), name, s.file("2")); err != nil {
		t.Error(err)
	}
	s.calls.on("adopt: sync", nil)
	d.steady("2")
	s.holds(s.pristine(), "2")
}

// TestGivenUp: a request that nobody waits for any more is not carried out.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	l, err := d.find(name)
	must(t, err)
	busy, free := make(chan struct{}), make(chan struct{})
	go l.do(context.Background(), l.gone, func() { close(busy); <-free })
	<-busy
	ctx, giveUp := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := d.Restore(ctx, name, false)
		done <- err
	}()
	giveUp()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("restore: %v", err)
	}
	close(free)
	d.steady("1")
	// Also when the loop has taken it on: nothing is changed before it is asked.
	must(t, l.do(t.Context(), l.gone, func() { _, err = l.restore(ctx, false) }))
	if err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("restore: %v", err)
	}
	d.steady("1")
	if _, err := os.Lstat(filepath.Join(s.cfg.State.Dir, name+suffixReleased)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is released: %v", err)
	}
}

// TestRestoreRefused: a restore that cannot be leaves the target managed, so that an upgrade comes in force.
func TestRestoreRefused(t *testing.T) {
	for _, publish := range ways {
		t.Run(string(publish), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *config.Target) { c.Publish = publish })
			s.install("1")
			d := s.start()
			d.steady("1")
			must(t, os.Remove(s.path))
			must(t, os.Mkdir(s.path, 0o755))
			_, err := d.Restore(t.Context(), name, true)
			if err == nil || !strings.Contains(err.Error(), "is not a regular file") || !strings.Contains(err.Error(), "the program is kept as "+s.dir) {
				t.Errorf("restore over a directory: %v", err)
			}
			must(t, os.Remove(s.path))
			s.install("2")
			d.steady("2")
		})
	}
}
