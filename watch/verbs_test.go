package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/internal/standin"
	"relinkd/linker"
	"relinkd/pool"
)

func TestRotate(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	hold(t, s.path) // on copy 1
	d.waitFor("the process is seen", func(st api.TargetStatus) bool { return st.Processes == 1 })
	for _, step := range []struct {
		to   int
		want string
	}{{0, "imapd_002"}, {3, "imapd_003"}, {0, "imapd_002"}} {
		r, err := d.Rotate(t.Context(), name, step.to)
		must(t, err)
		said(t, r.Done, "to "+step.want)
		if st := d.target(); st.Current != step.want || linkText(t, s.privateLink()) != "../"+step.want {
			t.Errorf("rotate to %d: %s is current", step.to, st.Current)
		}
	}
	if st := d.target(); st.Rotations != 3 || st.RotationsByReason.Operator != 3 {
		t.Errorf("status: %+v", st)
	}
	for to, why := range map[int]string{2: "leads to imapd_002 already", 4: "no copy number 4: it has 1 to 3"} {
		if _, err := d.Rotate(t.Context(), name, to); !errors.Is(err, api.ErrRefused) || !strings.Contains(err.Error(), why) {
			t.Errorf("rotate to %d: %v", to, err)
		}
	}
	if _, err := d.Rotate(t.Context(), "smtpd", 1); !errors.Is(err, api.ErrNoTarget) {
		t.Errorf("rotate an unknown target: %v", err)
	}
	d.steady("1")
}

func TestReclone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	before := d.steady("1").Copies
	end := execLoop(t, s.path)
	r, err := d.Reclone(t.Context(), name)
	must(t, err)
	end()
	said(t, r.Done, "leads to 3 copies")
	for i, c := range d.steady("1").Copies {
		if c.Inode == before[i].Inode {
			t.Errorf("%s has the inode it had", c.Name)
		}
	}
}

func TestAdopt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	must(t, os.Chmod(s.path, 0o711))
	d := s.start()
	d.steady("1")
	file := s.file("2")
	must(t, os.Chmod(file, 0o600)) // the source's mode is what counts
	end := execLoop(t, s.path)
	r, err := d.Adopt(t.Context(), name, file)
	must(t, err)
	end()
	said(t, r.Done, "put "+file+" in force at "+s.path)
	said(t, r.Done, "leads to 3 copies")
	d.steady("2")
	s.holds(file, "2")
	if mode := lstat(t, s.copy(1)).Perm(); mode != 0o711 {
		t.Errorf("the copies have mode %04o", mode)
	}
	// What was changed through the link can be adopted from where it is kept.
	command(t, "cp", s.file("3"), s.path)
	d.waitFor("the changed copy is left", func(st api.TargetStatus) bool { return st.Current != "imapd_001" })
	eventually(t, "the changed copy is kept", func() bool { return !lstat(t, s.private("imapd_001.drifted")).ID.IsZero() })
	d.steady("2")
	_, err = d.Adopt(t.Context(), name, s.private("imapd_001.drifted"))
	must(t, err)
	d.steady("3")
}

func TestAdoptRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	eventually(t, "nothing is under way", func() bool { return lstat(t, s.previous()).ID.IsZero() })
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	must(t, os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755))
	short := filepath.Join(dir, "short")
	content, err := os.ReadFile(s.pristine())
	must(t, err)
	must(t, os.WriteFile(short, content[:len(content)/2], 0o755))
	before := tree(t, s.dir)
	for _, file := range []string{script, short, dir, filepath.Join(dir, "nothing")} {
		if _, err := d.Adopt(t.Context(), name, file); !errors.Is(err, api.ErrRefused) || !strings.Contains(err.Error(), file) {
			t.Errorf("adopt %s: %v", file, err)
		}
	}
	// The private directory's times tell of the file that was looked at there.
	after := tree(t, s.dir)
	private := s.private("")
	before[strings.TrimSuffix(private, "/")] = after[strings.TrimSuffix(private, "/")]
	unchanged(t, s.dir, before)
	d.steady("1")

	n := newSite(t, sidecar)
	n.install("1")
	d = n.start()
	d.steady("1")
	if _, err := d.Adopt(t.Context(), name, s.file("2")); !errors.Is(err, api.ErrRefused) || !strings.Contains(err.Error(), "install") {
		t.Errorf("adopt where path is the package manager's: %v", err)
	}
}

// Without a daemon the verbs act themselves.
func TestOffline(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	packaged := lstat(t, s.path).Ino
	ctx := context.Background()

	w := s.offline()
	before := tree(t, s.dir)
	p, err := w.Plan(ctx)
	must(t, err)
	if !p.Changes() {
		t.Errorf("plan for what is not managed: %+v", p)
	}
	if v, err := w.Verify(ctx, name); err != nil || v.Problems() != 0 {
		t.Errorf("verify what is not managed: %+v, %v", v, err)
	}
	unchanged(t, s.dir, before)
	if _, err := w.Manage(ctx, "smtpd"); !errors.Is(err, api.ErrNoTarget) {
		t.Errorf("manage an unknown target: %v", err)
	}
	r, err := w.Manage(ctx, name)
	must(t, err)
	said(t, r.Done, "leads to 3 copies")
	must(t, w.Close())

	w = s.offline()
	if p, err = w.Plan(ctx); err != nil || p.Changes() {
		t.Errorf("plan for what is right: %+v, %v", p, err)
	}
	if v, err := w.Verify(ctx, ""); err != nil || v.Problems() != 0 || len(v.Targets[0].Copies) != 3 {
		t.Errorf("verify what is right: %+v, %v", v, err)
	}
	r, err = w.Restore(ctx, name, false)
	must(t, err)
	said(t, r.Done, "restored "+s.path)
	must(t, w.Close())
	s.plain("1", packaged)

	w = s.offline()
	if p, err = w.Plan(ctx); err != nil || p.Changes() || p.Targets[0].State != api.Released {
		t.Errorf("plan for what is released: %+v, %v", p, err)
	}
	must(t, w.Close())
	if _, err := w.Plan(ctx); err == nil {
		t.Error("plan by a Watcher that is closed")
	}
}

// A crash before anything is published, or after everything is restored, may leave the private directory,
// with or without what was being made in it. Of that nothing is in force, and restore takes it away.
func TestRestoreTakesRemnantsAway(t *testing.T) {
	t.Parallel()
	copyName := pool.CopyName(name, 1)
	for _, remnants := range [][]string{
		{}, {name + ".rotate"}, {name + ".adopt"}, {name + ".launcher"}, {name + ".back", name + ".before"}, {copyName + ".new"},
	} {
		for _, publish := range []config.Publish{config.PublishSymlink, config.PublishNone} {
			t.Run(fmt.Sprintf("%v %s", remnants, publish), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, func(c *config.Target) { c.Publish = publish })
				s.install("1")
				packaged := lstat(t, s.path).Ino
				must(t, os.Mkdir(s.private(""), 0o755))
				for _, file := range remnants {
					must(t, os.WriteFile(s.private(file), []byte("begun"), 0o755))
				}
				w := s.offline()
				r, err := w.Restore(t.Context(), name, false)
				must(t, err)
				said(t, r.Done, "was not managed: nothing to restore")
				s.plain("1", packaged)
			})
		}
	}
}

// A newer file that a crash has left in the private directory, with nothing else, is put at path.
func TestRestoreOfRemnantsKeepsNewer(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{".publish", ".out", ".aside"} {
		t.Run(suffix, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			must(t, os.Mkdir(s.private(""), 0o755))
			must(t, standin.Write(s.private(name+suffix), "2"))
			w := s.offline()
			_, err := w.Restore(t.Context(), name, false)
			must(t, err)
			s.plain("2", 0)
		})
	}
}

// The same where something is left that somebody may want.
func TestRestoreOfRemnantsKeepsDrifted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	drifted := s.private(pool.CopyName(name, 1) + ".drifted")
	must(t, os.Mkdir(s.private(""), 0o755))
	must(t, os.WriteFile(drifted, []byte("of somebody"), 0o755))
	w := s.offline()
	r, err := w.Restore(t.Context(), name, false)
	must(t, err)
	said(t, r.Warnings, drifted+" is left")
	if got, err := os.ReadFile(drifted); err != nil || string(got) != "of somebody" {
		t.Errorf("%s holds %q, %v", drifted, got, err)
	}
}

// However far managing or restoring has come when it breaks off, a restore puts all back as it was. After
// the break no call changes anything any more, as when the process is killed.
func TestRestoreAfterABreak(t *testing.T) {
	t.Parallel()
	manage := func(w *Watcher) (*api.Report, error) { return w.Manage(t.Context(), name) }
	restore := func(w *Watcher) (*api.Report, error) { return w.Restore(t.Context(), name, true) }
	for _, publish := range ways {
		for what, verb := range map[string]func(*Watcher) (*api.Report, error){"manage": manage, "restore": restore} {
			t.Run(fmt.Sprintf("%s %s", publish, what), func(t *testing.T) {
				t.Parallel()
				for made := 0; ; made++ {
					s := newSite(t, func(c *config.Target) { c.Publish = publish })
					s.install("1")
					packaged := lstat(t, s.path).Ino
					if what == "restore" {
						w := s.offline()
						_, err := manage(w)
						must(t, err)
						must(t, w.Close())
					}
					w := s.offline()
					var calls atomic.Int64
					s.calls.onAll(func(fsys.Op, string) error {
						if calls.Add(1) > int64(made) {
							return unix.EIO
						}
						return nil
					})
					_, _ = verb(w) // it may succeed all the same: not every call is worth giving up for
					must(t, w.Close())
					s.calls.onAll(nil)
					w = s.offline()
					_, err := restore(w)
					must(t, err)
					must(t, w.Close())
					s.plain("1", packaged)
					if t.Failed() || calls.Load() <= int64(made) {
						t.Logf("%d changing calls", made)
						return
					}
				}
			})
		}
	}
}

// A plan tells what Ensure would do, and that is all it does.
func TestPlanChangesNothing(t *testing.T) {
	for _, situation := range []struct {
		name  string
		make  func(s *site)
		steps []string // of a plan; none: it is refused
		says  string
	}{
		{"new", func(*site) {}, []string{"clone", "point", "exchange"}, ""},
		{"upgrade", func(s *site) { managed(s); s.install("2") }, []string{"clone", "point", "exchange", "keep the pristine"}, ""},
		{"a copy is missing", func(s *site) { managed(s); must(s.t, os.Remove(s.copy(2))) }, []string{"clone the copies"}, ""},
		{"path is missing", func(s *site) { managed(s); must(s.t, os.Remove(s.path)) }, []string{"wait"}, ""},
		{"no private link", func(s *site) { managed(s); must(s.t, os.Remove(s.privateLink())) }, []string{"point"}, ""},
		{"cron", func(s *site) { managed(s); s.linkTo(2) }, []string{"exchange"}, ""},
		{"what a crash left", func(s *site) {
			managed(s)
			must(s.t, os.Symlink(".relinkd/imapd", s.private(name+".publish")))
		}, []string{"remove what an interrupted publish left"}, ""},
		{"another way of publishing", func(s *site) {
			managed(s)
			s.retarget(func(c *config.Target) { c.Publish = config.PublishLauncher })
		}, []string{"exchange what stands at"}, ""},
		{"new, by a launcher", func(s *site) { s.retarget(func(c *config.Target) { c.Publish = config.PublishLauncher }) },
			[]string{"clone", "point", "exchange " /* path for a launcher */}, ""},
		{"mode set on a launcher", func(s *site) {
			s.retarget(func(c *config.Target) { c.Publish = config.PublishLauncher })
			managed(s)
			must(s.t, os.Chmod(s.path, 0o751))
		}, []string{"apply mode 0751"}, ""},
		{"hand-made", func(s *site) { must(s.t, os.Remove(s.path)); s.handmade(1, "1", "1") }, nil, "relinkd manage"},
		{"foreign", func(s *site) { must(s.t, os.WriteFile(s.copy(1), nil, 0o644)) }, []string{"clone", "point", "exchange"}, ""},
		{"a directory", func(s *site) { must(s.t, os.Remove(s.path)); must(s.t, os.Mkdir(s.path, 0o755)) }, nil, "not a regular file"},
	} {
		t.Run(situation.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.install("1")
			situation.make(s)
			rested(t, s.path)
			before := tree(t, s.dir)
			w := s.offline()
			p, err := w.Plan(t.Context())
			if situation.steps == nil {
				if !errors.Is(err, api.ErrRefused) || !strings.Contains(err.Error(), situation.says) {
					t.Errorf("plan: %+v, %v", p, err)
				}
			} else if must(t, err); !slices.EqualFunc(p.Targets[0].Steps, situation.steps, strings.HasPrefix) {
				t.Errorf("plan: %q, want %q", p.Targets[0].Steps, situation.steps)
			} else if len(p.Targets[0].Keeps) == 0 {
				t.Errorf("the plan does not tell what stays as it is: %+v", p.Targets[0])
			}
			unchanged(t, s.dir, before)
		})
	}
}

// A plan tells what others notice: the disk before copies are made, services whenever path leads to
// something else, and nobody when there is nothing to do.
func TestPlanTellsItsEffects(t *testing.T) {
	s := newSite(t)
	s.install("1")
	rested(t, s.path)
	plan := func() api.TargetPlan {
		w := s.offline()
		p, err := w.Plan(t.Context())
		must(t, err)
		must(t, w.Close())
		return p.Targets[0]
	}
	begins := func(text, with string) bool { return strings.Contains(text, with) }
	if got := plan().Effects; !slices.EqualFunc(got, []string{" KiB more on the file system of " + s.dir, "processes that begin", "Cyrus: "}, begins) {
		t.Errorf("effects before the copies are made: %q", got)
	}
	managed(s)
	if got := plan(); len(got.Effects) > 0 || !slices.EqualFunc(got.Keeps, []string{s.path + " leads to imapd_001", "imapd_001 to imapd_003"}, begins) {
		t.Errorf("with nothing to do: effects %q, keeps %q", got.Effects, got.Keeps)
	}
}

// Waiting workers end whenever the file that they look at is another one.
func TestPlanTellsWhenWorkersEnd(t *testing.T) {
	for _, test := range []struct {
		publish config.Publish
		step    step
		current int
		want    bool
	}{
		{config.PublishSymlink, stepReclaim, 1, true},
		{config.PublishSymlink, stepLead, 1, true},
		{config.PublishLauncher, stepPutBack, 1, true},
		{config.PublishLauncher, stepLead, 1, false},
		{config.PublishLauncher, stepRefit, 1, true},
		{config.PublishLauncher, stepAccess, 1, false},
		{config.PublishNone, stepLead, 1, true},
		{config.PublishNone, stepTakeOver, 0, false},
		{config.PublishSymlink, stepWait, 1, false},
		{config.PublishSymlink, stepNone, 1, false},
		{config.PublishSymlink, stepStandDown, 1, false},
	} {
		path := filepath.Join(t.TempDir(), name)
		link, err := linker.Open(path, nil)
		must(t, err)
		tg := &target{cfg: config.Target{Path: path, Publish: test.publish}, link: link, current: test.current}
		ends := slices.ContainsFunc(tg.effects(decision{step: test.step}, observation{}), func(e string) bool { return strings.HasPrefix(e, "Cyrus: ") })
		if ends != test.want {
			t.Errorf("publish = %q, step %d: workers end: %v, want %v", test.publish, test.step, ends, test.want)
		}
	}
}

// managed has a daemon publish what stands at path.
func managed(s *site) {
	s.t.Helper()
	d := s.start()
	d.steady("1")
	d.stop()
}

// rested waits until the file at path, if there is one, has not changed for longer than settle.quiet.
func rested(t testing.TB, path string) {
	t.Helper()
	if info := lstat(t, path); !info.ID.IsZero() {
		eventually(t, path+" has rested", func() bool { return time.Since(time.Unix(0, info.Ctime)) > 60*time.Millisecond })
	}
}

// What was in force is left in copies alone, which others have made unfit: a restore puts nothing older back, and keeps
// them.
func TestRestoreKeepsUnfitCopies(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	s.install("2")
	copies := d.steady("2").Copies
	d.stop()
	must(t, os.WriteFile(s.pristine(), []byte("written to"), 0o755))
	mode := func(perm os.FileMode) {
		for _, c := range copies {
			must(t, os.Chmod(s.copy(c.Number), perm))
		}
	}
	other := copies[len(copies)-1].Number
	must(t, standin.Write(s.copy(other), "3")) // complete, and not what was in force
	mode(0o777)
	must(t, os.Chmod(s.copy(other), 0o755))
	w := s.offline()
	if _, err := w.Restore(t.Context(), name, true); err == nil || !strings.Contains(err.Error(), "not fit to be put back") {
		t.Errorf("restore: %v", err)
	}
	for _, c := range copies {
		if c.Number != other {
			s.holds(s.copy(c.Number), "2")
		}
	}
	mode(0o755)
	if _, err := w.Restore(t.Context(), name, true); err != nil {
		t.Errorf("restore: %v", err)
	}
	s.holds(s.path, "2")
}
